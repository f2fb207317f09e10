package recovery_test

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
)

const size = 1 << 20

// world is a cluster's life as it really was, and what of it an archive holds.
type world struct {
	histories map[cofre.Timeline]pgdata.History
	end       map[cofre.Timeline]cofre.LSN // how far each timeline was written
	commits   map[cofre.Timeline][]pgdata.Moment
	backups   []recovery.BaseBackup
	wal       recovery.WAL

	tli   cofre.Timeline
	clock time.Time
	xid   uint32

	damaged  map[cofre.LSN]bool      // records that cannot be read
	rotten   map[pgdata.Segment]bool // segments that are there, and cannot be read
	dropping []recovery.Dropping     // now
}

func newWorld() *world {
	return &world{
		histories: map[cofre.Timeline]pgdata.History{1: {Timeline: 1}},
		end:       map[cofre.Timeline]cofre.LSN{1: size},
		commits:   map[cofre.Timeline][]pgdata.Moment{},
		tli:       1, clock: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), xid: 700,
		wal: recovery.WAL{SystemID: 7, SegmentSize: size},
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
	b := recovery.BaseBackup{Point: cofre.PointID(fmt.Sprint("p", len(w.backups))), SystemID: 7, Timeline: w.tli, Start: w.end[w.tli], StartedAt: w.clock, Dropping: w.dropping}
	w.end[w.tli] += cofre.LSN(n)
	w.commits[w.tli] = append(w.commits[w.tli], pgdata.Moment{Kind: pgdata.MomentBackupEnd, Start: w.end[w.tli] - 40, End: w.end[w.tli]})
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
	for _, m := range w.commits[parent] {
		if m.Start < at && at < m.End {
			at = m.Start // a server leaves a timeline between records
		}
	}
	h.Forks = slices.DeleteFunc(h.Forks, func(f pgdata.Fork) bool { return f.Parent >= parent })
	h.Forks = append(h.Forks, pgdata.Fork{Parent: parent, At: at})
	w.histories[child], w.end[child], w.tli = h, at, child
	// Promotion writes a record of its own.
	w.commits[child] = append(w.commits[child], pgdata.Moment{Kind: pgdata.MomentEndOfRecovery, Start: at, End: at + 64})
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

func (w *world) scan(segments []pgdata.Segment, span recovery.Span) iter.Seq2[recovery.Found, error] {
	return func(yield func(recovery.Found, error) bool) {
		var f recovery.Found
		for _, s := range segments {
			if !w.wal.Segments[s] && w.wal.Unfinished[s] == 0 {
				yield(recovery.Found{}, fmt.Errorf("scanned %s, which is not there", s.Name(size)))
				return
			}
			if w.rotten[s] {
				yield(recovery.Found{}, fmt.Errorf("scan: %w", &recovery.UnreadableError{Segment: s, Err: cofre.ErrCorrupt}))
				return
			}
			for _, m := range w.inside(s) {
				if m.Start < span.From {
					continue
				}
				if w.damaged[m.Start] {
					f.Moment, f.End, f.Broken = pgdata.Moment{}, m.Start, true
					yield(f, nil)
					return
				}
				f = recovery.Found{Moment: m, LastRecord: m.Start, Reached: m.End, Before: f.LastRecord, ReachedBefore: f.Reached}
				if !yield(f, nil) {
					return
				}
				if span.Until != 0 && m.Start >= span.Until {
					f.Moment = pgdata.Moment{}
					yield(f, nil)
					return
				}
			}
		}
		f.Moment = pgdata.Moment{}
		yield(f, nil)
	}
}

// put adds a record of n bytes.
func (w *world) put(n int, m pgdata.Moment) {
	m.Start = w.end[w.tli]
	m.End = m.Start + cofre.LSN(n)
	w.commits[w.tli] = append(w.commits[w.tli], m)
	w.end[w.tli] = m.End
}

// drop drops a database, while others commit and base backups are taken.
func (w *world) drop(others [3]int) {
	w.xid++
	xid, row := w.xid, pgdata.Row{File: 1262, Number: uint16(w.xid)}
	acts := []pgdata.Moment{
		{Kind: pgdata.MomentSharedInplace, Row: row},
		{Kind: pgdata.MomentSharedDelete, Row: row, XID: xid},
		{Kind: pgdata.MomentDatabaseDrop, OID: 20000 + xid, XID: xid},
	}
	for i, m := range acts {
		w.put(64, m)
		if i > 0 {
			w.dropping = []recovery.Dropping{{OID: 20000 + xid, Name: "victim", XID: xid}}
		}
		switch {
		case others[i] == 1:
			w.write(40)
		case others[i] == 2 && i > 0: // between the mark and the row there is no time for a whole one
			w.backup(300)
		case others[i] == 3 && i > 0:
			w.write(40)
			w.backup(300)
			w.write(40)
		}
	}
	w.dropping = nil
	w.tick()
	w.put(40, pgdata.Moment{Kind: pgdata.MomentCommit, At: w.clock, XID: xid})
}

// space creates a tablespace.
func (w *world) space() {
	w.xid++
	xid := w.xid
	w.put(64, pgdata.Moment{Kind: pgdata.MomentTablespaceCreate, OID: 20000 + xid, Path: fmt.Sprint("/srv/", xid), XID: xid, InPlace: "0/1:0000"})
	w.write(10)
	w.tick()
	w.put(40, pgdata.Moment{Kind: pgdata.MomentCommit, At: w.clock, XID: xid})
}

// prepare prepares a transaction, and ends it later.
func (w *world) prepare() {
	w.xid++
	xid := w.xid
	w.tick()
	w.put(100, pgdata.Moment{Kind: pgdata.MomentPrepare, At: w.clock, XID: xid})
	w.write(30)
	w.tick()
	w.put(40, pgdata.Moment{Kind: pgdata.MomentAbort, At: w.clock, XID: xid})
}

// records are what a server reads along a timeline from the backup's start, among the segments that are allowed: up to
// what is missing or damaged.
func (w *world) records(b recovery.BaseBackup, tli cofre.Timeline, allowed func(pgdata.Segment) bool) (out []pgdata.Moment, interrupted bool) {
	h := w.histories[tli]
	if !h.Contains(b.Timeline, b.Stop) {
		return nil, true
	}
	at := b.Start
	for {
		// The newest timeline that can have the segment is tried first.
		number := uint64(at) / size
		var got *pgdata.Segment
		for _, br := range slices.Backward(h.Branches()) {
			s := pgdata.Segment{Timeline: br.Timeline, Number: number}
			if uint64(br.From)/size <= number && allowed(s) {
				// A child's segment holds its parent's bytes from the segment's beginning.
				got = &s
				break
			}
		}
		if got == nil {
			return out, true
		}
		reach := got.End(size)
		if n, ok := w.wal.Unfinished[*got]; ok && !w.wal.Segments[*got] {
			reach = got.Start(size) + cofre.LSN(n)
		}
		for _, f := range h.Forks {
			if f.Parent == got.Timeline && f.At < reach {
				reach = f.At
			}
		}
		for _, m := range w.inside(*got) {
			if m.Start < at || m.Start >= reach {
				continue
			}
			if w.damaged[m.Start] {
				return out, true
			}
			out = append(out, m)
		}
		if reach < got.End(size) {
			return out, false
		}
		at = reach
	}
}

func ends(m pgdata.Moment) bool { return m.Kind == pgdata.MomentCommit || m.Kind == pgdata.MomentAbort }

// exact is where a recovery must end: with which record, or, where that is of kind 0, where the base backup became
// consistent. torn says that a database is being dropped there.
func exact(t cofre.RecoveryTarget, b recovery.BaseBackup, records []pgdata.Moment) (last pgdata.Moment, torn, ok bool) {
	late := func(m pgdata.Moment) bool {
		return ends(m) && m.Start >= b.Stop && (m.At.After(t.At) || t.Exclusive && m.At.Equal(t.At))
	}
	is := func(m pgdata.Moment) bool { return ends(m) && m.Start >= b.Stop && uint64(m.XID) == t.XID }
	end := len(records)
	before := func() { // the last that ended before end
		for _, m := range records[:end] {
			if m.Start >= b.Stop && (ends(m) || m.Kind == pgdata.MomentPrepare && (t.At.IsZero() || !m.At.After(t.At) && !(t.Exclusive && m.At.Equal(t.At)))) {
				last = m
			}
		}
	}
	switch {
	case !t.At.IsZero():
		if end = slices.IndexFunc(records, late); end < 0 {
			return last, false, false
		}
		before()
	case t.XID != 0:
		if end = slices.IndexFunc(records, is); end < 0 {
			return last, false, false
		}
		if last = records[end]; t.Exclusive {
			last = pgdata.Moment{}
			before()
		}
	case t.LSN != 0:
		if end = slices.IndexFunc(records, func(m pgdata.Moment) bool { return m.Start >= t.LSN }); end < 0 {
			return last, false, false
		}
		if last = records[end]; t.Exclusive {
			if last = (pgdata.Moment{}); end > 0 && records[end-1].End > b.Stop {
				last = records[end-1]
			}
		}
	case t.Immediate:
	default:
		last = records[len(records)-1]
	}
	return last, tornAt(b, records, cmp.Or(last.End, b.Stop)), true
}

// tornAt reports whether a database is being dropped at a position.
func tornAt(b recovery.BaseBackup, records []pgdata.Moment, at cofre.LSN) bool {
	for _, d := range b.Dropping {
		i := slices.IndexFunc(records, func(m pgdata.Moment) bool { return ends(m) && m.XID == d.XID || m.Kind == pgdata.MomentEndOfRecovery })
		if i < 0 || at <= records[i].Start {
			return true
		}
	}
	for i, m := range records {
		began, ended := m.Start, ^cofre.LSN(0)
		for _, r := range records[:i] {
			if r.Kind == pgdata.MomentSharedInplace && uint32(r.Row.Number) == m.XID {
				began = r.Start
			}
		}
		if m.Kind != pgdata.MomentDatabaseDrop && (m.Kind != pgdata.MomentSharedDelete || began == m.Start) {
			continue // a row that is deleted without a mark is of nothing that is known here
		}
		for _, r := range records[i:] {
			if ends(r) && r.XID == m.XID || r.Kind == pgdata.MomentEndOfRecovery {
				ended = min(ended, r.Start)
			}
		}
		if began < at && at <= ended {
			return true
		}
	}
	return false
}

// A history is built, something is deleted from its archive or damaged in it, and any target is asked for. The plan then
// stops exactly with the last record that belongs to the target, reading no segment that the plan does not name, knows
// every tablespace that is created on the way, and never stops in the middle of a DROP DATABASE; or it is refused, and
// then no base backup reaches the target.
func TestAnyHistoryIsRecoveredExactlyOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		var times []time.Time
		for range rapid.IntRange(5, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 14).Draw(t, "step") {
			case 0, 1:
				w.backup(rapid.IntRange(100, 3*size/2).Draw(t, "bytes"))
			case 2:
				if len(w.histories) < 5 {
					back := rapid.IntRange(0, int(w.end[w.tli]-size)).Draw(t, "back")
					if rapid.Bool().Draw(t, "failover") {
						back = 0
					}
					w.fork(w.end[w.tli] - cofre.LSN(back))
				}
			case 3, 4:
				other := rapid.IntRange(0, 3)
				w.drop([3]int{other.Draw(t, "1"), other.Draw(t, "2"), other.Draw(t, "3")})
			case 5:
				w.space()
			case 6:
				w.prepare()
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
			for range rapid.IntRange(0, 1).Draw(t, "deleted") {
				delete(w.wal.Segments, all[rapid.IntRange(0, len(all)-1).Draw(t, "which")])
			}
		}
		w.rotten = map[pgdata.Segment]bool{}
		if len(all) > 0 {
			for range rapid.IntRange(0, 2).Draw(t, "rotten") {
				w.rotten[all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]] = true
			}
		}
		w.damaged = map[cofre.LSN]bool{}
		for range rapid.IntRange(0, 1).Draw(t, "damaged") {
			if on := w.commits[w.tli]; len(on) > 1 {
				w.damaged[on[rapid.IntRange(0, len(on)-2).Draw(t, "record")].Start] = true
			}
		}
		allowed := func(s pgdata.Segment) bool { return (w.wal.Segments[s] || w.wal.Unfinished[s] > 0) && !w.rotten[s] }
		target := anyTarget(t, w, times)
		// Clocks of the base backups and of the commits agree here, so that no other than these can lead to the target.
		eligible := func(b recovery.BaseBackup) bool {
			return (target.At.IsZero() || !b.StoppedAt.After(target.At)) && b.Stop <= cmp.Or(target.LSN, ^cofre.LSN(0))
		}
		r, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
		if err == nil {
			check(t, w, r, allowed)
			if !eligible(r.Backup) {
				t.Fatalf("%s from a base backup that stopped at %s, %s", target, r.Backup.Stop, r.Backup.StoppedAt)
			}
			return
		}
		var gap *cofre.GapError
		var unreachable *cofre.UnreachableError
		if !errors.As(err, &gap) && !errors.As(err, &unreachable) {
			t.Fatalf("%s: %v", target, err)
		}
		if unreachable != nil {
			for _, n := range unreachable.Nearest {
				if _, err := recovery.Recover(typed(t, n.Text), w.backups, &w.wal, w.scan); err != nil {
					t.Fatalf("%s is refused with %v\nand %q is: %v", target, unreachable, n, err)
				}
			}
		}
		if hint := cofre.Hint(err); strings.Contains(hint, "--lsn") {
			_, flags, _ := strings.Cut(hint, "--")
			flags = "--" + flags[:strings.IndexAny(flags+";", ";,")]
			if _, err := recovery.Recover(typed(t, flags), w.backups, &w.wal, w.scan); err != nil {
				t.Fatalf("%s is refused with %q\nand that is: %v", target, hint, err)
			}
		} else if hint == "" && gap != nil {
			t.Fatalf("%s: no hint with %v", target, err)
		}
		if target.Timeline == 0 || target.Immediate || target == (cofre.RecoveryTarget{Timeline: target.Timeline}) {
			return // refused on the timelines that the backups lead to; others may reach it and must be asked for
		}
		for _, b := range w.backups {
			records, _ := w.records(b, target.Timeline, allowed)
			if !eligible(b) || len(records) == 0 || records[len(records)-1].End < b.Stop {
				continue
			}
			if m, torn, ok := exact(target, b, records); ok && !torn && (target.LSN == 0 || m.Kind != 0) && len(w.damaged) == 0 {
				t.Fatalf("%s on timeline %d refused (%v), and from %s PostgreSQL reaches %v", target, target.Timeline, err, b.Point, m)
			}
		}
	})
}

