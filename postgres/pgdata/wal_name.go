package pgdata

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
)

// ValidSegmentSize reports whether n bytes can be the size of a WAL segment: a power of two from 1 MiB to 1 GiB.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, IsValidWalSegSize.
func ValidSegmentSize(n int64) bool { return n >= 1<<20 && n <= 1<<30 && n&(n-1) == 0 }

// Segment is one WAL segment: the stretch [Number×size, (Number+1)×size) of a timeline.
type Segment struct {
	Timeline cofre.Timeline
	Number   uint64 // counted from 0; the first that exists is 1
}

// SegmentAt returns the segment that holds the byte at lsn. The byte before lsn, which matters where something
// ends, is in SegmentAt(tli, lsn-1, size).
func SegmentAt(tli cofre.Timeline, lsn cofre.LSN, size int64) Segment {
	return Segment{tli, uint64(lsn) / uint64(size)}
}

// Start is the position of the segment's first byte.
func (s Segment) Start(size int64) cofre.LSN { return cofre.LSN(s.Number * uint64(size)) }

// End is the position after the segment's last byte.
func (s Segment) End(size int64) cofre.LSN { return cofre.LSN((s.Number + 1) * uint64(size)) }

// Next is the segment that follows on the same timeline.
func (s Segment) Next() Segment { return Segment{s.Timeline, s.Number + 1} }

// Name is the segment's file name: timeline, upper and lower part of the number, 8 upper-case hexadecimal
// digits each. Where the number is split depends on the size.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, XLogFileName.
func (s Segment) Name(size int64) string {
	per := segmentsPerID(size)
	return fmt.Sprintf("%08X%08X%08X", uint32(s.Timeline), uint32(s.Number/per), uint32(s.Number%per))
}

func segmentsPerID(size int64) uint64 { return 1 << 32 / uint64(size) }

// IsSegmentName reports whether name has the form of a segment's name.
func IsSegmentName(name string) bool { return len(name) == 24 && isHex(name) }

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// ParseSegment reads a segment's name.
//
// Errors: one that quotes the name, also where the name cannot be of a cluster with segments of this size.
func ParseSegment(name string, size int64) (Segment, error) {
	if !IsSegmentName(name) || !ValidSegmentSize(size) {
		return Segment{}, fmt.Errorf("%q is not the name of a WAL segment", name)
	}
	part := func(i int) uint64 {
		n, _ := strconv.ParseUint(name[i:i+8], 16, 32) // isHex has looked at every digit
		return n
	}
	per := segmentsPerID(size)
	if part(0) == 0 || part(16) >= per {
		return Segment{}, fmt.Errorf("%q is not the name of a WAL segment of %d bytes", name, size)
	}
	return Segment{cofre.Timeline(part(0)), part(8)*per + part(16)}, nil
}

// WALKind says what a file of pg_wal is, by its name.
type WALKind int

// The kinds of file that PostgreSQL archives.
const (
	WALSegment WALKind = iota + 1
	WALPartial         // the last segment of a timeline that ended, with only its beginning valid
	WALHistory         // of a timeline
	WALBackup          // the history of a base backup
)

// WALName is the name of a file that PostgreSQL archives, taken apart.
type WALName struct {
	Kind     WALKind
	Timeline cofre.Timeline
	Segment  string // for a segment, its partial, and a backup: the segment's name
	Offset   uint32 // for a backup: where in that segment it started
}

// ParseWALName takes the name of an archived file apart: SEGMENT, SEGMENT.partial, TIMELINE.history,
// SEGMENT.OFFSET.backup.
//
// Errors: one that quotes the name.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, IsXLogFileName and its neighbours.
func ParseWALName(name string) (WALName, error) {
	bad := fmt.Errorf("%q is not the name of a file that PostgreSQL archives", name)
	tli := func() cofre.Timeline {
		n, _ := strconv.ParseUint(name[:8], 16, 32)
		return cofre.Timeline(n)
	}
	var w WALName
	switch {
	case IsSegmentName(name):
		w = WALName{Kind: WALSegment, Timeline: tli(), Segment: name}
	case len(name) == 32 && IsSegmentName(name[:24]) && name[24:] == ".partial":
		w = WALName{Kind: WALPartial, Timeline: tli(), Segment: name[:24]}
	case len(name) == 16 && isHex(name[:8]) && name[8:] == ".history":
		w = WALName{Kind: WALHistory, Timeline: tli()}
	case len(name) == 40 && IsSegmentName(name[:24]) && name[24] == '.' && isHex(name[25:33]) && name[33:] == ".backup":
		off, _ := strconv.ParseUint(name[25:33], 16, 32)
		w = WALName{Kind: WALBackup, Timeline: tli(), Segment: name[:24], Offset: uint32(off)}
	default:
		return WALName{}, bad
	}
	if w.Timeline == 0 {
		return WALName{}, bad
	}
	return w, nil
}

