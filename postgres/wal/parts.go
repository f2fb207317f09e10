package wal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// A segment that is being streamed is brought off the host in parts: objects SEGMENT.parts/FROM-TO, the bytes
// [FROM, TO) of the segment, 8 hexadecimal digits each, compressed and encrypted as a segment is. Once the
// segment is archived whole its parts are removed.

// partsDir is what the folder of a segment's parts is called.
const partsDir = ".parts/"

// part is one stored part.
type part struct {
	object   string
	from, to int64
}

func partsPrefix(system cofre.SystemID, segment pgdata.WALName) string {
	return ObjectName(system, segment) + partsDir
}

func partName(system cofre.SystemID, segment pgdata.WALName, from, to int64) string {
	return fmt.Sprintf("%s%08X-%08X", partsPrefix(system, segment), from, to)
}

// parsePart reads the name of a part below a timeline's prefix: SEGMENT.parts/FROM-TO.
func parsePart(name string) (segment pgdata.WALName, p part, ok bool) {
	text, span, ok := strings.Cut(name, partsDir)
	if !ok {
		return segment, part{}, false
	}
	segment, err := pgdata.ParseWALName(text)
	if err != nil || segment.Kind != pgdata.WALSegment || len(span) != 17 || span[8] != '-' {
		return segment, part{}, false
	}
	from, err1 := strconv.ParseInt(span[:8], 16, 64)
	to, err2 := strconv.ParseInt(span[9:], 16, 64)
	if err1 != nil || err2 != nil || from < 0 || from >= to || to > MaxSegment || fmt.Sprintf("%08X-%08X", from, to) != span {
		return segment, part{}, false
	}
	return segment, part{from: from, to: to}, true
}

// IsPart reports whether an object holds a part of a segment, by its name below the prefix of its timeline.
func IsPart(name string) bool {
	_, _, ok := parsePart(name)
	return ok
}

// reach is up to where parts cover a segment without a hole from its beginning.
func reach(parts []part) int64 {
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.from, b.from) })
	var end int64
	for _, p := range parts {
		if p.from > end {
			break
		}
		end = max(end, p.to)
	}
	return end
}

func listParts(ctx context.Context, st cofre.Store, system cofre.SystemID, segment pgdata.WALName) ([]part, error) {
	var parts []part
	dir := TimelinePrefix(system, segment.Timeline)
	for o, err := range st.List(ctx, partsPrefix(system, segment)) {
		if err != nil {
			return nil, err
		}
		if _, p, ok := parsePart(strings.TrimPrefix(o.Name, dir)); ok {
			p.object = o.Name
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// JoinParts puts a segment together from its parts, filled up with zeros; nil if there are none that begin
// at its beginning.
//
// Errors: cofre.ErrCorrupt if the parts are not of the same WAL, or are no segment of this name; cofre.ErrWrongKey; the
// store's.
func JoinParts(ctx context.Context, st cofre.Store, id Identity, system cofre.SystemID, segment pgdata.WALName) ([]byte, error) {
	parts, err := listParts(ctx, st, system, segment)
	if err != nil || reach(parts) < pgdata.LeastSegment {
		return nil, err
	}
	var content []byte
	for _, p := range parts {
		if p.from > int64(len(content)) {
			break
		}
		if p.to <= int64(len(content)) {
			continue // all of it is in a longer one
		}
		b, err := Open(ctx, st, id, p.object, MaxSegment)
		if errors.Is(err, cofre.ErrNotFound) {
			break // the segment was archived whole, or its parts were joined, while we read
		}
		if err != nil {
			return nil, err
		}
		if int64(len(b)) != p.to-p.from {
			return nil, fmt.Errorf("read %s: it holds %d bytes: %w", p.object, len(b), cofre.ErrCorrupt)
		}
		if both := content[p.from:]; !bytes.Equal(both, b[:len(both)]) {
			return nil, fmt.Errorf("read %s: it is not of the same WAL as the parts before it: %w", p.object, cofre.ErrCorrupt)
		}
		content = append(content[:p.from], b...)
	}
	if len(content) < pgdata.LeastSegment {
		return nil, nil
	}
	h, err := pgdata.CheckSegment(segment, content)
	if err != nil {
		return nil, err
	}
	return append(content, make([]byte, max(0, h.SegmentSize-int64(len(content))))...), nil
}

// putPart stores one part.
func putPart(ctx context.Context, to Archive, system cofre.SystemID, segment pgdata.WALName, from int64, content []byte) error {
	_, err := put(ctx, []Archive{to}, partName(system, segment, from, from+int64(len(content))), content, 1)
	return err
}

// dropParts removes parts that something longer has taken the place of. What a crash leaves of them is removed
// when the WAL expires, and read by nobody: a whole segment comes first.
func dropParts(ctx context.Context, st cofre.Store, parts []part) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, st.Delete(ctx, p.object))
	}
	return errors.Join(errs...)
}
