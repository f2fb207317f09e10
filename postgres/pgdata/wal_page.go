package pgdata

import (
	"encoding/binary"
	"fmt"

	"github.com/trustlayer/cofre"
)

// WALPageSize is the size of a page of WAL in bytes, of every PostgreSQL that is packaged.
const WALPageSize = 8192

// Sizes of the headers of WAL pages in bytes: the long one begins each segment.
const (
	walHeaderSize     = 24
	walLongHeaderSize = 40
)

// Flags of a WAL page.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, XLP_*.
const (
	walContRecord    = 0x0001 // begins with the rest of a record
	walLongHeader    = 0x0002
	walOverwritten   = 0x0008 // begins with a record that takes the place of one whose rest was lost
	walFlagsKnown    = 0x000f
	switchRecordInfo = 0x40
)

// walMajors maps the magic number of WAL pages to the major version that writes them.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h of each stable branch, XLOG_PAGE_MAGIC.
var walMajors = map[uint16]int{0xD106: 13, 0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}

// WALPage is the header of a page of WAL.
type WALPage struct {
	Magic     uint16
	Major     int // of PostgreSQL; 0 if Magic is of no release known here
	Timeline  cofre.Timeline
	Address   cofre.LSN // of the page's first byte
	Remaining uint32    // bytes of the record that began before, on this page and after
	Continued bool      // the page begins with the rest of a record
	// Overwritten says that the record which was to go on here never will: the server crashed before its rest
	// was written, and went on at this page with others.
	Overwritten bool

	// SystemID, SegmentSize and BlockSize are in the long header only, on the first page of a segment.
	Long        bool
	SystemID    cofre.SystemID
	SegmentSize int64
	BlockSize   int64
}

// HeaderSize is how many bytes the header takes on the page.
func (p *WALPage) HeaderSize() int {
	if p.Long {
		return walLongHeaderSize
	}
	return walHeaderSize
}

// ParseWALPage reads the header of a page of WAL.
//
// Errors: cofre.ErrCorrupt if it is none.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, XLogLongPageHeaderData.
func ParseWALPage(b []byte) (WALPage, error) {
	if len(b) < walHeaderSize {
		return WALPage{}, fmt.Errorf("read WAL page: %d bytes are too few: %w", len(b), cofre.ErrCorrupt)
	}
	le := binary.LittleEndian
	info := le.Uint16(b[2:])
	p := WALPage{
		Magic:       le.Uint16(b),
		Timeline:    cofre.Timeline(le.Uint32(b[4:])),
		Address:     cofre.LSN(le.Uint64(b[8:])),
		Remaining:   le.Uint32(b[16:]),
		Continued:   info&walContRecord != 0,
		Overwritten: info&walOverwritten != 0,
		Long:        info&walLongHeader != 0,
	}
	p.Major = walMajors[p.Magic]
	switch {
	case p.Major == 0 && p.Magic>>8 != 0xD1:
		return WALPage{}, fmt.Errorf("read WAL page: magic number %04X is not of WAL: %w", p.Magic, cofre.ErrCorrupt)
	case info&^uint16(walFlagsKnown) != 0:
		return WALPage{}, fmt.Errorf("read WAL page: flags %04X: %w", info, cofre.ErrCorrupt)
	case p.Address%WALPageSize != 0:
		return WALPage{}, fmt.Errorf("read WAL page: address %s: %w", p.Address, cofre.ErrCorrupt)
	}
	if p.Long {
		if len(b) < walLongHeaderSize {
			return WALPage{}, fmt.Errorf("read WAL page: %d bytes are too few: %w", len(b), cofre.ErrCorrupt)
		}
		p.SystemID = cofre.SystemID(le.Uint64(b[24:]))
		p.SegmentSize = int64(le.Uint32(b[32:]))
		p.BlockSize = int64(le.Uint32(b[36:]))
		if !ValidSegmentSize(p.SegmentSize) {
			return WALPage{}, fmt.Errorf("read WAL page: segment size %d: %w", p.SegmentSize, cofre.ErrCorrupt)
		}
	}
	return p, nil
}

// LeastSegment is how many bytes of the beginning of a segment say which one it is, for CheckSegment.
const LeastSegment = walLongHeaderSize

// CheckSegment reads the first page of a segment and compares it with the name that the segment has, or its
// partial. It returns the header, so that the caller can compare the system identifier.
//
// Errors: cofre.ErrCorrupt, saying what does not agree.
func CheckSegment(name WALName, first []byte) (WALPage, error) {
	p, err := ParseWALPage(first)
	if err != nil {
		return p, fmt.Errorf("check segment %s: %w", name, err)
	}
	if !p.Long {
		return p, fmt.Errorf("check segment %s: its first page has no long header: %w", name, cofre.ErrCorrupt)
	}
	if p.BlockSize != WALPageSize {
		return p, fmt.Errorf("check segment %s: WAL pages of %d bytes are not supported", name, p.BlockSize)
	}
	seg, err := name.Segment(p.SegmentSize)
	if err != nil {
		return p, fmt.Errorf("check segment %s: %w", name, err)
	}
	if p.Address != seg.Start(p.SegmentSize) {
		is := SegmentAt(p.Timeline, p.Address, p.SegmentSize)
		return p, fmt.Errorf("check segment %s: its first page is of segment %s: %w", name, is.Name(p.SegmentSize), cofre.ErrCorrupt)
	}
	// The first segment of a timeline begins with pages of its parent, copied at the fork. A page of a
	// younger timeline under an older name was put there by someone.
	if p.Timeline > seg.Timeline {
		return p, fmt.Errorf("check segment %s: its first page is of timeline %d: %w", name, p.Timeline, cofre.ErrCorrupt)
	}
	return p, nil
}
