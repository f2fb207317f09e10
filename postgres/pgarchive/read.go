package pgarchive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxText is the longest string that is believed: PostgreSQL itself allocates no more than 1 GB.
const maxText = 1 << 30

// Parse reads the head and the table of contents of a custom-format stream, or a toc.dat, of versions 1.12
// (PostgreSQL 9.0) to 1.16 (18), and returns right after it: of a stream, no data is waited for. A
// *bufio.Reader is used as it is and is left standing at the first byte behind; of any other reader some bytes
// more may have been taken.
//
// Errors: one that says what is wrong and at which byte; io.ErrUnexpectedEOF if the input ends early.
func Parse(r io.Reader) (*TOC, error) {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(r, 1<<16)
	}
	d := &decoder{r: br}
	t := d.toc()
	if d.err != nil {
		return nil, fmt.Errorf("read table of contents at byte %d: %w", d.at, d.err)
	}
	return t, nil
}

// decoder reads on after an error as if everything were zero; err holds the first one.
type decoder struct {
	r       *bufio.Reader
	at      int64
	offSize int
	err     error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
}

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	b, err := d.r.ReadByte()
	if err != nil {
		d.end(err)
		return 0
	}
	d.at++
	return b
}

func (d *decoder) end(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) int() int32 {
	sign := d.byte()
	var v uint64
	for i := range 4 {
		v |= uint64(d.byte()) << (8 * i)
	}
	switch {
	case d.err != nil:
		return 0
	case sign > 1 || v > math.MaxInt32:
		d.fail("an integer has sign %d and magnitude %d", sign, v)
		return 0
	case sign == 1:
		return -int32(v)
	}
	return int32(v)
}

// text reads a string; null is set in *n at bit if it was NULL.
func (d *decoder) text(n *nulls, bit int) string {
	size := d.int()
	if d.err != nil {
		return ""
	}
	if size == -1 {
		*n |= 1 << bit
		return ""
	}
	if size < 0 || size > maxText {
		d.fail("a string has %d bytes", size)
		return ""
	}
	// Grown as bytes arrive, so that a damaged length does not allocate what is not there.
	buf := make([]byte, 0, min(int(size), 1<<16))
	for len(buf) < int(size) && d.err == nil {
		grow := min(int(size)-len(buf), max(len(buf), 1<<16))
		at := len(buf)
		buf = append(buf, make([]byte, grow)...)
		got, err := io.ReadFull(d.r, buf[at:])
		d.at += int64(got)
		if err != nil {
			d.end(err)
		}
	}
	return string(buf)
}

func (d *decoder) toc() *TOC {
	var magic [5]byte
	for i := range magic {
		magic[i] = d.byte()
	}
	if d.err == nil && string(magic[:]) != "PGDMP" {
		d.fail("not a pg_dump archive: it begins with %q", magic[:])
	}
	t := &TOC{Version: Version{d.byte(), d.byte(), d.byte()}}
	if d.err == nil && (t.Version.Major != 1 || t.Version.Minor < 12 || t.Version.Minor > 16) {
		d.fail("archive version %s is not one of 1.12 to 1.16", t.Version)
	}
	if size := d.byte(); d.err == nil && size != 4 {
		d.fail("integers of %d bytes", size)
	}
	d.offSize = int(d.byte())
	if d.err == nil && (d.offSize < 1 || d.offSize > 8) {
		d.fail("file positions of %d bytes", d.offSize)
	}
	t.OffsetSize = d.offSize
	t.Format = Format(d.byte())
	if d.err == nil && t.Format != FormatCustom && t.Format != FormatDirectory {
		d.fail("format %d is neither custom nor directory", t.Format)
	}
	if t.Version.atLeast(15) {
		t.Compression = int(d.byte())
	} else {
		t.Compression = int(d.int())
	}
	for i := range t.created {
		t.created[i] = d.int()
	}
	t.Database = d.text(&t.headNull, 0)
	t.ServerVersion = d.text(&t.headNull, 1)
	t.DumpVersion = d.text(&t.headNull, 2)
	count := d.int()
	if d.err == nil && count < 0 {
		d.fail("%d entries", count)
	}
	seen := map[int]bool{}
	for range count {
		e := d.entry(t)
		if d.err == nil && (e.DumpID <= 0 || seen[e.DumpID]) {
			d.fail("entry has dump id %d a second time or out of range", e.DumpID)
		}
		if d.err != nil {
			return nil
		}
		seen[e.DumpID] = true
		t.Entries = append(t.Entries, e)
	}
	return t
}

// The bits of Entry.null.
const (
	nullCatalogOID = iota
	nullOID
	nullTag
	nullDesc
	nullDefn
	nullDrop
	nullCopy
	nullNamespace
	nullTablespace
	nullTableAM
	nullOwner
	nullWithOIDs
	nullFile
)

func (d *decoder) entry(t *TOC) Entry {
	e := Entry{DumpID: int(d.int())}
	hasData := d.int()
	if d.err == nil && hasData != 0 && hasData != 1 {
		d.fail("entry %d says %d for whether it has data", e.DumpID, hasData)
	}
	e.HasData = hasData == 1
	e.CatalogOID = d.text(&e.null, nullCatalogOID)
	e.OID = d.text(&e.null, nullOID)
	e.Tag = d.text(&e.null, nullTag)
	e.Desc = d.text(&e.null, nullDesc)
	e.Section = Section(d.int())
	if d.err == nil && (e.Section < SectionNone || e.Section > SectionPostData) {
		d.fail("entry %d has section %d", e.DumpID, e.Section)
	}
	e.Defn = d.text(&e.null, nullDefn)
	e.Drop = d.text(&e.null, nullDrop)
	e.Copy = d.text(&e.null, nullCopy)
	e.Namespace = d.text(&e.null, nullNamespace)
	e.Tablespace = d.text(&e.null, nullTablespace)
	if t.Version.atLeast(14) {
		e.TableAM = d.text(&e.null, nullTableAM)
	}
	if t.Version.atLeast(16) {
		e.RelKind = d.int()
	}
	e.Owner = d.text(&e.null, nullOwner)
	e.withOIDs = d.text(&e.null, nullWithOIDs)
	for d.err == nil {
		var end nulls
		s := d.text(&end, 0)
		if end != 0 || d.err != nil {
			break
		}
		id, err := strconv.ParseInt(s, 10, 32)
		if err != nil || strconv.FormatInt(id, 10) != s {
			d.fail("entry %d depends on %q", e.DumpID, s)
		}
		e.Depends = append(e.Depends, int(id))
	}
	if t.Format == FormatDirectory {
		e.File = d.text(&e.null, nullFile)
		return e
	}
	e.DataState = d.byte()
	var offset uint64
	for i := range d.offSize {
		offset |= uint64(d.byte()) << (8 * i)
	}
	e.Offset = int64(offset)
	return e
}
