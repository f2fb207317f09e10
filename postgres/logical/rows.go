package logical

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// EndMarker ends the COPY text of a table inside an archive.
const EndMarker = "\\.\n\n\n"

// Tally counts and sums lines of COPY text as they are written to it. Writes may cut lines anywhere. It keeps no line in
// memory, whatever its length. Without a key the sum is that of components of before.
type Tally struct {
	Key   *rowhash.Key
	Rows  int64
	Bytes int64
	sum   rowhash.Hash // of the hashes of the lines, independent of their order

	keyed *rowhash.Hasher
	plain *xxh3.Hasher
	open  bool // a line has begun and not ended
}

// Write takes a stretch of COPY text, without its end marker. It never fails.
func (t *Tally) Write(p []byte) (int, error) {
	n := len(p)
	t.Bytes += int64(n)
	if t.Key != nil && t.keyed == nil {
		t.keyed = t.Key.NewHasher()
	}
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		switch {
		case t.open:
			t.sum.Add(t.endOfLine(p[:i]))
			t.open = false
		case t.keyed != nil:
			t.sum.Add(t.keyed.Row(p[:i]))
		default:
			h := xxh3.Hash128(p[:i])
			t.sum.Add(rowhash.Hash{Hi: h.Hi, Lo: h.Lo})
		}
		t.Rows++
		p = p[i+1:]
	}
	if len(p) > 0 {
		t.piece(p)
	}
	return n, nil
}

// piece takes a piece of a line that does not end in it.
func (t *Tally) piece(p []byte) {
	if t.keyed != nil {
		if !t.open {
			t.keyed.Reset()
		}
		_, _ = t.keyed.Write(p)
	} else {
		if t.plain == nil {
			t.plain = xxh3.New()
		}
		if !t.open {
			t.plain.Reset()
		}
		_, _ = t.plain.Write(p)
	}
	t.open = true
}

func (t *Tally) endOfLine(p []byte) rowhash.Hash {
	if t.keyed != nil {
		_, _ = t.keyed.Write(p)
		return t.keyed.Sum()
	}
	_, _ = t.plain.Write(p)
	h := t.plain.Sum128()
	return rowhash.Hash{Hi: h.Hi, Lo: h.Lo}
}

// Merge adds what another tally saw, of another part of the same table.
func (t *Tally) Merge(o *Tally) {
	t.sum.Add(o.sum)
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
	t.keyed, t.plain = nil, nil // there may be many tallies
	return nil
}

// Sum is what passed so far, as it is recorded.
func (t *Tally) Sum() RowSum {
	if t.Key != nil {
		return RowSum{Keyed: t.Key.Veil(t.sum)}
	}
	return RowSum{Checksum: fmt.Sprintf("%016x%016x", t.sum.Hi, t.sum.Lo)}
}

// RowSum is the sum of a table's rows, whatever their order. One of its texts is set, or none if nothing was recorded.
type RowSum struct {
	// Keyed is under the repository's key: see package rowhash.
	Keyed string `json:"keyed_checksum,omitempty"`
	// Checksum is that of components of before: the sum modulo 2^128 of the XXH3-128 of every line of COPY text, without
	// its line end, 32 hexadecimal digits. Whoever chooses rows can make others with the same.
	Checksum string `json:"checksum,omitempty"`
}

// String is the text that is set.
func (s RowSum) String() string { return cmp.Or(s.Keyed, s.Checksum) }

// IsZero reports whether nothing was recorded.
func (s RowSum) IsZero() bool { return s == RowSum{} }

// Comparable reports whether two sums of equal rows are equal: both are of one kind. Keys of two repositories are not told apart.
func (s RowSum) Comparable(o RowSum) bool {
	return s.Keyed != "" && o.Keyed != "" || s.Keyed == "" && o.Keyed == "" && s.Checksum != "" && o.Checksum != ""
}

// Add makes f the facts of its own rows and those of o together. Key is that of both.
//
// Errors: cofre.ErrCorrupt if a sum is none.
func (f *TableFacts) Add(o *TableFacts, key *rowhash.Key) error {
	sum := Tally{Key: key}
	for _, s := range []RowSum{f.RowSum, o.RowSum} {
		one, err := s.read(key)
		if err != nil {
			return fmt.Errorf("checksum of table %s: %w: %v", pgarchive.Quote(o.Schema, o.Name), cofre.ErrCorrupt, err)
		}
		sum.sum.Add(one)
	}
	if f.Comparable(o.RowSum) {
		f.RowSum = sum.Sum()
	} else {
		f.RowSum = RowSum{}
	}
	f.Rows, f.Bytes = f.Rows+o.Rows, f.Bytes+o.Bytes
	return nil
}

func (s RowSum) read(key *rowhash.Key) (h rowhash.Hash, err error) {
	switch {
	case s.Keyed != "" && key != nil:
		return key.Unveil(s.Keyed)
	case s.Checksum != "":
		_, err = fmt.Sscanf(s.Checksum, "%16x%16x", &h.Hi, &h.Lo)
	}
	return h, err
}

// Sums says whether any of these entries has rows of which there is no sum, and whether any sum was made without a key.
func (c *Component) Sums(entries []*pgarchive.Entry) (unsummed, unkeyed bool) {
	facts := c.TableFacts()
	look := func(n int64, s RowSum) {
		unsummed = unsummed || n > 0 && s.IsZero()
		unkeyed = unkeyed || n > 0 && s.Checksum != ""
	}
	for _, e := range entries {
		if f := facts[e.DumpID]; f != nil && e.Desc == "TABLE DATA" {
			look(f.Rows, f.RowSum)
		}
		if e.Desc == "BLOBS" {
			look(c.Facts.LargeObjects.Count, c.Facts.LargeObjects.RowSum)
		}
	}
	return unsummed, unkeyed
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
