package pgdata_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre/postgres/pgdata"
)

// seed adds every file of every major that matches.
func seed(f *testing.F, pattern string) {
	files, err := filepath.Glob("testdata/[0-9][0-9]/" + pattern)
	if err != nil || len(files) == 0 {
		f.Fatalf("find %s: %v", pattern, err)
	}
	for _, path := range files {
		f.Add(read(f, path))
	}
}

func FuzzControl(f *testing.F) {
	seed(f, "pg_control.gz")
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := pgdata.ParseControl(b); err == nil && !pgdata.ValidSegmentSize(c.WALSegmentSize) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzBackupLabel(f *testing.F) {
	seed(f, "backup_label*")
	seed(f, "*.backup")
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := pgdata.ParseBackupLabel(b); err == nil && (l.StartTimeline == 0 || !pgdata.IsSegmentName(l.StartSegment)) {
			t.Errorf("%+v", l)
		}
	})
}

func FuzzTablespaceMap(f *testing.F) {
	seed(f, "tablespace_map")
	f.Fuzz(func(t *testing.T, b []byte) {
		spaces, err := pgdata.ParseTablespaceMap(b)
		if err != nil {
			return
		}
		again, err := pgdata.ParseTablespaceMap(pgdata.EncodeTablespaceMap(spaces))
		if err != nil || !slices.Equal(spaces, again) {
			t.Errorf("%v came back as %v, %v", spaces, again, err)
		}
	})
}

// FuzzManifest begins with manifests of a few files: whole ones are so large that hardly any change is tried. What is changed gets the checksum that fits.
func FuzzManifest(f *testing.F) {
	files, err := filepath.Glob("testdata/[0-9][0-9]/backup_manifest.gz")
	if err != nil || len(files) == 0 {
		f.Fatalf("find manifests: %v", err)
	}
	for _, path := range files {
		m, err := pgdata.ParseManifest(read(f, path))
		if err != nil {
			f.Fatal(err)
		}
		m.Files = m.Files[:3]
		f.Add(m.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if at := bytes.LastIndex(b, []byte(`"Manifest-Checksum"`)); at >= 0 {
			b = fmt.Appendf(bytes.Clone(b[:at]), "\"Manifest-Checksum\": \"%x\"}\n", sha256.Sum256(b[:at]))
		}
		m, err := pgdata.ParseManifest(b)
		if err != nil {
			return
		}
		again, err := pgdata.ParseManifest(m.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, again) {
			t.Error(cmp.Diff(m, again))
		}
	})
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte("1\t0/5000000\tno recovery target specified\n2\t0/7000028\tbefore transaction 731\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := pgdata.ParseHistory(9, b)
		if err != nil {
			return
		}
		again, err := pgdata.ParseHistory(9, h.Encode())
		if err != nil || len(again.Forks) != len(h.Forks) {
			t.Errorf("%v came back as %v, %v", h.Forks, again.Forks, err)
		}
	})
}

// FuzzWalker changes a real segment anywhere. Whatever happens, the walker neither panics nor passes a record
// that does not follow the one before it.
func FuzzWalker(f *testing.F) {
	segment := read(f, "testdata/15/wal/000000010000000000000008.gz")
	f.Add(uint32(8192), []byte{1, 2, 3, 4}, false)
	f.Add(uint32(40), bytes.Repeat([]byte{0}, 64), true)
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, alone bool) {
		b := bytes.Clone(segment)
		copy(b[int(at)%len(b):], patch)
		if alone {
			b = patch
		}
		w := pgdata.NewWalker(1 << 20)
		var last pgdata.Record
		for page := range slices.Chunk(b, pgdata.WALPageSize) {
			w.Page(page, func(r pgdata.Record) bool {
				if r.End <= r.Start || (last.End != 0 && r.Prev != last.Start) {
					t.Errorf("record %s follows %s", r.Start, last.Start)
				}
				r.Moment()
				last = r
				return true
			})
		}
	})
}

func FuzzWALName(f *testing.F) {
	f.Add("0000000A00000000000000FF.00000028.backup", int64(16<<20))
	f.Fuzz(func(t *testing.T, name string, size int64) {
		if n, err := pgdata.ParseWALName(name); err == nil && n.String() != name {
			t.Errorf("%q came back as %q", name, n)
		}
		if s, err := pgdata.ParseSegment(name, size); err == nil && s.Name(size) != name {
			t.Errorf("%q came back as %q", name, s.Name(size))
		}
	})
}
