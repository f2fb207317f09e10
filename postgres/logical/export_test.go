package logical_test

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
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
)

func tool(t testing.TB, s *testkit.Server, name string, args ...string) {
	t.Helper()
	if _, err := process.Output(t.Context(), process.Command{Path: filepath.Join(s.BinDir, name), Args: args, Env: process.BaseEnv()}); err != nil {
		t.Fatal(err)
	}
}

func TestExportIsReadByStockTools(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	s.Exec(t, database, `INSERT INTO public.profiles (id, name, mood) VALUES (900, '', NULL), (901, E'a,"b"\r\n\\N', 'triste'), (902, '\N', 'feliz'), (903, ' x ', 'feliz')`)
	c := captureOf(t, s, database, dump.Options{})
	want := s.Dump(t, database)

	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "out")
		if err := export.ExportDirectory(t.Context(), c.tree, dir, cofre.Discard); err != nil {
			t.Fatal(err)
		}
		to := s.Database(t)
		tool(t, s, "pg_restore", "--exit-on-error", "--jobs=2", "--dbname="+s.URL(to), filepath.Join(dir, "archive"))
		if got := s.Dump(t, to); got != want {
			t.Error(lineDiff(want, got))
		}
		if err := export.ExportDirectory(t.Context(), c.tree, dir, cofre.Discard); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("over an export: %v", err)
		}
		bad := flipped{c.tree, answersFile(t, c)}
		dir = t.TempDir()
		if err := export.ExportDirectory(t.Context(), bad, dir, cofre.Discard); !errors.Is(err, cofre.ErrCorrupt) {
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
			if err := errors.Join(export.ExportSQL(t.Context(), c.tree, f, out, cofre.Discard), out.Close()); err != nil {
				t.Fatal(err)
			}
			to := s.Database(t)
			if f.DataOnly {
				s.Exec(t, "postgres", `DROP DATABASE `+to+`; `)
				s.Exec(t, "postgres", `CREATE DATABASE `+to+` TEMPLATE `+database)
				s.Exec(t, to, `TRUNCATE public.answers, public.profiles, public.none, public.parts, public.serials, public.change_logs, "Odd ""Schema"""."dot.ted"; SELECT lo_unlink(oid) FROM pg_largeobject_metadata; ALTER TABLE public.answers DISABLE TRIGGER ALL`)
			}
			tool(t, s, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--dbname="+s.URL(to), "--file="+path)
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
				t.Errorf("%+v: %s", f, lineDiff(expected, got))
			}
		}
	})
	t.Run("csv", func(t *testing.T) {
		var out bytes.Buffer
		if err := export.ExportCSV(t.Context(), c.tree, "profiles", &out, cofre.Discard); err != nil {
			t.Fatal(err)
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

func TestDiff(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	a := captureOf(t, s, database, dump.Options{})
	d, err := logical.Diff(t.Context(), a.tree, a.tree)
	if err != nil || !d.Empty() {
		t.Errorf("a point differs from itself: %+v, %v", d, err)
	}
	s.Exec(t, database, `DROP TABLE public.empty; CREATE TABLE public.novel (x int); INSERT INTO public.novel VALUES (1);
UPDATE public.profiles SET name = 'x' WHERE id = 1; DROP INDEX public.answers_at; ALTER TABLE public.serials ADD extra text; CREATE EXTENSION pg_trgm`)
	b := captureOf(t, s, database, dump.Options{})
	if d, err = logical.Diff(t.Context(), a.tree, b.tree); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range d.Tables {
		got = append(got, fmt.Sprintf("rows %s %s %d %d", c.Change, c.Table, c.RowsA, c.RowsB))
	}
	for _, c := range append(d.Objects, d.Names...) {
		got = append(got, fmt.Sprintf("%s %s %s", c.Type, c.Change, c.Name))
	}
	want := []string{
		`rows removed "public"."empty" 0 0`, `rows added "public"."novel" 0 1`, `rows changed "public"."profiles" 50 50`, `rows changed "public"."serials" 10 10`,
		`comment added EXTENSION pg_trgm`, `extension added pg_trgm`, `index removed "public"."answers_at"`, `table removed "public"."empty"`, `table added "public"."novel"`, `table changed "public"."serials"`,
		`extension added pg_trgm`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
