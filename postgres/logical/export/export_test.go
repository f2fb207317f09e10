package export_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

func TestExportIsReadByStockTools(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	s.Exec(t, database, `INSERT INTO public.profiles (id, name, mood) VALUES (900, '', NULL), (901, E'a,"b"\r\n\\N', 'triste'), (902, '\N', 'feliz'), (903, ' x ', 'feliz')`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	want := s.Dump(t, database)

	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "out")
		if err := export.Directory(t.Context(), c.Tree, dir, cofre.Discard); err != nil {
			t.Fatal(err)
		}
		to := s.Database(t)
		logicaltest.Tool(t, s, "pg_restore", "--exit-on-error", "--jobs=2", "--dbname="+s.URL(to), filepath.Join(dir, "archive"))
		if got := s.Dump(t, to); got != want {
			t.Error(logicaltest.LineDiff(want, got))
		}
		if err := export.Directory(t.Context(), c.Tree, dir, cofre.Discard); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("over an export: %v", err)
		}
		bad := logicaltest.Flipped{Tree: c.Tree, Path: logicaltest.AnswersFile(t, c)}
		dir = t.TempDir()
		if err := export.Directory(t.Context(), bad, dir, cofre.Discard); !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("changed rows: %v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "archive/toc.dat")); err == nil {
			t.Error("what an export left looks like an archive")
		}
	})
	t.Run("sql", func(t *testing.T) {
		for _, f := range []logical.Filter{{}, {SchemaOnly: true}, {DataOnly: true}} {
			path := filepath.Join(t.TempDir(), "out.sql")
			out, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(export.SQL(t.Context(), c.Tree, f, out, cofre.Discard), out.Close()); err != nil {
				t.Fatal(err)
			}
			to := s.Database(t)
			if f.DataOnly {
				s.Exec(t, "postgres", `DROP DATABASE `+to+`; `)
				s.Exec(t, "postgres", `CREATE DATABASE `+to+` TEMPLATE `+database)
				s.Exec(t, to, `TRUNCATE public.answers, public.profiles, public.none, public.parts, public.serials, public.change_logs, "Odd ""Schema"""."dot.ted"; SELECT lo_unlink(oid) FROM pg_largeobject_metadata; ALTER TABLE public.answers DISABLE TRIGGER ALL`)
			}
			logicaltest.Tool(t, s, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--dbname="+s.URL(to), "--file="+path)
			if f.DataOnly {
				s.Exec(t, to, `ALTER TABLE public.answers ENABLE TRIGGER ALL`)
			}
			expected := want
			got := s.Dump(t, to)
			if f.SchemaOnly {
				expected, got = s.Dump(t, database, "--schema-only"), s.Dump(t, to, "--schema-only")
			}
			if f.DataOnly {
				// The copy has comments and settings of its own; the rows are what was exported.
				expected, got = s.Dump(t, database, "--data-only"), s.Dump(t, to, "--data-only")
			}
			if got != expected {
				t.Errorf("%+v: %s", f, logicaltest.LineDiff(expected, got))
			}
		}
	})
	t.Run("csv", func(t *testing.T) {
		var out bytes.Buffer
		if n, err := export.CSV(t.Context(), c.Tree, export.CSVOptions{Table: "profiles"}, &out, cofre.Discard); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		if text := out.String(); !strings.Contains(text, "\r\n900,\"\",\r\n") {
			t.Errorf("NULL and the empty text look alike: %s", text[max(0, len(text)-200):])
		}
		got, err := csv.NewReader(&out).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		want := [][]string{{"id", "name", "mood"}}
		for i := range 50 {
			want = append(want, []string{fmt.Sprint(i + 1), fmt.Sprintf("Perfil %d", i+1), "triste"})
		}
		// encoding/csv reads CR LF inside quotes as LF.
		want = append(want, []string{"900", "", ""}, []string{"901", "a,\"b\"\n\\N", "triste"}, []string{"902", `\N`, "feliz"}, []string{"903", " x ", "feliz"})
		slices.SortFunc(got[1:], func(a, b []string) int { return len(a[0])*1000 - len(b[0])*1000 + strings.Compare(a[0], b[0]) })
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
