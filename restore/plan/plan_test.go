package plan_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/restore/plan"
)

const size = 1 << 20

// world is a cluster's life as it really was, and what of it an archive holds.
type world struct {
	histories map[cofre.Timeline]pgdata.History
	end       map[cofre.Timeline]cofre.LSN // how far each timeline was written
	commits   map[cofre.Timeline][]pgdata.Moment
	backups   []plan.BaseBackup
	wal       plan.WAL

	tli   cofre.Timeline
	clock time.Time
	xid   uint32
}

func newWorld() *world {
	return &world{
		histories: map[cofre.Timeline]pgdata.History{1: {Timeline: 1}},
		end:       map[cofre.Timeline]cofre.LSN{1: size},
		commits:   map[cofre.Timeline][]pgdata.Moment{},
		tli:       1, clock: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), xid: 700,
		wal: plan.WAL{SystemID: 7, SegmentSize: size},
	}
}

func (w *world) tick() { w.clock = w.clock.Add(time.Minute) }

// write adds n bytes of WAL that end a transaction at their end.
func (w *world) write(n int) {
	w.tick()
	w.xid++
	at := w.end[w.tli] + cofre.LSN(n)
	w.commits[w.tli] = append(w.commits[w.tli], pgdata.Moment{Kind: pgdata.MomentCommit, Start: at, End: at + 40, At: w.clock, XID: w.xid})
	w.end[w.tli] = at + 40
}

func (w *world) backup(n int) {
	w.tick()
	b := plan.BaseBackup{Point: cofre.PointID(fmt.Sprint("p", len(w.backups))), SystemID: 7, Timeline: w.tli, Start: w.end[w.tli], StartedAt: w.clock}
	w.end[w.tli] += cofre.LSN(n)
	w.tick()
	b.Stop, b.StoppedAt = w.end[w.tli], w.clock
	w.backups = append(w.backups, b)
}

// fork promotes: a new timeline begins at a position of the present one.
func (w *world) fork(at cofre.LSN) {
	w.tick()
	child := cofre.Timeline(len(w.histories) + 1)
	h := pgdata.History{Timeline: child}
	for _, f := range w.histories[w.tli].Forks {
		if f.At <= at {
			h.Forks = append(h.Forks, f)
		}
	}
	parent := w.histories[w.tli].TimelineAt(at)
	h.Forks = slices.DeleteFunc(h.Forks, func(f pgdata.Fork) bool { return f.Parent >= parent })
	h.Forks = append(h.Forks, pgdata.Fork{Parent: parent, At: at})
	w.histories[child], w.end[child], w.tli = h, at, child
	// Promotion writes a record of its own.
	w.end[child] += 64
}

// archive puts everything that was written into the archive.
func (w *world) archive() {
	w.wal.Segments, w.wal.Unfinished, w.wal.Histories = map[pgdata.Segment]bool{}, map[pgdata.Segment]int64{}, map[cofre.Timeline]pgdata.History{}
	for tli, h := range w.histories {
		first := cofre.LSN(size)
		if n := len(h.Forks); n > 0 {
			first = h.Forks[n-1].At
			w.wal.Histories[tli] = h
		}
		for s := pgdata.SegmentAt(tli, first, size); s.Start(size) < w.end[tli]; s = s.Next() {
			if s.End(size) <= w.end[tli] {
				w.wal.Segments[s] = true
			} else {
				w.wal.Unfinished[s] = int64(w.end[tli] - s.Start(size))
			}
		}
	}
}

