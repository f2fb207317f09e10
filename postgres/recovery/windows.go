package recovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Window is a stretch of moments that can be reached: everything from where a base backup stopped to where the
// WAL that follows it on a timeline ends or is interrupted.
type Window struct {
	Timeline cofre.Timeline `json:"timeline"`
	Backup   cofre.PointID  `json:"base_backup"` // the oldest from which the window can be reached
	Backups  int            `json:"base_backups"`
	From     cofre.LSN      `json:"from"`
	FromAt   time.Time      `json:"from_at"`
	// Moment is the first that was planned, to be typed as a recovery target; zero if none was, and NoMoment says why.
	Moment    time.Time `json:"first_moment,omitzero"`
	NoMoment  string    `json:"no_moment,omitempty"`
	Unplanned error     `json:"-"`  // that NoMoment is the text of
	To        cofre.LSN `json:"to"` // the byte after the last that is there
	// Gap is what ends the window though WAL goes on after it; nil if the WAL itself ends.
	Gap *cofre.GapError `json:"gap,omitempty"`
}

// Report is what can be reached, from base backups and the list of segments alone.
type Report struct {
	Windows []Window // by timeline and position
	// Gaps are the holes in the WAL that follows a base backup, each once. WAL older than every base backup can
	// reach nothing and so cannot be missing.
	Gaps []cofre.GapError
	// Unusable are base backups that cannot become consistent: WAL between their start and stop is missing.
	Unusable []cofre.PointID
}

// Windows computes what can be reached.
func Windows(backups []BaseBackup, w *WAL) Report {
	var r Report
	type key struct {
		tli cofre.Timeline
		end cofre.LSN
	}
	byEnd := map[key]int{}
	usable := map[cofre.PointID]bool{}
	gaps := map[cofre.GapError]bool{}
	timelines := w.Timelines()
	for _, b := range backups {
		if b.SystemID == w.SystemID && !slices.Contains(timelines, b.Timeline) {
			timelines = append(timelines, b.Timeline)
		}
	}
	newestFirst := slices.SortedStableFunc(slices.Values(backups), func(a, b BaseBackup) int { return cmp.Compare(b.Start, a.Start) })
	for _, tli := range timelines {
		h, ok := w.History(tli)
		if !ok {
			continue
		}
		known := map[uint64]way{}
		for _, b := range newestFirst {
			if !w.continues(b) || !h.Contains(b.Timeline, b.Stop) {
				continue
			}
			way := w.joining(h, b.Start, known)
			known[uint64(b.Start)/uint64(w.SegmentSize)] = way
			if way.gap != nil {
				gaps[*way.gap] = true
			}
			if way.end < b.Stop {
				continue
			}
			usable[b.Point] = true
			k := key{tli, way.end}
			i, ok := byEnd[k]
			if !ok {
				i = len(r.Windows)
				byEnd[k] = i
				r.Windows = append(r.Windows, Window{Timeline: tli, Backup: b.Point, From: b.Stop, FromAt: b.StoppedAt, To: way.end, Gap: way.gap})
			}
			win := &r.Windows[i]
			win.Backups++
			if b.Stop < win.From {
				win.Backup, win.From, win.FromAt = b.Point, b.Stop, b.StoppedAt
			}
		}
	}
	for _, b := range backups {
		if b.SystemID == w.SystemID && !usable[b.Point] {
			r.Unusable = append(r.Unusable, b.Point)
		}
	}
	for g := range gaps {
		r.Gaps = append(r.Gaps, g)
	}
	slices.SortFunc(r.Windows, func(a, b Window) int { return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.From, b.From)) })
	slices.SortFunc(r.Gaps, func(a, b cofre.GapError) int { return cmp.Compare(a.From, b.From) })
	return r
}

// Needed returns the segments without which b cannot become consistent. A base backup is published only when all
// of them are in the repository.
func Needed(b BaseBackup, size int64) []pgdata.Segment {
	var out []pgdata.Segment
	first, last := pgdata.SegmentAt(b.Timeline, b.Start, size), pgdata.SegmentAt(b.Timeline, max(b.Stop, 1)-1, size)
	for s := first; s.Number <= last.Number; s = s.Next() {
		out = append(out, s)
	}
	return out
}

// Expired decides which WAL may go: everything before the oldest position from which recovery is promised.
// Promised are, on every timeline, all moments from since on, recovered from the newest kept base backup that
// stopped before it; and every kept base backup for itself. A zero since promises every moment after the oldest
// kept base backup. Without any base backup nothing may go: the first one may be on its way.
//
// A segment that is on no such way may go too, unless it is ahead of every kept base backup, or of a timeline
// whose history has not arrived yet.
func Expired(kept []BaseBackup, w *WAL, since time.Time) []pgdata.Segment {
	var own []BaseBackup
	for _, b := range kept {
		if w.continues(b) {
			own = append(own, b)
		}
	}
	if len(own) == 0 {
		return nil
	}
	// Every kept base backup keeps its own WAL, from start to stop: without it it would be dead weight.
	needed := map[pgdata.Segment]bool{}
	for _, b := range own {
		for _, s := range Needed(b, w.SegmentSize) {
			needed[s] = true
		}
	}
	// The window is kept on every timeline apart: moments of the one that a failover left behind can be asked
	// for too, and base backups of the new one do not lead there.
	slices.SortFunc(own, func(a, b BaseBackup) int { return b.StoppedAt.Compare(a.StoppedAt) })
	for _, tli := range w.Timelines() {
		h, ok := w.History(tli)
		if !ok {
			continue
		}
		for _, b := range own {
			if !h.Contains(b.Timeline, b.Stop) {
				continue
			}
			from := pgdata.SegmentAt(0, b.Start, w.SegmentSize).Number
			for s := range w.all() {
				// Both files of a fork: the parent's is the only one that leads up to it if the child's is lost.
				if s.Number >= from && (w.onWay(h, s) || w.endsIn(h, s)) {
					needed[s] = true
				}
			}
			if !since.IsZero() && !b.StoppedAt.After(since) {
				break // older moments are not promised
			}
		}
	}
	var expired []pgdata.Segment
	for s := range w.all() {
		if !needed[s] && !w.unexplained(s) && s.Number < pgdata.SegmentAt(0, newestStart(own), w.SegmentSize).Number {
			expired = append(expired, s)
		}
	}
	slices.SortFunc(expired, func(a, b pgdata.Segment) int {
		return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.Number, b.Number))
	})
	return expired
}

func newestStart(own []BaseBackup) cofre.LSN {
	var at cofre.LSN
	for _, b := range own {
		at = max(at, b.Start)
	}
	return at
}

// unexplained reports whether nothing says where the timeline of s came from: its history has not arrived yet.
func (w *WAL) unexplained(s pgdata.Segment) bool {
	_, ok := w.History(s.Timeline)
	return !ok
}

// endsIn reports whether s is the segment of a parent in which a child of the way forks.
func (w *WAL) endsIn(h pgdata.History, s pgdata.Segment) bool {
	for _, f := range h.Forks {
		if f.Parent == s.Timeline && uint64(f.At)/uint64(w.SegmentSize) == s.Number {
			return true
		}
	}
	return false
}

func (w *WAL) all() map[pgdata.Segment]bool {
	all := make(map[pgdata.Segment]bool, len(w.Segments)+len(w.Unfinished))
	for s := range w.Segments {
		all[s] = true
	}
	for s := range w.Unfinished {
		all[s] = true
	}
	return all
}