// typed is the target whose flags a refusal names.
func typed(t *rapid.T, text string) (target cofre.RecoveryTarget) {
	_, flags, _ := strings.Cut(text, "--")
	for _, f := range strings.Split(flags, "--") {
		name, value, _ := strings.Cut(strings.TrimSpace(f), " ")
		var err error
		switch name {
		case "at":
			target.At, err = time.Parse(time.RFC3339Nano, value)
		case "lsn":
			target.LSN, err = cofre.ParseLSN(value)
		case "immediate":
			target.Immediate = true
		case "name":
			target.Name = strings.Trim(value, "'")
		case "xid":
			_, err = fmt.Sscan(value, &target.XID)
		case "exclusive":
			target.Exclusive = true
		case "timeline":
			_, err = fmt.Sscan(value, &target.Timeline)
		default:
			t.Fatalf("%q has a flag that is not known", text)
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	return target
}

func anyTarget(t *rapid.T, w *world, times []time.Time) (target cofre.RecoveryTarget) {
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0, 1, 2:
		target = cofre.RecoveryTarget{At: rapid.SampledFrom(times).Draw(t, "at"), Exclusive: rapid.Bool().Draw(t, "exclusive")}
		if rapid.Bool().Draw(t, "between") {
			target.At = target.At.Add(-time.Duration(rapid.IntRange(0, 240).Draw(t, "seconds")) * time.Second)
		}
	case 3:
		target = cofre.RecoveryTarget{XID: uint64(rapid.IntRange(695, int(w.xid)+3).Draw(t, "xid")), Exclusive: rapid.Bool().Draw(t, "exclusive")}
	case 4:
		target = cofre.RecoveryTarget{LSN: cofre.LSN(rapid.IntRange(size, int(w.end[w.tli])+100).Draw(t, "lsn")), Exclusive: rapid.Bool().Draw(t, "exclusive")}
	case 5:
		target = cofre.RecoveryTarget{Immediate: true}
	}
	if rapid.Bool().Draw(t, "choose timeline") {
		target.Timeline = rapid.SampledFrom(w.wal.Timelines()).Draw(t, "timeline")
	}
	return target
}

// check compares a plan with what a server would do.
func check(t *rapid.T, w *world, r *recovery.Recovery, allowed func(pgdata.Segment) bool) {
	target := r.Target
	records, interrupted := w.records(r.Backup, r.Leads, allowed)
	want, torn, ok := exact(target, r.Backup, records)
	named, _ := w.records(r.Backup, r.Timeline, func(s pgdata.Segment) bool { return slices.Contains(r.Segments, s) })
	whole := slices.ContainsFunc(named, func(m pgdata.Moment) bool { return m.Start == r.Stop }) || r.Consistent && named[len(named)-1].End >= r.Stop
	stop, reach := want.Start, want.End
	if want.Kind == 0 {
		stop, reach = r.Backup.Stop, r.Backup.Stop
	}
	if on := w.histories[r.Leads].TimelineAt(reach - 1); r.Timeline != r.Leads && r.Timeline != on {
		t.Fatalf("%s: planned to stop at %s along timeline %d, and it lies on %d", target, r.Stop, r.Timeline, on)
	} else if along, _ := w.records(r.Backup, on, allowed); r.Timeline != on && slices.ContainsFunc(along, func(m pgdata.Moment) bool { return m.Start == want.Start && m.End == want.End }) {
		t.Fatalf("%s: planned along timeline %d, and its stop lies on %d, whose WAL is there", target, r.Timeline, on)
	}
	if !ok || !whole || r.Stop != stop || r.Reach != reach || r.Consistent != (want.Kind == 0) {
		t.Fatalf("%s: planned to stop at %s (%s) along timeline %d from %s; it is exact at %v %v; with the plan's segments alone: %v", target, r.Stop, r.Reach, r.Timeline, r.Backup.Point, want, ok, whole)
	}
	end := target == cofre.RecoveryTarget{Timeline: target.Timeline}
	if torn != (len(r.Notes) > 0) || torn && !end && !target.Immediate {
		t.Fatalf("%s: planned to stop at %s, where a database is being dropped: %t; noted %v", target, r.Stop, torn, r.Notes)
	}
	if end && interrupted && len(w.damaged) > 0 && slices.ContainsFunc(r.Segments, func(s pgdata.Segment) bool {
		return slices.ContainsFunc(w.inside(s), func(m pgdata.Moment) bool { return w.damaged[m.Start] && m.Start > r.Stop })
	}) {
		t.Fatalf("to the end: planned to stop at %s, before a record that is damaged", r.Stop)
	}
	var spaces []recovery.Tablespace
	for _, m := range records {
		if m.Kind == pgdata.MomentTablespaceCreate && m.End <= reach {
			spaces = append(spaces, recovery.Tablespace{OID: m.OID, Path: m.Path, At: m.Start, InPlace: m.InPlace})
		}
	}
	if !slices.Equal(spaces, r.Tablespaces) {
		t.Fatalf("%s: planned to stop at %s, creating tablespaces %v, and creates %v", target, r.Stop, r.Tablespaces, spaces)
	}
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
		var kept []recovery.BaseBackup
		for _, b := range w.backups {
			if rapid.Bool().Draw(t, "keep") {
				kept = append(kept, b)
			}
		}
		since := w.clock.Add(-time.Duration(rapid.IntRange(0, 40).Draw(t, "window")) * time.Minute)
		expired := recovery.Expired(kept, &w.wal, since)
		if len(kept) == 0 && len(expired) > 0 {
			t.Fatalf("without a base backup %d segments may go", len(expired))
		}
		before := recovery.WAL{SystemID: 7, SegmentSize: size, Segments: map[pgdata.Segment]bool{}, Unfinished: w.wal.Unfinished, Histories: w.wal.Histories}
		for s := range w.wal.Segments {
			before.Segments[s] = true
		}
		ask := func(target cofre.RecoveryTarget, backups []recovery.BaseBackup) string {
			r, err := recovery.Recover(target, backups, &w.wal, w.scan)
			if err != nil {
				return "refused"
			}
			return fmt.Sprint(r.Backup.Point, r.Timeline, r.Stop)
		}
		type question struct {
			target  cofre.RecoveryTarget
			backups []recovery.BaseBackup
		}
		var questions []question
		for _, b := range kept {
			questions = append(questions, question{cofre.RecoveryTarget{Immediate: true}, []recovery.BaseBackup{b}})
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

	_, err := recovery.Recover(cofre.RecoveryTarget{At: day(1)}, w.backups, &w.wal, w.scan)
	want := "recovery target time 2026-11-01T00:01:00Z cannot be reached: every base backup ended after it (reachable: from --at 2026-11-01T00:03:00Z, to --at 2026-11-01T00:22:59.999999Z)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = recovery.Recover(cofre.RecoveryTarget{At: day(23)}, w.backups, &w.wal, w.scan)
	want = "recovery target time 2026-11-01T00:23:00Z cannot be reached: the last transaction in the WAL ended at 2026-11-01T00:23:00Z (reachable: from --at 2026-11-01T00:03:00Z, to --at 2026-11-01T00:22:59.999999Z)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	r, err := recovery.Recover(cofre.RecoveryTarget{At: day(15)}, w.backups, &w.wal, w.scan)
	if err != nil || !r.CommitAt.Equal(day(15)) || r.Timeline != 1 || r.Backup.Point != "p0" {
		t.Errorf("%+v, %v", r, err)
	}
	delete(w.wal.Segments, missing)
	_, err = recovery.Recover(cofre.RecoveryTarget{At: day(20)}, w.backups, &w.wal, w.scan)
	var gap *cofre.GapError
	if !errors.As(err, &gap) || gap.From != "000000010000000000000006" || gap.To != gap.From {
		t.Errorf("across a gap: %v", err)
	}
	if _, err = recovery.Recover(cofre.RecoveryTarget{At: day(8)}, w.backups, &w.wal, w.scan); err != nil {
		t.Errorf("before the gap: %v", err)
	}
	if _, err = recovery.Recover(cofre.RecoveryTarget{}, w.backups, &w.wal, w.scan); !errors.As(err, &gap) || cofre.Hint(err) == "" {
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
	r, err = recovery.Recover(cofre.RecoveryTarget{At: w2.clock.Add(-2 * time.Minute)}, w2.backups, &w2.wal, w2.scan)
	if err != nil || r.Backup.Point != "p0" {
		t.Errorf("from a base backup that ended later than it says: %+v, %v", r, err)
	}
	report := recovery.Windows(w.backups, &w.wal)
	if len(report.Windows) != 1 || report.Windows[0].To != 6*size || len(report.Gaps) != 1 {
		t.Errorf("windows %+v", report)
	}
	if _, err := recovery.Recover(cofre.RecoveryTarget{}, nil, &w.wal, w.scan); err == nil {
		t.Error("recovered without a base backup")
	}
}

// TestWhatLiesOnAnotherTimelineIsNamed: a copy was promoted at an earlier moment, and is the original now; what came after that moment
// is not along its timeline.
func TestWhatLiesOnAnotherTimelineIsNamed(t *testing.T) {
	w := newWorld()
	w.backup(1000)
	fork := w.end[1]
	w.write(100)
	xid := w.xid
	w.tick()
	w.commits[1] = append(w.commits[1], pgdata.Moment{Kind: pgdata.MomentRestorePoint, Start: w.end[1], End: w.end[1] + 100, At: w.clock, Name: "it's here"})
	w.end[1] += 100
	last := w.clock
	w.write(100)
	w.fork(fork)
	w.archive()
	for _, c := range []struct {
		target cofre.RecoveryTarget
		flags  string
	}{
		{cofre.RecoveryTarget{Name: "it's here"}, `--name 'it'\''s here' --timeline 1`},
		{cofre.RecoveryTarget{XID: uint64(xid)}, fmt.Sprintf("--xid %d --timeline 1", xid)},
		{cofre.RecoveryTarget{XID: uint64(xid), Exclusive: true}, fmt.Sprintf("--xid %d --exclusive --timeline 1", xid)},
		{cofre.RecoveryTarget{LSN: fork + 120}, fmt.Sprintf("--lsn %s --timeline 1", fork+120)},
		{cofre.RecoveryTarget{At: last}, "--at " + last.Format(time.RFC3339) + " --timeline 1"},
	} {
		_, err := recovery.Recover(c.target, w.backups, &w.wal, w.scan)
		var unreachable *cofre.UnreachableError
		if !errors.As(err, &unreachable) {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		if got := unreachable.Nearest[len(unreachable.Nearest)-1].Text; got != "on timeline 1: "+c.flags {
			t.Errorf("%s: %q, want %s at the end of %v", c.target, got, c.flags, err)
		}
		c.target.Timeline = 1
		if _, err := recovery.Recover(c.target, w.backups, &w.wal, w.scan); err != nil {
			t.Errorf("what is named: %v", err)
		}
		c.target.Timeline = 2
		if _, err := recovery.Recover(c.target, w.backups, &w.wal, w.scan); err == nil || strings.Contains(err.Error(), "--timeline 1") {
			t.Errorf("a timeline that was asked for: %v", err)
		}
	}
}

// TestRecoverPrefersWhole: a base backup that is not whole is used only where no whole one leads to the same place.
func TestRecoverPrefersWhole(t *testing.T) {
	w := newWorld()
	w.backup(100)
	w.write(500)
	w.backup(100)
	w.write(500)
	at := w.clock
	w.write(500)
	w.archive()
	for _, target := range []cofre.RecoveryTarget{{}, {At: at}} {
		for partial, want := range map[int]cofre.PointID{0: "p1", 1: "p0"} {
			backups := slices.Clone(w.backups)
			backups[partial].Partial = true
			r, err := recovery.Recover(target, backups, &w.wal, w.scan)
			if err != nil || r.Backup.Point != want || (len(r.Notes) > 0) != (partial == 1) {
				t.Errorf("%s with base backup %d not whole: from %v, %v, want from %s", target, partial, r, err, want)
			}
		}
		only := slices.Clone(w.backups[1:])
		only[0].Partial = true
		if r, err := recovery.Recover(target, only, &w.wal, w.scan); err != nil || len(r.Notes) != 1 {
			t.Errorf("%s with nothing but a base backup that is not whole: %v, %v, want it with a note", target, r, err)
		}
	}
}

// TestRecoverNamesTornCopies: a database that was copied while a base backup was taken, from one that was changed before that ended, is
// made from an older base backup, or named.
func TestRecoverNamesTornCopies(t *testing.T) {
	dir := func(space, database uint32) pgdata.DatabaseDir {
		return pgdata.DatabaseDir{Tablespace: space, Database: database}
	}
	copied := func(from, to pgdata.DatabaseDir) pgdata.Moment {
		return pgdata.Moment{Kind: pgdata.MomentDatabaseCreate, OID: to.Database, Dirs: []pgdata.DatabaseDir{to}, CopiedFrom: from}
	}
	changed := func(d pgdata.DatabaseDir) pgdata.Moment {
		return pgdata.Moment{Kind: pgdata.MomentDatabaseChange, OID: d.Database, Dirs: []pgdata.DatabaseDir{d}}
	}
	dropped := func(d pgdata.DatabaseDir) pgdata.Moment {
		return pgdata.Moment{Kind: pgdata.MomentDatabaseDrop, OID: d.Database, Dirs: []pgdata.DatabaseDir{d}}
	}
	commit, abort := pgdata.Moment{Kind: pgdata.MomentCommit}, pgdata.Moment{Kind: pgdata.MomentAbort}
	source, target, moved := dir(1663, 5), dir(1663, 20000), dir(20001, 5)
	for name, c := range map[string]struct {
		within, after []pgdata.Moment // the second base backup
		torn          bool
	}{
		"source changed":             {[]pgdata.Moment{copied(source, target), commit, changed(source)}, nil, true},
		"source dropped":             {[]pgdata.Moment{copied(source, target), commit, dropped(source), commit}, nil, true},
		"moved":                      {[]pgdata.Moment{copied(source, moved), commit, dropped(source)}, nil, true},
		"committed only after it":    {[]pgdata.Moment{copied(source, target), changed(source)}, []pgdata.Moment{commit}, true},
		"source changed after it":    {[]pgdata.Moment{copied(source, target), commit}, []pgdata.Moment{changed(source)}, false},
		"source changed before":      {[]pgdata.Moment{changed(source), copied(source, target), commit}, nil, false},
		"another changed":            {[]pgdata.Moment{copied(source, target), commit, changed(target), changed(moved)}, nil, false},
		"aborted":                    {[]pgdata.Moment{copied(source, target), changed(source), abort}, nil, false},
		"what was made dropped":      {[]pgdata.Moment{copied(source, target), commit, changed(source)}, []pgdata.Moment{dropped(target), commit}, false},
		"not copied while it was on": {nil, []pgdata.Moment{copied(source, target), commit, changed(source)}, false},
	} {
		w := newWorld()
		w.backup(100)
		w.write(500)
		w.tick()
		b := recovery.BaseBackup{Point: "p1", SystemID: 7, Timeline: 1, Start: w.end[1], StartedAt: w.clock}
		put := func(all []pgdata.Moment) {
			for _, m := range all {
				w.tick()
				if m.At = w.clock; name != "moved" || m.Kind == pgdata.MomentCommit {
					m.XID = 900
				}
				w.put(64, m)
			}
		}
		w.write(10)
		put(c.within)
		w.write(10)
		w.tick()
		b.Stop, b.StoppedAt = w.end[1], w.clock
		w.backups = append(w.backups, b)
		w.write(100)
		put(c.after)
		w.write(10)
		at := w.clock
		w.write(500)
		w.archive()
		for _, target := range []cofre.RecoveryTarget{{}, {At: at}} {
			want := cofre.PointID("p1")
			if c.torn {
				want = "p0"
			}
			if r, err := recovery.Recover(target, w.backups, &w.wal, w.scan); err != nil || r.Backup.Point != want || len(r.Torn) > 0 || (len(r.Notes) > 0) != c.torn {
				t.Errorf("%s: %s: %+v, %v, want from %s", name, target, r, err, want)
			}
			if r, err := recovery.Recover(target, w.backups[1:], &w.wal, w.scan); err != nil || (len(r.Torn) == 1) != c.torn || (len(r.Notes) > 0) != c.torn {
				t.Errorf("%s: %s: from the only base backup: %+v, %v, want torn %t", name, target, r, err, c.torn)
			}
		}
	}
}

// TestRecoverStaysInHistory: a whole base backup of a history that was left is no way to the newest.
func TestRecoverStaysInHistory(t *testing.T) {
	w := newWorld()
	w.backup(100)
	w.write(500)
	fork := w.end[1]
	w.write(500)
	w.backup(100) // of the timeline that was left
	w.write(500)
	w.fork(fork)
	w.write(500)
	w.backup(100)
	w.write(500)
	w.archive()
	w.backups[2].Partial = true
	r, err := recovery.Recover(cofre.RecoveryTarget{}, w.backups, &w.wal, w.scan)
	if err != nil || r.Backup.Point != "p0" || r.Timeline != 2 {
		t.Errorf("to the end: %v, %v, want from p0 along timeline 2", r, err)
	}
}