// inside are the transactions whose records a segment holds, under its timeline's name.
func (w *world) inside(s pgdata.Segment) (out []pgdata.Moment) {
	h := w.histories[s.Timeline]
	for tli, all := range w.commits {
		for _, m := range all {
			if m.Start >= s.Start(size) && m.Start < s.End(size) && h.TimelineAt(m.Start) == tli {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b pgdata.Moment) int { return int(int64(a.Start) - int64(b.Start)) })
	return out
}

func (w *world) scan(segments []pgdata.Segment) iter.Seq2[plan.Found, error] {
	return func(yield func(plan.Found, error) bool) {
		var last cofre.LSN
		for _, s := range segments {
			if !w.wal.Segments[s] && w.wal.Unfinished[s] == 0 {
				yield(plan.Found{}, fmt.Errorf("scanned %s, which is not there", s.Name(size)))
				return
			}
			for _, m := range w.inside(s) {
				last = m.Start
				if !yield(plan.Found{Moment: m, LastRecord: last}, nil) {
					return
				}
			}
		}
		yield(plan.Found{LastRecord: last}, nil)
	}
}

// recover does what PostgreSQL does: it reads WAL along a timeline from the backup's start, among the segments
// that are allowed, and stops at the first transaction that past accepts.
func (w *world) recover(b plan.BaseBackup, tli cofre.Timeline, allowed func(pgdata.Segment) bool, past func(pgdata.Moment) bool) (pgdata.Moment, bool) {
	h := w.histories[tli]
	if !h.Contains(b.Timeline, b.Stop) {
		return pgdata.Moment{}, false
	}
	at := b.Start
	for {
		// The newest timeline that can have the segment is tried first.
		number := uint64(at) / size
		var got *pgdata.Segment
		for _, br := range slices.Backward(h.Branches()) {
			s := pgdata.Segment{Timeline: br.Timeline, Number: number}
			if uint64(br.From)/size <= number && uint64(br.From) <= uint64(at) && allowed(s) {
				got = &s
				break
			}
			// A child's segment holds its parent's bytes from the segment's beginning.
			if uint64(br.From)/size == number && allowed(s) {
				got = &s
				break
			}
		}
		if got == nil {
			return pgdata.Moment{}, false
		}
		reach := got.End(size)
		if n, ok := w.wal.Unfinished[*got]; ok && !w.wal.Segments[*got] {
			reach = got.Start(size) + cofre.LSN(n)
		}
		for _, f := range h.Forks {
			if f.Parent >= got.Timeline && f.At < reach && f.Parent == got.Timeline {
				reach = f.At
			}
		}
		for _, m := range w.inside(*got) {
			if m.Start >= b.Stop && m.Start < reach && past(m) {
				return m, true
			}
		}
		if reach < got.End(size) {
			return pgdata.Moment{}, false
		}
		at = reach
	}
}

// A history is built, something is deleted from its archive, and any target is asked for. The plan then stops
// exactly where PostgreSQL would, reading no segment that the plan does not name, or it is refused, and then no
// base backup reaches the target.
func TestAnyHistoryIsRecoveredExactlyOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		var times []time.Time
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				w.backup(rapid.IntRange(100, 3*size/2).Draw(t, "bytes"))
			case 1:
				if len(w.histories) < 5 {
					back := rapid.IntRange(0, int(w.end[w.tli]-size)).Draw(t, "back")
					if rapid.Bool().Draw(t, "failover") {
						back = 0
					}
					w.fork(w.end[w.tli] - cofre.LSN(back))
				}
			default:
				w.write(rapid.IntRange(1, size).Draw(t, "bytes"))
			}
			times = append(times, w.clock)
		}
		w.archive()
		var all []pgdata.Segment
		for s := range w.wal.Segments {
			all = append(all, s)
		}
		slices.SortFunc(all, func(a, b pgdata.Segment) int {
			if a.Timeline != b.Timeline {
				return int(a.Timeline) - int(b.Timeline)
			}
			return int(a.Number) - int(b.Number)
		})
		if len(all) > 0 {
			for range rapid.IntRange(0, 2).Draw(t, "deleted") {
				delete(w.wal.Segments, all[rapid.IntRange(0, len(all)-1).Draw(t, "which")])
			}
		}
		allowed := func(s pgdata.Segment) bool { return w.wal.Segments[s] || w.wal.Unfinished[s] > 0 }

		var target cofre.RecoveryTarget
		var past func(pgdata.Moment) bool
		eligible := func(plan.BaseBackup) bool { return true }
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			at := rapid.SampledFrom(times).Draw(t, "at")
			target = cofre.RecoveryTarget{At: at, Exclusive: rapid.Bool().Draw(t, "exclusive")}
			past = func(m pgdata.Moment) bool { return m.At.After(at) || target.Exclusive && m.At.Equal(at) }
			eligible = func(b plan.BaseBackup) bool { return !b.StoppedAt.After(at) }
		case 1:
			xid := uint64(rapid.IntRange(695, int(w.xid)+3).Draw(t, "xid"))
			target = cofre.RecoveryTarget{XID: xid}
			past = func(m pgdata.Moment) bool { return uint64(m.XID) == xid }
		case 2:
			lsn := cofre.LSN(rapid.IntRange(size, int(w.end[w.tli])+100).Draw(t, "lsn"))
			target = cofre.RecoveryTarget{LSN: lsn}
			past = func(m pgdata.Moment) bool { return m.Start >= lsn }
			eligible = func(b plan.BaseBackup) bool { return b.Stop <= lsn }
		}
		if rapid.Bool().Draw(t, "choose timeline") {
			target.Timeline = rapid.SampledFrom(w.wal.Timelines()).Draw(t, "timeline")
		}

		r, err := plan.Recover(target, w.backups, &w.wal, w.scan)
		if err == nil {
			if !eligible(r.Backup) {
				t.Fatalf("%s from a base backup that stopped at %s, %s", target, r.Backup.Stop, r.Backup.StoppedAt)
			}
			want, ok := w.recover(r.Backup, r.Timeline, allowed, past)
			got, ok2 := w.recover(r.Backup, r.Timeline, func(s pgdata.Segment) bool { return slices.Contains(r.Segments, s) }, past)
			stop := want.Start
			if target.LSN != 0 {
				stop = target.LSN
				// An LSN needs a record at or after it; which one is not part of the plan.
				got = want
				ok2 = ok
			}
			if !ok || !ok2 || got != want || r.Stop != stop {
				t.Fatalf("%s: planned to stop at %s along timeline %d from %s; PostgreSQL stops at %v %v, with the plan's segments alone at %v %v", target, r.Stop, r.Timeline, r.Backup.Point, want, ok, got, ok2)
			}
			return
		}
		var gap *cofre.GapError
		var unreachable *cofre.UnreachableError
		if !errors.As(err, &gap) && !errors.As(err, &unreachable) {
			t.Fatalf("%s: %v", target, err)
		}
		if target.Timeline == 0 {
			return // refused on the timelines that the backups lead to; others may reach it and must be asked for
		}
		for _, b := range w.backups {
			if !eligible(b) {
				continue
			}
			if m, ok := w.recover(b, target.Timeline, allowed, past); ok {
				t.Fatalf("%s on timeline %d refused (%v), and from %s PostgreSQL reaches %v", target, target.Timeline, err, b.Point, m)
			}
		}
	})
}

