package logical

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// EndMarker ends the COPY text of a table inside an archive.
const EndMarker = "\\.\n\n\n"

// Tally counts and sums lines of COPY text as they are written to it. Writes may cut lines anywhere. The
// zero value is ready. It keeps no line in memory, whatever its length.
type Tally struct {
	Rows   int64
	Bytes  int64
	hi, lo uint64 // the sum modulo 2^128 of the hashes of the lines, which makes it independent of their order

	partial *xxh3.Hasher
	open    bool // a line has begun and not ended
}

// Write takes a stretch of COPY text, without its end marker. It never fails.
func (t *Tally) Write(p []byte) (int, error) {
	n := len(p)
	t.Bytes += int64(n)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if t.open {
			_, _ = t.partial.Write(p[:i])
			t.add(t.partial.Sum128())
			t.open = false
		} else {
			t.add(xxh3.Hash128(p[:i]))
		}
		p = p[i+1:]
	}
	if len(p) > 0 {
		if t.partial == nil {
			t.partial = xxh3.New()
		}
		if !t.open {
			t.partial.Reset()
			t.open = true
		}
		_, _ = t.partial.Write(p)
	}
	return n, nil
}

func (t *Tally) add(h xxh3.Uint128) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, h.Lo, 0)
	t.hi, _ = bits.Add64(t.hi, h.Hi, carry)
	t.Rows++
}

// Merge adds what another tally saw, of another part of the same table.
func (t *Tally) Merge(o *Tally) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, o.lo, 0)
	t.hi, _ = bits.Add64(t.hi, o.hi, carry)
	t.Rows += o.Rows
	t.Bytes += o.Bytes
}

// End reports a line that never ended.
//
// Errors: one if the last line did not end.
func (t *Tally) End() error {
	if t.open {
		return errors.New("the last row does not end")
	}
	return nil
}

// Checksum is TableFacts.Checksum of what passed so far.
func (t *Tally) Checksum() string { return fmt.Sprintf("%016x%016x", t.hi, t.lo) }

// Add makes f the facts of its own rows and those of o together.
//
// Errors: cofre.ErrCorrupt if a checksum is none.
func (f *TableFacts) Add(o *TableFacts) error {
	var sum Tally
	for _, c := range []string{f.Checksum, o.Checksum} {
		var one Tally
		if _, err := fmt.Sscanf(c, "%16x%16x", &one.hi, &one.lo); c != "" && err != nil {
			return fmt.Errorf("checksum %q of table %s: %w", c, pgarchive.Quote(o.Schema, o.Name), cofre.ErrCorrupt)
		}
		sum.Merge(&one)
	}
	if f.Checksum != "" && o.Checksum != "" {
		f.Checksum = sum.Checksum()
	} else {
		f.Checksum = ""
	}
	f.Rows, f.Bytes = f.Rows+o.Rows, f.Bytes+o.Bytes
	return nil
}

// OnlyIn returns what is in a and not in b, counting repetitions.
func OnlyIn(a, b []string) []string {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	var only []string
	for _, s := range a {
		if count[s] > 0 {
			count[s]--
		} else {
			only = append(only, s)
		}
	}
	return only
}

// Rows is a number of rows.
func Rows(n int64) cofre.Message { return cofre.SayN("part.n_rows", int(n), "1 row", "{{.n}} rows") }