// HistoryName is the file name of a timeline's history: 00000002.history.
func HistoryName(tli cofre.Timeline) string { return fmt.Sprintf("%08X.history", uint32(tli)) }

// Fork is one step of a timeline's history: Parent was followed until At, where its child begins.
type Fork struct {
	Parent cofre.Timeline
	At     cofre.LSN
	Reason string
}

// History is the ancestry of a timeline, oldest parent first. Timeline 1 has none.
type History struct {
	Timeline cofre.Timeline
	Forks    []Fork
}

// ParseHistory reads the history file of a timeline.
//
// Errors: cofre.ErrCorrupt.
//
// Source: PostgreSQL, src/backend/access/transam/timeline.c, readTimeLineHistory.
func ParseHistory(tli cofre.Timeline, b []byte) (History, error) {
	h := History{Timeline: tli}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " \t")
		if text == "" || text[0] == '#' {
			continue
		}
		bad := fmt.Errorf("read history of timeline %d: line %q: %w", tli, line, cofre.ErrCorrupt)
		fields := strings.SplitN(text, "\t", 3)
		if len(fields) < 2 {
			return History{}, bad
		}
		parent, err := parseTimeline(fields[0])
		if err != nil {
			return History{}, bad
		}
		at, err := cofre.ParseLSN(strings.TrimSpace(fields[1]))
		if err != nil {
			return History{}, bad
		}
		f := Fork{Parent: parent, At: at}
		if len(fields) == 3 {
			f.Reason = fields[2]
		}
		if n := len(h.Forks); n > 0 && (h.Forks[n-1].Parent >= parent || h.Forks[n-1].At > at) {
			return History{}, bad
		}
		h.Forks = append(h.Forks, f)
	}
	if n := len(h.Forks); n > 0 && h.Forks[n-1].Parent >= tli {
		return History{}, fmt.Errorf("read history of timeline %d: it descends from timeline %d: %w", tli, h.Forks[n-1].Parent, cofre.ErrCorrupt)
	}
	return h, nil
}

// Encode writes what ParseHistory reads.
func (h History) Encode() []byte {
	var b strings.Builder
	for _, f := range h.Forks {
		fmt.Fprintf(&b, "%d\t%s\t%s\n", f.Parent, f.At, f.Reason)
	}
	return []byte(b.String())
}

// Branch is a stretch of one timeline on the way to another.
type Branch struct {
	Timeline cofre.Timeline
	From, To cofre.LSN // To is exclusive; math.MaxUint64 on the last
}

// Branches is the path from the beginning of all to h.Timeline, oldest first. WAL of [From, To) is to be read
// from that timeline; the segment in which it ends may be taken from the child's timeline, which repeats it.
func (h History) Branches() []Branch {
	var out []Branch
	var from cofre.LSN
	for _, f := range h.Forks {
		out = append(out, Branch{f.Parent, from, f.At})
		from = f.At
	}
	return append(out, Branch{h.Timeline, from, ^cofre.LSN(0)})
}

// TimelineAt returns the timeline that the byte at lsn belongs to, on the way to h.Timeline.
func (h History) TimelineAt(lsn cofre.LSN) cofre.Timeline {
	for _, f := range h.Forks {
		if lsn < f.At {
			return f.Parent
		}
	}
	return h.Timeline
}

// Contains reports whether the way to h.Timeline passes lsn on timeline tli, so that what ended there can be
// recovered along it.
func (h History) Contains(tli cofre.Timeline, lsn cofre.LSN) bool {
	for _, b := range h.Branches() {
		if b.Timeline == tli {
			return lsn >= b.From && lsn <= b.To
		}
	}
	return false
}