// What retention of WAL lets go, no kept base backup and no moment of the window needed.
func TestExpiredWALIsNeverNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				w.backup(rapid.IntRange(100, 3*size/2).Draw(t, "bytes"))
			case 1:
				if len(w.histories) < 4 {
					w.fork(w.end[w.tli] - cofre.LSN(rapid.IntRange(0, int(w.end[w.tli]-size)/4).Draw(t, "back")))
				}
			default:
				w.write(rapid.IntRange(1, size).Draw(t, "bytes"))
			}
		}
		w.archive()
		var kept []plan.BaseBackup
		for _, b := range w.backups {
			if rapid.Bool().Draw(t, "keep") {
				kept = append(kept, b)
			}
		}
		since := w.clock.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * time.Minute)
		expired := plan.Expired(kept, &w.wal, since)
		if len(kept) == 0 && len(expired) > 0 {
			t.Fatalf("without a base backup %d segments may go", len(expired))
		}
		before := plan.WAL{SystemID: 7, SegmentSize: size, Segments: map[pgdata.Segment]bool{}, Unfinished: w.wal.Unfinished, Histories: w.wal.Histories}
		for s := range w.wal.Segments {
			before.Segments[s] = true
		}
		ask := func(target cofre.RecoveryTarget, backups []plan.BaseBackup) string {
			r, err := plan.Recover(target, backups, &w.wal, w.scan)
			if err != nil {
				return "refused"
			}
			return fmt.Sprint(r.Backup.Point, r.Timeline, r.Stop)
		}
		type question struct {
			target  cofre.RecoveryTarget
			backups []plan.BaseBackup
		}
		var questions []question
		for _, b := range kept {
			questions = append(questions, question{cofre.RecoveryTarget{Immediate: true}, []plan.BaseBackup{b}})
		}
		for at := since; at.Before(w.clock); at = at.Add(time.Minute) {
			for _, tli := range w.wal.Timelines() {
				questions = append(questions, question{cofre.RecoveryTarget{At: at, Timeline: tli}, kept})
			}
		}
		var want []string
		for _, q := range questions {
			want = append(want, ask(q.target, q.backups))
		}
		for _, s := range expired {
			delete(w.wal.Segments, s)
			delete(w.wal.Unfinished, s)
		}
		for i, q := range questions {
			if got := ask(q.target, q.backups); got != want[i] {
				t.Fatalf("%s: before %s, after expiring %d segments %s", q.target, want[i], len(expired), got)
			}
		}
	})
}

