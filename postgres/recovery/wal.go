package recovery

import (
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// BaseBackup is what the planner has to know about one base backup.
type BaseBackup struct {
	Point     cofre.PointID
	SystemID  cofre.SystemID
	Timeline  cofre.Timeline
	Start     cofre.LSN // the redo point: recovery reads WAL from here
	Stop      cofre.LSN // recovery is not consistent before here
	StartedAt time.Time
	StoppedAt time.Time
	Bytes     int64
	OwnWAL    bool // it carries the WAL from Start to Stop
	// OwnWALOnly says that the archive has WAL of another cluster under the names of this one's: nothing in it continues the
	// backup. ForeignWAL is the first such segment, if it is one.
	OwnWALOnly bool
	ForeignWAL string
	WALSigned  bool     // the archive believed nothing but what is signed
	WALRevoked []string // the keys, by ID, that it did not believe any more
	Partial    bool     // something of it is known not to be as it was: a damaged page
	Dropping   []Dropping
}

// SignedFor is the first base backup of a system that was taken when its archive believed nothing but what is signed; ok is false if there is none.
func SignedFor(backups []BaseBackup, system cofre.SystemID) (point cofre.PointID, ok bool) {
	i := slices.IndexFunc(backups, func(b BaseBackup) bool { return b.SystemID == system && b.WALSigned })
	if i < 0 {
		return "", false
	}
	return backups[i].Point, true
}

// RevokedFor says of each key that an archive did not believe any more when a base backup of a system was taken, which was the first of these.
func RevokedFor(backups []BaseBackup, system cofre.SystemID) map[string]cofre.PointID {
	all := map[string]cofre.PointID{}
	for _, b := range backups {
		for _, id := range b.WALRevoked {
			if _, ok := all[id]; !ok && b.SystemID == system {
				all[id] = b.Point
			}
		}
	}
	return all
}

// Dropping is a database that was being dropped when a base backup had begun. It had been marked then, possibly in WAL
// before Start that no recovery reads.
type Dropping struct {
	OID  uint32 `json:"oid"`
	Name string `json:"name"`
	XID  uint32 `json:"xid"`
}

// continues reports whether the WAL may go on from a base backup.
func (w *WAL) continues(b BaseBackup) bool { return b.SystemID == w.SystemID && !b.OwnWALOnly }

// WAL is what a repository holds of one system's WAL.
type WAL struct {
	SystemID    cofre.SystemID
	SegmentSize int64 // bytes
	Segments    map[pgdata.Segment]bool
	// Unfinished holds how many bytes there are, from the segment's beginning, of segments that are not whole:
	// what streaming brought so far, or the last of a timeline that ended.
	Unfinished map[pgdata.Segment]int64
	Histories  map[cofre.Timeline]pgdata.History // of every timeline but 1
	// Breaks are the segments of which it is known that recovery does not get past a position in them, or to their
	// beginning from the segment before. Recover adds those that turn out to be unreadable.
	Breaks map[pgdata.Segment]Break
}

// Break is where the records of consecutive segments do not go on.
type Break struct {
	At  cofre.LSN
	Why string
	// Unreadable says that the segment is there, and what is stored of it is damaged: nothing of it is of use, and At is its
	// beginning. It is a gap like one that is missing.
	Unreadable bool
	// Refused says that it is Unreadable because nobody has signed it who is believed: it may be whole.
	Refused bool
}

// unreadable reports whether what is stored of a segment is known to be damaged.
func (w *WAL) unreadable(s pgdata.Segment) bool { return w.Breaks[s].Unreadable }

// Damaged notes that what is stored of a segment cannot be read, and reports whether that is new.
func (w *WAL) Damaged(s pgdata.Segment, why string) bool {
	if w.unreadable(s) {
		return false
	}
	if w.Breaks == nil {
		w.Breaks = map[pgdata.Segment]Break{}
	}
	w.Breaks[s] = Break{At: s.Start(w.SegmentSize), Why: strings.TrimPrefix(why, unread), Unreadable: true}
	return true
}

// Refused notes that a segment is there, and is not believed, as Damaged does.
func (w *WAL) Refused(s pgdata.Segment, why string) bool {
	isNew := w.Damaged(s, why)
	if isNew {
		b := w.Breaks[s]
		b.Refused = true
		w.Breaks[s] = b
	}
	return isNew
}

// History returns the ancestry of a timeline. Timeline 1 has none; another of which none was archived counts as
// unknown, for nothing says from where it can be reached.
func (w *WAL) History(tli cofre.Timeline) (pgdata.History, bool) {
	if h, ok := w.Histories[tli]; ok {
		return h, true
	}
	return pgdata.History{Timeline: tli}, tli == 1 || w.root() == tli
}

// root is the timeline that everything in the archive began with: a cluster whose archive is younger than its
// last failover starts on a timeline whose ancestors nobody kept. It is the oldest, and known only by its WAL.
func (w *WAL) root() cofre.Timeline {
	var oldest cofre.Timeline
	for s := range w.Segments {
		if oldest == 0 || s.Timeline < oldest {
			oldest = s.Timeline
		}
	}
	return oldest
}

// Timelines lists every timeline of which there is WAL or a history, newest first.
func (w *WAL) Timelines() []cofre.Timeline {
	set := map[cofre.Timeline]bool{}
	for s := range w.Segments {
		set[s.Timeline] = true
	}
	for s := range w.Unfinished {
		set[s.Timeline] = true
	}
	for t := range w.Histories {
		set[t] = true
	}
	var all []cofre.Timeline
	for t := range set {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b cofre.Timeline) int { return int(int64(b) - int64(a)) })
	return all
}

