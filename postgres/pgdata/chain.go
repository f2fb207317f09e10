package pgdata

import (
	"encoding/binary"
	"fmt"

	"github.com/trustlayer/cofre"
)

// Chain is what the records of one segment say about the segments around it. Of two neighbours that one server wrote,
// the second goes on where the first ends; of two that came from different servers, it nearly never does.
type Chain struct {
	// Remaining is how many bytes of a record that began before the segment begins with.
	Remaining int64
	// Overwritten says that the record which was to go on here was lost in a crash, and others take its place.
	Overwritten bool

	First cofre.LSN // where the first record starts that starts here; 0 if none is known to
	Prev  cofre.LSN // where the record before that starts, as it says
	Last  cofre.LSN // where the last record starts that is whole here, or ends here; 0 if there is none
	Open  cofre.LSN // where the record starts that goes on in the next segment; 0 if none does that starts here
	Wants int64     // how many of its bytes, or of one that began even before, are to follow there

	Break cofre.LSN // where the records end before the segment does; 0 if they do not
	Why   string    // what was found there
}

// ChainOf walks the records of a segment of size bytes, or of its beginning.
func ChainOf(content []byte, size int64) Chain {
	var c Chain
	w := NewWalker(size)
	if h, err := ParseWALPage(content); err == nil {
		c.Overwritten = h.Overwritten
		if h.Continued {
			c.Remaining = int64(h.Remaining)
		}
	}
	for page := content; len(page) >= WALPageSize; page = page[WALPageSize:] {
		w.Page(page[:WALPageSize], func(r Record) bool {
			if c.First == 0 {
				c.First, c.Prev = r.Start, r.Prev
			}
			c.Last = r.Start
			return true
		})
	}
	if end, ended := w.End(); ended {
		c.Break, c.Why = end, w.Why()
		return c
	}
	switch {
	case w.want > 0:
		c.Open, c.Wants = w.start, int64(w.want-len(w.pending))
		if c.First == 0 && len(w.pending) >= 16 { // xl_prev is there
			c.First, c.Prev = w.start, cofre.LSN(binary.LittleEndian.Uint64(w.pending[8:]))
		}
	case w.passing > 0:
		c.Wants = w.passing
	}
	return c
}

// Follows compares the chains of two neighbouring segments: next is the one after c. It returns "" if next goes on
// where c ends, as far as both say, and else what does not agree.
//
// A break inside of c leaves nothing to compare with: it is found by itself.
//
// Source: PostgreSQL, src/backend/access/transam/xlogreader.c, XLogDecodeNextRecord and ValidXLogRecordHeader.
func (c Chain) Follows(next Chain) string {
	if c.Break != 0 || next.Break != 0 && next.First == 0 {
		return ""
	}
	before := c.Last
	switch {
	case next.Overwritten && next.Remaining == 0:
		// What was to go on was lost in a crash: the first record hangs on to the last that is whole.
	case c.Wants != next.Remaining:
		return fmt.Sprintf("%d bytes of a record are to follow, and %d bytes of one follow", c.Wants, next.Remaining)
	case c.Open != 0:
		before = c.Open
	case c.Wants > 0:
		before = 0 // it starts further back
	}
	if before != 0 && next.First != 0 && next.Prev != before {
		return fmt.Sprintf("the last record before starts at %s, and the record at %s says that it starts at %s", before, next.First, next.Prev)
	}
	return ""
}