func TestRefusalsNameWhatIsNearest(t *testing.T) {
	w := newWorld()
	w.write(100)
	w.backup(1000)
	for range 20 {
		w.write(size / 2)
	}
	w.archive()
	missing := pgdata.Segment{Timeline: 1, Number: 6}
	day := func(minute int) time.Time { return time.Date(2026, 11, 1, 0, minute, 0, 0, time.UTC) }

	_, err := plan.Recover(cofre.RecoveryTarget{At: day(1)}, w.backups, &w.wal, w.scan)
	want := "recovery target time 2026-11-01T00:01:00Z cannot be reached: every base backup ended after it (reachable: from 2026-11-01T00:03:00Z, to just before 2026-11-01T00:23:00Z)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = plan.Recover(cofre.RecoveryTarget{At: day(23)}, w.backups, &w.wal, w.scan)
	want = "recovery target time 2026-11-01T00:23:00Z cannot be reached: the last transaction in the WAL ended at 2026-11-01T00:23:00Z (reachable: from 2026-11-01T00:03:00Z, to just before 2026-11-01T00:23:00Z)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	r, err := plan.Recover(cofre.RecoveryTarget{At: day(15)}, w.backups, &w.wal, w.scan)
	if err != nil || !r.StopAt.Equal(day(16)) || r.Timeline != 1 || r.Backup.Point != "p0" {
		t.Errorf("%+v, %v", r, err)
	}
	delete(w.wal.Segments, missing)
	_, err = plan.Recover(cofre.RecoveryTarget{At: day(20)}, w.backups, &w.wal, w.scan)
	var gap *cofre.GapError
	if !errors.As(err, &gap) || gap.From != "000000010000000000000006" || gap.To != gap.From {
		t.Errorf("across a gap: %v", err)
	}
	if _, err = plan.Recover(cofre.RecoveryTarget{At: day(8)}, w.backups, &w.wal, w.scan); err != nil {
		t.Errorf("before the gap: %v", err)
	}
	if _, err = plan.Recover(cofre.RecoveryTarget{}, w.backups, &w.wal, w.scan); !errors.As(err, &gap) || cofre.Hint(err) == "" {
		t.Errorf("the end beyond a gap: %v", err)
	}
	// A clock that was behind while the base backup was taken: the WAL knows better.
	w2 := newWorld()
	w2.backup(100)
	w2.write(100)
	w2.backup(size)
	w2.commits[1] = append(w2.commits[1], pgdata.Moment{Kind: pgdata.MomentCommit, Start: w2.backups[1].Start + 50, End: w2.backups[1].Start + 90, At: w2.backups[1].StoppedAt, XID: 9})
	w2.backups[1].StoppedAt = w2.backups[1].StoppedAt.Add(-time.Hour)
	w2.write(100)
	w2.archive()
	r, err = plan.Recover(cofre.RecoveryTarget{At: w2.clock.Add(-2 * time.Minute)}, w2.backups, &w2.wal, w2.scan)
	if err != nil || r.Backup.Point != "p0" {
		t.Errorf("from a base backup that ended later than it says: %+v, %v", r, err)
	}
	report := plan.Windows(w.backups, &w.wal)
	if len(report.Windows) != 1 || report.Windows[0].To != 6*size || len(report.Gaps) != 1 {
		t.Errorf("windows %+v", report)
	}
	if _, err := plan.Recover(cofre.RecoveryTarget{}, nil, &w.wal, w.scan); err == nil {
		t.Error("recovered without a base backup")
	}
}
