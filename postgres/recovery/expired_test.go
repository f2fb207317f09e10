package recovery_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// TestWALThatNothingNeedsExpires: everything else goes, to the last segment, and nothing more.
func TestWALThatNothingNeedsExpires(t *testing.T) {
	w := newWorld()
	segments := func(n int) {
		for range 4 * n {
			w.write(size / 4)
		}
	}
	segments(3)
	for range 3 {
		w.backup(2*size + 100)
		segments(5)
	}
	w.archive()
	b := w.backups
	after := func(i int) time.Time { return b[i].StoppedAt.Add(time.Second) }
	number := func(at cofre.LSN) uint64 { return uint64(at) / size }
	for name, c := range map[string]struct {
		kept  []int
		since time.Time
		from  []int // the base backups from which on everything is needed
		alone []int // those of which only their own WAL is
	}{
		"every moment since the oldest":        {[]int{0, 1, 2}, time.Time{}, []int{0}, nil},
		"every moment since the oldest kept":   {[]int{1, 2}, time.Time{}, []int{1}, nil},
		"the moments since the newest":         {[]int{0, 1, 2}, after(2), []int{2}, []int{0, 1}},
		"the moments since the one before":     {[]int{0, 1, 2}, after(1), []int{1}, []int{0}},
		"the very moment at which it stopped":  {[]int{0, 1, 2}, b[1].StoppedAt, []int{1}, []int{0}},
		"moments before any base backup":       {[]int{1, 2}, after(0), []int{1}, nil},
		"the newest is not kept":               {[]int{0}, after(2), []int{0}, nil},
		"none is kept, and one may be at work": {nil, after(2), nil, nil},
	} {
		needed := func(s pgdata.Segment) bool {
			for _, i := range c.from {
				if s.Number >= number(b[i].Start) {
					return true
				}
			}
			for _, i := range c.alone {
				if s.Number >= number(b[i].Start) && s.Number <= number(b[i].Stop-1) {
					return true
				}
			}
			return len(c.kept) == 0
		}
		var kept []recovery.BaseBackup
		for _, i := range c.kept {
			kept = append(kept, b[i])
		}
		var want []uint64
		for s := range w.wal.Segments {
			if !needed(s) {
				want = append(want, s.Number)
			}
		}
		slices.Sort(want)
		var got []uint64
		for _, s := range recovery.Expired(kept, &w.wal, c.since) {
			got = append(got, s.Number)
		}
		if !slices.Equal(got, want) || len(c.kept) > 0 && len(want) == 0 {
			t.Errorf("%s: %d may go, want %d", name, got, want)
		}
	}
}

// TestWALOfATimelineThatWasLeftExpires: only base backups that lead there keep it, up to where the newest kept one began; and what a
// history has not explained yet stays.
func TestWALOfATimelineThatWasLeftExpires(t *testing.T) {
	w := newWorld()
	w.backup(100)
	for range 8 {
		w.write(size / 2)
	}
	w.fork(w.end[1] - size) // timeline 1 is left, with a segment more than the way to 2 needs
	for range 8 {
		w.write(size / 2)
	}
	w.backup(100)
	for range 8 {
		w.write(size / 2)
	}
	w.archive()
	second := w.backups[1]
	start := uint64(second.Start) / size
	before := func(segments []pgdata.Segment) bool {
		var want []pgdata.Segment
		for s := range w.wal.Segments {
			if s.Number < start {
				want = append(want, s)
			}
		}
		for s := range w.wal.Unfinished {
			if s.Number < start {
				want = append(want, s)
			}
		}
		sorted := func(a, b pgdata.Segment) int {
			if a.Timeline != b.Timeline {
				return int(a.Timeline) - int(b.Timeline)
			}
			return int(a.Number) - int(b.Number)
		}
		slices.SortFunc(want, sorted)
		return slices.IsSortedFunc(segments, sorted) && slices.Equal(segments, want) && slices.ContainsFunc(want, func(s pgdata.Segment) bool { return s.Timeline == 1 })
	}
	if got := recovery.Expired([]recovery.BaseBackup{second}, &w.wal, time.Time{}); !before(got) {
		t.Errorf("from a base backup of timeline 2 on: %v may go, want all of both timelines before %d", got, start)
	}
	if got := recovery.Expired(w.backups, &w.wal, time.Time{}); len(got) > 0 {
		t.Errorf("since the first base backup: %v may go, want none", got)
	}
	delete(w.wal.Histories, 2)
	for _, s := range recovery.Expired([]recovery.BaseBackup{second}, &w.wal, time.Time{}) {
		if s.Timeline == 2 {
			t.Errorf("%v may go, and no history says where timeline 2 came from", s)
		}
	}
	other := second
	other.SystemID++
	if got := recovery.Expired([]recovery.BaseBackup{other}, &w.wal, time.Time{}); len(got) > 0 {
		t.Errorf("of another cluster's base backup: %v may go", got)
	}
}

