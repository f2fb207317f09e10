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
// digits each. The size decides how the number is split.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, XLogFileName.
func (s Segment) Name(size int64) string { return s.File(size).String() }

// File is the segment's file name, as a WALName.
func (s Segment) File(size int64) WALName {
	per := segmentsPerID(size)
	return WALName{Kind: WALSegment, Timeline: s.Timeline, Log: uint32(s.Number / per), Seg: uint32(s.Number % per)}
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
// Errors: one that quotes the name, also if no cluster with segments of this size has such a name.
func ParseSegment(name string, size int64) (Segment, error) {
	n, err := ParseWALName(name)
	if err != nil || n.Kind != WALSegment {
		return Segment{}, fmt.Errorf("%q is not the name of a WAL segment", name)
	}
	return n.Segment(size)
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

// WALName is the name of a file that PostgreSQL archives, taken apart. It is read once, by ParseWALName, where the name
// comes from outside; String writes it again.
type WALName struct {
	Kind     WALKind
	Timeline cofre.Timeline
	Log, Seg uint32 // of a segment, its partial, and a backup: the second and the third part of the segment's name
	Offset   uint32 // of a backup: where it started in that segment
}

// ParseWALName takes the name of an archived file apart: SEGMENT, SEGMENT.partial, TIMELINE.history,
// SEGMENT.OFFSET.backup.
//
// Errors: one that quotes the name.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, IsXLogFileName and its neighbours.
func ParseWALName(name string) (WALName, error) {
	var n WALName
	part := func(i int) uint32 {
		v, _ := strconv.ParseUint(name[i:i+8], 16, 32) // isHex has looked at every digit
		return uint32(v)
	}
	switch {
	case IsSegmentName(name):
		n.Kind = WALSegment
	case len(name) == 32 && IsSegmentName(name[:24]) && name[24:] == ".partial":
		n.Kind = WALPartial
	case len(name) == 16 && isHex(name[:8]) && name[8:] == ".history":
		n.Kind = WALHistory
	case len(name) == 40 && IsSegmentName(name[:24]) && name[24] == '.' && isHex(name[25:33]) && name[33:] == ".backup":
		n.Kind, n.Offset = WALBackup, part(25)
	}
	if n.Kind != 0 {
		n.Timeline = cofre.Timeline(part(0))
	}
	if n.Timeline == 0 {
		return WALName{}, fmt.Errorf("%q is not the name of a file that PostgreSQL archives", name)
	}
	if n.Kind != WALHistory {
		n.Log, n.Seg = part(8), part(16)
	}
	return n, nil
}

// String is the file name.
func (n WALName) String() string {
	switch n.Kind {
	case WALHistory:
		return HistoryName(n.Timeline)
	case WALPartial:
		return n.Whole().String() + ".partial"
	case WALBackup:
		return fmt.Sprintf("%s.%08X.backup", n.Whole(), n.Offset)
	}
	return fmt.Sprintf("%08X%08X%08X", uint32(n.Timeline), n.Log, n.Seg)
}

// Whole is the name of the whole segment: of a segment, its partial, and of the one that a backup started in.
func (n WALName) Whole() WALName {
	return WALName{Kind: WALSegment, Timeline: n.Timeline, Log: n.Log, Seg: n.Seg}
}

// Partial is the name under which PostgreSQL archives the segment if its timeline ended in it.
func (n WALName) Partial() WALName {
	return WALName{Kind: WALPartial, Timeline: n.Timeline, Log: n.Log, Seg: n.Seg}
}

// Segment is the segment of that name, of its partial, or the one that a backup started in, if segments have size bytes.
//
// Errors: one that quotes the name, if no cluster with segments of this size has such a name. A history has none.
func (n WALName) Segment(size int64) (Segment, error) {
	if n.Kind == WALHistory || n.Kind == 0 || !ValidSegmentSize(size) || uint64(n.Seg) >= segmentsPerID(size) {
		return Segment{}, fmt.Errorf("%q is not the name of a WAL segment of %d bytes", n.String(), size)
	}
	return Segment{n.Timeline, uint64(n.Log)*segmentsPerID(size) + uint64(n.Seg)}, nil
}

// HistoryOf is the name of a timeline's history, as a WALName.
func HistoryOf(tli cofre.Timeline) WALName { return WALName{Kind: WALHistory, Timeline: tli} }

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

// ParseHistory reads the history file of a timeline. One of a timeline above 1 that names no parent is none that a server has
// written, although PostgreSQL reads it: a version of before delivered a placeholder in the place of the server's own while a
// copy was promoted (PostgreSQL 17 and 18). Nothing is recovered along such a timeline, and its server may not start again after a
// crash.
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
	if len(h.Forks) == 0 && tli > 1 {
		return History{}, cofre.WithHint(fmt.Errorf("read history of timeline %d: it names no timeline that this one comes from, so it is not the one that the server wrote: %w", tli, cofre.ErrCorrupt),
			cofre.Say("wal.no_parent", "keep what the copy holds with: cofre backup cluster, which carries its own WAL then; and bring it back, on a timeline of its own, with: cofre restore cluster latest --immediate --to DIR --start --action promote"))
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
