package pgdata_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// TestFirstPagesThatAreNotOfTheirSegment: each field of a first page's header by itself makes it another segment's.
func TestFirstPagesThatAreNotOfTheirSegment(t *testing.T) {
	const size = 1 << 20
	le := binary.LittleEndian
	page := func() []byte {
		b := make([]byte, pgdata.WALPageSize)
		le.PutUint16(b, 0xD118)
		le.PutUint16(b[2:], 2) // a long header
		le.PutUint32(b[4:], 2)
		le.PutUint64(b[8:], 5*size)
		le.PutUint64(b[24:], 7)
		le.PutUint32(b[32:], size)
		le.PutUint32(b[36:], pgdata.WALPageSize)
		return b
	}
	name, err := pgdata.ParseWALName(pgdata.Segment{Timeline: 2, Number: 5}.Name(size))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		change func(b []byte) []byte
		taken  bool
	}{
		"nothing":                  {func(b []byte) []byte { return b }, true},
		"its parent's timeline":    {func(b []byte) []byte { le.PutUint32(b[4:], 1); return b }, true},
		"a younger timeline":       {func(b []byte) []byte { le.PutUint32(b[4:], 3); return b }, false},
		"the segment before":       {func(b []byte) []byte { le.PutUint64(b[8:], 4*size); return b }, false},
		"the segment after":        {func(b []byte) []byte { le.PutUint64(b[8:], 6*size); return b }, false},
		"its second page":          {func(b []byte) []byte { le.PutUint64(b[8:], 5*size+pgdata.WALPageSize); return b }, false},
		"an address in a page":     {func(b []byte) []byte { le.PutUint64(b[8:], 5*size+1); return b }, false},
		"a short header":           {func(b []byte) []byte { le.PutUint16(b[2:], 0); return b }, false},
		"an unknown flag":          {func(b []byte) []byte { le.PutUint16(b[2:], 2|1<<9); return b }, false},
		"another block size":       {func(b []byte) []byte { le.PutUint32(b[36:], 16384); return b }, false},
		"another segment size":     {func(b []byte) []byte { le.PutUint32(b[32:], 2*size); return b }, false},
		"no segment size":          {func(b []byte) []byte { le.PutUint32(b[32:], size+1); return b }, false},
		"a magic number of no WAL": {func(b []byte) []byte { le.PutUint16(b, 0x1234); return b }, false},
		"a header cut off":         {func(b []byte) []byte { return b[:39] }, false},
		"a short header cut off":   {func(b []byte) []byte { return b[:10] }, false},
	} {
		p, err := pgdata.CheckSegment(name, c.change(page()))
		if (err == nil) != c.taken || c.taken && p.SystemID != 7 {
			t.Errorf("%s: %+v, %v, want taken %t", what, p, err, c.taken)
		}
	}
}

func TestBackupLabelsThatAreRefused(t *testing.T) {
	const label = `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000080
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-24 02:00:00 UTC
LABEL: a label
START TIMELINE: 1
`
	if _, err := pgdata.ParseBackupLabel([]byte(label)); err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{
		"START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n": "",
		"CHECKPOINT LOCATION: 0/2000080\n":                                "",
		"START TIMELINE: 1\n":                                             "",
		"START TIMELINE: 1":                                               "START TIMELINE: 0",
		"CHECKPOINT LOCATION: 0/2000080":                                  "CHECKPOINT LOCATION: 0/",
		"0/2000028 (file":                                                 "0-2000028 (file",
		"(file 000000010000000000000002)":                                 "",
		"000000010000000000000002)":                                       "000000010000000000000002",
		"000000010000000000000002)\n":                                     "000000010000000000000002) or so\n",
		"file 000000010000000000000002":                                   "file 00000001000000000000000Z",
	} {
		text := strings.Replace(label, was, is, 1)
		if text == label {
			t.Fatalf("%q is not in the label", was)
		}
		if l, err := pgdata.ParseBackupLabel([]byte(text)); !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("%q for %q was read as %+v, %v", is, was, l, err)
		}
	}
	for _, text := range []string{"16385\n", "x /srv\n", "0 /srv\n", "16385 \n", "16385 /a\n16386\n", "-1 /srv\n", "4294967296 /srv\n"} {
		if spaces, err := pgdata.ParseTablespaceMap([]byte(text)); !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("tablespace map %q was read as %v, %v", text, spaces, err)
		}
	}
}

func TestManifestsThatAreRefused(t *testing.T) {
	at := time.Unix(1e9, 0).UTC()
	whole := func() pgdata.ManifestFile {
		return pgdata.ManifestFile{Path: "a", Size: 3, ModifiedAt: at, Algorithm: "CRC32C", Checksum: []byte{1, 2, 3, 4}}
	}
	for what, c := range map[string]struct {
		change func(*pgdata.ManifestFile)
		taken  bool
	}{
		"nothing":                    {func(*pgdata.ManifestFile) {}, true},
		"no bytes":                   {func(f *pgdata.ManifestFile) { f.Size = 0 }, true},
		"no path":                    {func(f *pgdata.ManifestFile) { f.Path = "" }, false},
		"less than no bytes":         {func(f *pgdata.ManifestFile) { f.Size = -1 }, false},
		"an algorithm without a sum": {func(f *pgdata.ManifestFile) { f.Checksum = []byte{} }, false},
	} {
		f := whole()
		c.change(&f)
		m := pgdata.Manifest{Version: 1, Files: []pgdata.ManifestFile{f}}
		if got, err := pgdata.ParseManifest(m.Encode()); (err == nil) != c.taken {
			t.Errorf("%s: %+v, %v, want taken %t", what, got, err, c.taken)
		}
	}
	for _, text := range []string{"", "{}", `{"PostgreSQL-Backup-Manifest-Version": 1, "Manifest-Checksum": ""}`, `{ "PostgreSQL-Backup-Manifest-Version": 3,
"Manifest-Checksum": "00"}
`} {
		if m, err := pgdata.ParseManifest([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, m)
		}
	}
	for s, want := range map[pgdata.State]string{-1: "unrecognized status code", 0: "starting up", 6: "in production", 7: "unrecognized status code"} {
		if got := s.String(); got != want {
			t.Errorf("state %d is %q, want %q", s, got, want)
		}
	}
}