// way is the WAL along one timeline's history from a position on, as far as it goes without interruption.
type way struct {
	segments []pgdata.Segment
	end      cofre.LSN      // the byte after the last that is there
	missing  pgdata.Segment // the first that is not
	// gap is set if WAL goes on after what is missing: it was lost, or has not arrived yet.
	gap *cofre.GapError
}

// until is the way up to a position.
func (w way) until(end cofre.LSN, size int64) way {
	w.end = min(w.end, end)
	n := 0
	for n < len(w.segments) && w.segments[n].Start(size) < w.end {
		n++
	}
	w.segments = w.segments[:n:n]
	return w
}

// along follows h from the segment that holds from.
//
// The segment in which a timeline forks exists under both names. The child's begins with a copy of the parent's
// bytes and goes on with its own records, so that the child's is the one that leads on; if it is missing the
// parent's still leads up to the fork.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI.
func (w *WAL) along(h pgdata.History, from cofre.LSN) way { return w.joining(h, from, nil) }

// joining is along, and goes on as the way does that begins in a segment that it comes to, if that is known: of years of base backups each would be walked to the end
// of the WAL otherwise. What it then says of segments ends there.
func (w *WAL) joining(h pgdata.History, from cofre.LSN, known map[uint64]way) way {
	out := way{end: from}
	size := w.SegmentSize
	for number := uint64(from) / uint64(size); ; number++ {
		s := pgdata.Segment{Timeline: w.timelineOf(h, number), Number: number}
		if w.Segments[s] && !w.unreadable(s) {
			if b, ok := w.Breaks[s]; ok && b.At >= from {
				w.breakIn(&out, s, b)
				return out
			}
			if then, ok := known[number]; ok && w.Breaks[s] == (Break{}) {
				out.end, out.gap, out.missing = then.end, then.gap, then.missing
				return out
			}
			out.segments = append(out.segments, s)
			out.end = s.End(size)
			continue
		}
		w.part(&out, s, s.End(size))
		for _, f := range slices.Backward(h.Forks) {
			if uint64(f.At)/uint64(size) == number {
				w.part(&out, pgdata.Segment{Timeline: f.Parent, Number: number}, f.At)
			}
		}
		out.missing, out.gap = s, w.gapAt(h, s)
		if b := w.Breaks[s]; b.Unreadable {
			name := s.Name(size)
			out.gap = &cofre.GapError{Timeline: s.Timeline, From: name, To: name, Why: b.Why, Said: Reason(b.Why), Refused: b.Refused}
		}
		return out
	}
}

// breakIn ends the way in a segment that is there.
func (w *WAL) breakIn(out *way, s pgdata.Segment, b Break) {
	if b.At > s.Start(w.SegmentSize) {
		out.segments = append(out.segments, s)
	}
	name := s.Name(w.SegmentSize)
	out.end, out.missing = b.At, s
	out.gap = &cofre.GapError{Timeline: s.Timeline, From: name, To: name, BreaksAt: b.At, Why: b.Why, Said: Reason(b.Why)}
}

// part adds a segment that is of use up to a position only, if it leads on.
func (w *WAL) part(out *way, s pgdata.Segment, until cofre.LSN) {
	reach := s.Start(w.SegmentSize)
	if w.unreadable(s) {
		return
	}
	if w.Segments[s] {
		reach = s.End(w.SegmentSize)
	} else {
		reach += cofre.LSN(w.Unfinished[s])
	}
	if reach = min(reach, until); reach > out.end {
		out.segments = append(out.segments, s)
		out.end = reach
	}
}

// last is the furthest segment that exists on the way to h.Timeline.
func (w *WAL) last(h pgdata.History) pgdata.Segment {
	var last pgdata.Segment
	consider := func(s pgdata.Segment) {
		if s.Number >= last.Number && w.onWay(h, s) {
			last = s
		}
	}
	for s := range w.Segments {
		consider(s)
	}
	for s := range w.Unfinished {
		consider(s)
	}
	return last
}

// onWay reports whether a recovery to h.Timeline reads s.
func (w *WAL) onWay(h pgdata.History, s pgdata.Segment) bool {
	size := uint64(w.SegmentSize)
	for i, b := range h.Branches() {
		if b.Timeline == s.Timeline {
			return s.Number >= uint64(b.From)/size && (i == len(h.Forks) || s.Number < uint64(b.To)/size)
		}
	}
	return false
}

// gapAt names the gap that begins with first, or returns nil if nothing follows: the WAL ends there.
func (w *WAL) gapAt(h pgdata.History, first pgdata.Segment) *cofre.GapError {
	last := w.last(h)
	if last.Number <= first.Number {
		return nil
	}
	gap := first
	for s := first; s.Number < last.Number; s.Number++ {
		s.Timeline = w.timelineOf(h, s.Number)
		_, unfinished := w.Unfinished[s]
		if w.Segments[s] || (unfinished && s != first) {
			break
		}
		gap = s
	}
	return &cofre.GapError{Timeline: first.Timeline, From: first.Name(w.SegmentSize), To: gap.Name(w.SegmentSize)}
}

// timelineOf is the timeline under whose name a segment is read on the way to h.Timeline.
func (w *WAL) timelineOf(h pgdata.History, number uint64) cofre.Timeline {
	for _, f := range h.Forks {
		if number < uint64(f.At)/uint64(w.SegmentSize) {
			return f.Parent
		}
	}
	return h.Timeline
}
