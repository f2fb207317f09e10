package pgarchive

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
)

// WriteDirectory writes t as the toc.dat of a directory archive whose data files are not compressed. A toc.dat
// of `pg_dump -Fd -Z0` comes out byte for byte as it was read; of a custom stream the entries get the file
// names that pg_dump would have given them.
//
// Errors: w's.
func (t *TOC) WriteDirectory(w io.Writer) error {
	e := &encoder{w: bufio.NewWriterSize(w, 1<<16)}
	e.toc(t)
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("write table of contents: %w", e.err)
	}
	return nil
}

// encoder does nothing after an error.
type encoder struct {
	w   *bufio.Writer
	err error
}

func (e *encoder) bytes(b ...byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) int(v int32) {
	var b [5]byte
	magnitude := int64(v)
	if magnitude < 0 {
		b[0], magnitude = 1, -magnitude
	}
	binary.LittleEndian.PutUint32(b[1:], uint32(magnitude))
	e.bytes(b[:]...)
}

func (e *encoder) text(s string, n nulls, bit int) {
	if s == "" && n.has(bit) {
		e.int(-1)
		return
	}
	e.int(int32(len(s)))
	if e.err == nil {
		_, e.err = e.w.WriteString(s)
	}
}

func (e *encoder) toc(t *TOC) {
	e.bytes([]byte("PGDMP")...)
	e.bytes(t.Version.Major, t.Version.Minor, t.Version.Revision, 4, byte(t.OffsetSize), byte(FormatDirectory))
	if t.Version.atLeast(15) {
		e.bytes(0)
	} else {
		e.int(0)
	}
	for _, v := range t.created {
		e.int(v)
	}
	e.text(t.Database, t.headNull, 0)
	e.text(t.ServerVersion, t.headNull, 1)
	e.text(t.DumpVersion, t.headNull, 2)
	e.int(int32(len(t.Entries)))
	for i := range t.Entries {
		e.entry(t, &t.Entries[i])
	}
}

func (e *encoder) entry(t *TOC, te *Entry) {
	e.int(int32(te.DumpID))
	if te.HasData {
		e.int(1)
	} else {
		e.int(0)
	}
	e.text(te.CatalogOID, te.null, nullCatalogOID)
	e.text(te.OID, te.null, nullOID)
	e.text(te.Tag, te.null, nullTag)
	e.text(te.Desc, te.null, nullDesc)
	e.int(int32(te.Section))
	e.text(te.Defn, te.null, nullDefn)
	e.text(te.Drop, te.null, nullDrop)
	e.text(te.Copy, te.null, nullCopy)
	e.text(te.Namespace, te.null, nullNamespace)
	e.text(te.Tablespace, te.null, nullTablespace)
	if t.Version.atLeast(14) {
		e.text(te.TableAM, te.null, nullTableAM)
	}
	if t.Version.atLeast(16) {
		e.int(te.RelKind)
	}
	e.text(te.Owner, te.null, nullOwner)
	e.text(te.withOIDs, te.null, nullWithOIDs)
	for _, id := range te.Depends {
		e.text(strconv.Itoa(id), 0, 0)
	}
	e.int(-1)
	// A name read from a compressed directory would end in .gz or .zst: the data this table of contents
	// will stand beside is not compressed.
	e.text(t.FileName(te), te.null, nullFile)
}