// TestWALBesideTheWayExpires: what a failover left behind is on no way from a base backup of the new timeline. What is ahead of every
// base backup stays: one that leads there may be on its way. So does the segment in which the timelines part, of both.
func TestWALBesideTheWayExpires(t *testing.T) {
	w := newWorld()
	for range 40 {
		w.write(size / 4)
	}
	const fork = 3
	w.fork(fork*size + size/2)
	w.backup(100)
	for range 60 {
		w.write(size / 4)
	}
	w.backup(100)
	w.archive()
	of := func(timeline cofre.Timeline, kept ...recovery.BaseBackup) (numbers []uint64) {
		for _, s := range recovery.Expired(kept, &w.wal, time.Time{}) {
			if s.Timeline == timeline {
				numbers = append(numbers, s.Number)
			}
		}
		return numbers
	}
	first, second := w.backups[0], w.backups[1]
	if uint64(first.Start)/size != fork || uint64(second.Start)/size < 15 {
		t.Fatalf("base backups began at %s and %s", first.Start, second.Start)
	}
	if got := of(1, first, second); !slices.Equal(got, []uint64{1, 2, 4, 5, 6, 7, 8, 9, 10, 11}) && !slices.Equal(got, []uint64{1, 2, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("of timeline 1 %d may go, want all except %d, in which timeline 2 begins", got, fork)
	}
	if got := of(2, first, second); len(got) > 0 {
		t.Errorf("of timeline 2 %d may go, want none", got)
	}
	if got := of(1, first); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("with one base backup, before most of it, of timeline 1 %d may go, want 1 and 2", got)
	}
}

// TestABaseBackupNeedsTheWALBetweenItsStartAndStop: without any of it, no target is reached from there, and the gap is named.
func TestABaseBackupNeedsTheWALBetweenItsStartAndStop(t *testing.T) {
	w := newWorld()
	w.write(size / 2)
	w.backup(4*size + 100)
	for range 8 {
		w.write(size / 2)
	}
	at := w.clock
	for range 8 {
		w.write(size / 2)
	}
	w.archive()
	b := w.backups[0]
	targets := []cofre.RecoveryTarget{
		{},
		{Immediate: true},
		{At: at},
		{At: at, Exclusive: true},
		{LSN: b.Stop + 2*size},
		{LSN: b.Stop},
		{LSN: b.Stop, Exclusive: true},
		{XID: uint64(w.xid) - 3},
		{Timeline: 1},
		{Immediate: true, Timeline: 1},
		{At: at, Timeline: 1},
		{LSN: b.Stop + 2*size, Timeline: 1},
		{XID: uint64(w.xid) - 3, Timeline: 1},
		{Name: "before"},
	}
	w.put(64, pgdata.Moment{Kind: pgdata.MomentRestorePoint, Name: "before", At: w.clock})
	w.write(100)
	w.archive()
	for _, target := range targets {
		r, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
		if err != nil || r.Backup.Point != b.Point {
			t.Errorf("%s: %v with all WAL", target, err)
			continue
		}
		for _, s := range recovery.Needed(b, size) {
			if !slices.Contains(r.Segments, s) {
				t.Errorf("%s: the plan does not name %s", target, s.Name(size))
			}
			delete(w.wal.Segments, s)
			_, err := recovery.Recover(target, w.backups, &w.wal, w.scan)
			var gap *cofre.GapError
			if !errors.As(err, &gap) || gap.From != s.Name(size) || cofre.Hint(err) == "" {
				t.Errorf("%s without %s: %v, hint %q, want that gap", target, s.Name(size), err, cofre.Hint(err))
			}
			w.wal.Segments[s] = true
		}
	}
	// The whole of the archive ends before the base backup did.
	for s := range w.wal.Segments {
		if s.Number >= uint64(b.Stop-1)/size {
			delete(w.wal.Segments, s)
		}
	}
	clear(w.wal.Unfinished)
	for _, target := range targets {
		var gap *cofre.GapError
		var unreachable *cofre.UnreachableError
		if r, err := recovery.Recover(target, w.backups, &w.wal, w.scan); !errors.As(err, &gap) && !errors.As(err, &unreachable) {
			t.Errorf("%s, and the archive ends before the base backup: %+v, %v", target, r, err)
		}
	}
}
