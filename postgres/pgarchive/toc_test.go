package pgarchive_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDirectoryIsWrittenByteForByte(t *testing.T) {
	for _, name := range []string{"pg15.toc.dat", "pg17.toc.dat", "pg18.toc.dat"} {
		in := read(t, name)
		toc, err := pgarchive.Parse(bytes.NewReader(in))
		if err != nil {
			t.Fatal(name, err)
		}
		var out bytes.Buffer
		if err := toc.WriteDirectory(&out); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in, out.Bytes()) {
			t.Errorf("%s: %d bytes came back as %d others", name, len(in), out.Len())
		}
	}
}

func TestCustomStreamBecomesTheSameDirectory(t *testing.T) {
	for _, major := range []string{"15", "17", "18"} {
		r := bufio.NewReader(bytes.NewReader(read(t, "pg"+major+".custom.dump")))
		custom, err := pgarchive.Parse(r)
		if err != nil {
			t.Fatal(major, err)
		}
		// What stands behind the table of contents is the first data block.
		if b, err := r.ReadByte(); err != nil || b != 1 {
			t.Errorf("%s: the byte after the table of contents is %d, %v", major, b, err)
		}
		var out bytes.Buffer
		if err := custom.WriteDirectory(&out); err != nil {
			t.Fatal(err)
		}
		got, err := pgarchive.Parse(&out)
		if err != nil {
			t.Fatal(err)
		}
		want, err := pgarchive.Parse(bytes.NewReader(read(t, "pg"+major+".toc.dat")))
		if err != nil {
			t.Fatal(err)
		}
		// The two dumps were made one after the other.
		if diff := cmp.Diff(want.Entries, got.Entries, cmp.AllowUnexported(pgarchive.Entry{})); diff != "" {
			t.Errorf("%s: %s", major, diff)
		}
		if got.Database != "sample" || got.Format != pgarchive.FormatDirectory || got.CreatedAt().Year() != 2026 {
			t.Errorf("%s: head %s %d %s", major, got.Database, got.Format, got.CreatedAt())
		}
	}
}

func TestCopyTarget(t *testing.T) {
	want := map[string][]string{
		`Odd "Schema"/dot.ted`: {"Sp ace", "é"}, // gen is generated
		"public/answers":       {"id", "body", "at"},
		"public/none":          nil,
		"public/parts_1":       {"id", "d"},
	}
	for _, name := range []string{"pg15.custom.dump", "pg17.custom.dump", "pg18.custom.dump"} {
		toc, err := pgarchive.Parse(bytes.NewReader(read(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for i := range toc.Entries {
			if e := &toc.Entries[i]; e.Desc == "TABLE DATA" {
				schema, table, columns, err := e.CopyTarget()
				if err != nil {
					t.Fatal(err)
				}
				got[schema+"/"+table] = columns
				if !e.HasData || !strings.HasSuffix(toc.FileName(e), ".dat") {
					t.Errorf("%s has no data", e.Tag)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, bad := range []string{"", "COPY t FROM stdin;", "COPY a.b (", "COPY a.b (c", "COPY a.b (c; FROM stdin;", "COPY a.b (c) FROM stdin; DROP", `COPY "a.b (c) FROM stdin;`} {
		e := pgarchive.Entry{Copy: bad}
		if _, _, _, err := e.CopyTarget(); err == nil {
			t.Errorf("%q was taken for a COPY", bad)
		}
	}
}

func TestParseName(t *testing.T) {
	for in, want := range map[string][]string{
		"Answers":         {"answers"},
		`public."A""b.c"`: {"public", `A"b.c`},
		"esquema.ção":     {"esquema", "ção"},
		"a$1.b_2":         {"a$1", "b_2"},
	} {
		if got, err := pgarchive.ParseName(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", `"a`, `""`, "a b", "a-b", "a;"} {
		if got, err := pgarchive.ParseName(bad); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
	if got := pgarchive.Quote("public", `A"b.c`); got != `"public"."A""b.c"` {
		t.Error(got)
	}
}

func TestWriteList(t *testing.T) {
	toc, err := pgarchive.Parse(bytes.NewReader(read(t, "pg15.toc.dat")))
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	if err := toc.WriteList(&list, func(e *pgarchive.Entry) bool { return e.Desc == "SCHEMA" }); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(list.String(), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `SCHEMA - "Odd \"Schema\""`) {
		t.Errorf("%q", list.String())
	}
}

// Cut anywhere, an archive is refused as cut; nothing else is said of it and nothing is read into it.
func TestTruncated(t *testing.T) {
	in := read(t, "pg18.toc.dat")
	for n := range in {
		if _, err := pgarchive.Parse(bytes.NewReader(in[:n])); err == nil {
			t.Fatalf("the first %d of %d bytes passed", n, len(in))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, major := range []string{"15", "17", "18"} {
		f.Add(read(f, "pg"+major+".toc.dat"))
		f.Add(read(f, "pg"+major+".custom.dump"))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		toc, err := pgarchive.Parse(bytes.NewReader(in))
		if err != nil {
			return
		}
		// What was read can be written, and reads as the same.
		var out bytes.Buffer
		if err := toc.WriteDirectory(&out); err != nil {
			t.Fatal(err)
		}
		again, err := pgarchive.Parse(bytes.NewReader(out.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Entries) != len(toc.Entries) {
			t.Fatalf("%d entries came back as %d", len(toc.Entries), len(again.Entries))
		}
		for i := range toc.Entries {
			_, _, _, _ = toc.Entries[i].CopyTarget()
		}
		_ = toc.WriteList(io.Discard, func(*pgarchive.Entry) bool { return true })
	})
}
