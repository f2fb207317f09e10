// Package pgarchive reads and writes the table of contents of pg_dump's archives: the head of a custom-format
// stream and the toc.dat of a directory. It is pure: it opens nothing and knows no server.
//
// It does not read table data, and it invents no entries: what it writes is what pg_dump wrote, told as a
// directory without compression. Read toc.go first, then read.go.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c (ReadHead, ReadToc, WriteHead, WriteToc),
// pg_backup_custom.c and pg_backup_directory.c (_WriteExtraToc).
package pgarchive

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Version is the archive format's version: 1.14 is written by pg_dump 12 to 15, 1.15 by 16, 1.16 by 17 and 18.
type Version struct{ Major, Minor, Revision byte }

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

func (v Version) atLeast(minor byte) bool { return v.Major > 1 || v.Minor >= minor }

// Format is the byte of the header that says how entries end.
type Format byte

// The formats. A directory's toc.dat says tar: pg_dump writes it through the same code.
const (
	FormatCustom    Format = 1
	FormatDirectory Format = 3
)

// Section is the part of a restore to which an entry belongs.
type Section int

// The sections, in the order in which they are restored. SectionNone is for entries that only describe the archive.
const (
	SectionNone     Section = 1
	SectionPreData  Section = 2
	SectionData     Section = 3
	SectionPostData Section = 4
)

func (s Section) String() string {
	switch s {
	case SectionPreData:
		return "pre-data"
	case SectionData:
		return "data"
	case SectionPostData:
		return "post-data"
	}
	return "none"
}

// TOC is an archive's table of contents.
type TOC struct {
	Version     Version
	Format      Format
	Compression int // as the header has it: a level before 1.15, an algorithm from then on; 0 is none
	OffsetSize  int // bytes of a file position in a custom archive

	// created holds struct tm of the clock of the machine where pg_dump ran, without a zone.
	created [7]int32

	Database      string
	ServerVersion string // 15.18 (Debian 15.18-0+deb12u1)
	DumpVersion   string // of pg_dump
	headNull      nulls

	Entries []Entry
}

// CreatedAt is when pg_dump began, in the zone of the machine where it ran, which the archive does not name:
// it is returned as if that were UTC.
func (t *TOC) CreatedAt() time.Time {
	c := t.created
	return time.Date(int(c[5])+1900, time.Month(c[4]+1), int(c[3]), int(c[2]), int(c[1]), int(c[0]), 0, time.UTC)
}

// Entry is one object of an archive.
type Entry struct {
	DumpID     int
	HasData    bool // a data block, or a file, belongs to it
	CatalogOID string
	OID        string
	Tag        string // the name, for people: "answers", "answers_pkey", "f(integer)"
	Desc       string // TABLE, TABLE DATA, SEQUENCE SET, POLICY, ACL, …
	Section    Section
	Defn       string // the SQL that makes it
	Drop       string // the SQL that removes it
	Copy       string // of TABLE DATA: COPY schema.table (columns) FROM stdin;
	Namespace  string
	Tablespace string
	TableAM    string // from 1.14
	RelKind    int32  // from 1.16: pg_class.relkind
	Owner      string
	Depends    []int // dump ids

	// File is the name of the data's file inside a directory archive, empty if there is none.
	File string
	// DataState and Offset are a custom archive's: 1 position not set, 2 set, 3 no data.
	DataState byte
	Offset    int64

	withOIDs string
	null     nulls
}

// nulls remembers which empty strings were NULL, so that what was read is written back byte for byte.
type nulls uint32

func (n nulls) has(bit int) bool { return n&(1<<bit) != 0 }

// FileName is the name under which pg_dump would store the entry's data in a directory without compression,
// empty if it has none.
func (t *TOC) FileName(e *Entry) string {
	switch {
	case e.Desc == "BLOBS" && t.Version.atLeast(16):
		return fmt.Sprintf("blobs_%d.toc", e.DumpID)
	case e.Desc == "BLOBS":
		return "blobs.toc"
	case e.HasData:
		return fmt.Sprintf("%d.dat", e.DumpID)
	}
	return ""
}

// Entry finds the entry with a dump id.
func (t *TOC) Entry(dumpID int) (*Entry, bool) {
	for i := range t.Entries {
		if t.Entries[i].DumpID == dumpID {
			return &t.Entries[i], true
		}
	}
	return nil, false
}

// WriteList writes a list that `pg_restore --use-list` reads: the entries that keep accepts, in archive order.
//
// Errors: those of w.
func (t *TOC) WriteList(w io.Writer, keep func(*Entry) bool) error {
	for i := range t.Entries {
		e := &t.Entries[i]
		if !keep(e) {
			continue
		}
		// pg_restore reads the number only. The rest is for the person who opens the file, and a name may
		// hold a line feed, which would begin a line of its own.
		if _, err := fmt.Fprintf(w, "%d; %s %s %s %s %s\n", e.DumpID, printable(e.CatalogOID), printable(e.OID), printable(e.Desc), printable(e.Namespace), printable(e.Tag)); err != nil {
			return err
		}
	}
	return nil
}

func printable(s string) string {
	if s == "" {
		return "-"
	}
	if q := strconv.Quote(s); len(q) != len(s)+2 {
		return q
	}
	return s
}

// ByRoot reports whether the rows of a partition are to be loaded through the root of its table, because they may
// belong to other partitions where they are restored: those of a table partitioned by the hash of an enum do.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, forcePartitionRootLoad.
func (e *Entry) ByRoot() bool {
	schema, table, _, err := e.CopyTarget()
	return err == nil && e.Desc == "TABLE DATA" && (schema != e.Namespace || table != e.Tag)
}

// CopyTarget takes apart the COPY statement of a TABLE DATA entry. Columns is nil for a table without columns.
//
// Errors: one that quotes the statement if it has another form.
func (e *Entry) CopyTarget() (schema, table string, columns []string, err error) {
	wrong := func() (string, string, []string, error) {
		return "", "", nil, fmt.Errorf("statement %q of archive entry %d is not COPY schema.table (columns) FROM stdin", e.Copy, e.DumpID)
	}
	rest, ok := strings.CutPrefix(e.Copy, "COPY ")
	if !ok {
		return wrong()
	}
	name, rest, err := SplitName(rest)
	if err != nil || len(name) != 2 {
		return wrong()
	}
	rest = strings.TrimLeft(rest, " ")
	if list, ok := strings.CutPrefix(rest, "("); ok {
		for {
			var column string
			if column, list, err = splitIdentifier(strings.TrimLeft(list, " ")); err != nil {
				return wrong()
			}
			columns = append(columns, column)
			list = strings.TrimLeft(list, " ")
			if list == "" {
				return wrong()
			}
			sep := list[0]
			list = list[1:]
			if sep == ')' {
				break
			}
			if sep != ',' {
				return wrong()
			}
		}
		rest = list
	}
	if strings.TrimSpace(rest) != "FROM stdin;" {
		return wrong()
	}
	return name[0], name[1], columns, nil
}
