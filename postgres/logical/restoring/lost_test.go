package restoring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// losing restores a component of which some files are lost, known beforehand or not.
func losing(t testing.TB, c logicaltest.Captured, o restoring.Options, known bool, paths ...string) (*cofre.Plan, *cofre.Proof, *cofre.Outcome, error) {
	t.Helper()
	c.Tree = logicaltest.Cut{Tree: c.Tree, Paths: paths}
	if known {
		for _, p := range paths {
			o.Loss.Known = append(o.Loss.Known, cofre.Finding{Object: p, What: "is damaged"})
		}
	}
	return logicaltest.Restore(t, c, o)
}

const related = `
CREATE TABLE public.plain (id int PRIMARY KEY, pad text);
INSERT INTO public.plain SELECT g, repeat('x', 100) FROM generate_series(1, 3000) g;
CREATE TABLE public."Parts" (id int, pad text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE public.low PARTITION OF public."Parts" FOR VALUES FROM (0) TO (1000);
CREATE TABLE public.high PARTITION OF public."Parts" FOR VALUES FROM (1000) TO (9000);
INSERT INTO public."Parts" SELECT g, repeat('y', 100) FROM generate_series(1, 3000) g;
CREATE TABLE public."to plain" (id int CONSTRAINT "leads there" REFERENCES public.plain, self int);
INSERT INTO public."to plain" SELECT generate_series(1, 10);
CREATE TABLE public.to_parts (id int REFERENCES public."Parts");
INSERT INTO public.to_parts SELECT generate_series(1, 2000);
CREATE TABLE public.parts_to (id int REFERENCES public.plain) PARTITION BY RANGE (id);
CREATE TABLE public.parts_to_1 PARTITION OF public.parts_to FOR VALUES FROM (0) TO (1000);
INSERT INTO public.parts_to SELECT generate_series(1, 10);
CREATE TABLE public.tree (id int PRIMARY KEY, up int CONSTRAINT upward REFERENCES public.tree, pad text DEFAULT repeat('z', 100));
INSERT INTO public.tree SELECT g, 3001 - g FROM generate_series(1, 3000) g;
CREATE VIEW public.seen AS SELECT * FROM public.plain;
CREATE MATERIALIZED VIEW public.counted AS SELECT count(*) FROM public.seen;
SELECT lo_from_bytea(4711, '\x010203'), lo_from_bytea(4712, '\x040506');
`

func whats(p *cofre.Proof) map[string]string {
	m := map[string]string{}
	for _, c := range p.Checks {
		if !c.OK {
			m[c.What] = c.Accepted
		}
	}
	return m
}

// What the repository has lost is left out by name when that is asked for, and no foreign key is said to hold over it.
func TestRestoreWithoutWhatIsLost(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, related)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		paths := []string{logicaltest.FileOf(t, c, "plain"), logicaltest.FileOf(t, c, "low"), logicaltest.FileOf(t, c, "tree"), logical.ArchiveDir + "/blob_4711.dat"}
		for _, known := range []bool{true, false} {
			o := logicaltest.Options(s, fmt.Sprintf("%s_%t", db, known))
			o.Loss.Without = true
			o.Loss.Elsewhere = func(_ context.Context, _, table string) string {
				if table == "low" {
					return ""
				}
				return "bring " + table
			}
			t.Cleanup(func() { s.Drop(t, o.Name) })
			_, proof, outcome, err := losing(t, c, o, known, paths...)
			if err != nil {
				t.Fatalf("known %t: %v", known, err)
			}
			got := whats(proof)
			want := []string{
				`rows of "public"."plain"`, `rows of "public"."low"`, `rows of "public"."tree"`, "large object 4711", `constraint upward on public.tree: validated`,
				`constraint "leads there" on public."to plain": validated`, `constraint to_parts_id_fkey on public.to_parts: validated`,
			}
			if major < 18 { // which refuse a key of a partitioned table that is not valid
				want = append(want, `statement of fk constraint public.parts_to parts_to_id_fkey`, `constraint parts_to_id_fkey on public.parts_to`)
			} else {
				want = append(want, `constraint parts_to_id_fkey on public.parts_to: validated`)
			}
			for _, w := range want {
				if got[w] == "" {
					t.Errorf("known %t: %s is not accepted", known, w)
				}
				delete(got, w)
			}
			for w := range got {
				if !strings.HasPrefix(w, "constraint ") || !strings.HasSuffix(w, ": definition") {
					t.Errorf("known %t: %s differs, too", known, w)
				}
			}
			if !slices.ContainsFunc(proof.NotCompared, func(n string) bool { return strings.Contains(n, "public.counted") }) {
				t.Errorf("known %t: not compared: %q", known, proof.NotCompared)
			}
			next := fmt.Sprint(outcome.Next)
			for _, w := range []string{"bring plain", `no other point is known to hold the rows of "public"."low"`, `ALTER TABLE "public"."to plain" VALIDATE CONSTRAINT "leads there";`} {
				if !strings.Contains(next, w) {
					t.Errorf("known %t: %s is not among what is next: %s", known, w, next)
				}
			}
			if n := s.Query(t, o.Name, `SELECT (SELECT count(*) FROM public.plain), (SELECT count(*) FROM ONLY public.low), (SELECT count(*) FROM public."Parts"), (SELECT count(*) FROM public."to plain"), lo_get(4711), lo_get(4712), (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated AND conrelid = 'public."to plain"'::regclass)`); n != `1505|500|2501|10|\x|\x040506|1` {
				t.Errorf("known %t: the copy holds %s", known, n)
			}
			// When the rows are back, what was printed has every key hold.
			s.Exec(t, o.Name, `INSERT INTO public.plain SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING; INSERT INTO public."Parts" SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING;
				INSERT INTO public.tree SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING`)
			for _, n := range outcome.Next {
				if n.Do == cofre.DoFinish && strings.HasPrefix(n.Command, "ALTER TABLE") {
					s.Exec(t, o.Name, n.Command)
				}
			}
			if keys := s.Query(t, o.Name, `SELECT string_agg(conname || ' ' || convalidated, ', ' ORDER BY conname COLLATE "C") FROM pg_constraint WHERE contype = 'f' AND conparentid = 0`); keys != "leads there true, parts_to_id_fkey true, to_parts_id_fkey true, upward true" {
				t.Errorf("known %t: the keys are %s", known, keys)
			}
		}
	})
}

// What is known to be lost is said before anything is made, all of it, with the command that does without.
func TestWhatIsLostIsSaidBeforehand(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, related)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	o := logicaltest.Options(s, db+"_back")
	o.Loss.Command = "COMMAND"
	plan, _, _, err := losing(t, c, o, true, logicaltest.FileOf(t, c, "plain"), logicaltest.FileOf(t, c, "low"), logical.ArchiveDir+"/blob_4712.dat", logical.FingerprintFile, logical.GlobalsFile)
	if !errors.Is(err, cofre.ErrPreflight) || len(plan.Problems) != 1 {
		t.Fatalf("%v, %+v", err, plan)
	}
	for _, want := range []string{`the 3000 rows of "public"."plain"`, `the 999 rows of "public"."low"`, "large object 4712", "catalogs", "roles and memberships"} {
		if !strings.Contains(plan.Problems[0].What, want) {
			t.Errorf("%s is not in %s", want, plan.Problems[0].What)
		}
	}
	if !strings.Contains(plan.Problems[0].Hint, "COMMAND") {
		t.Errorf("hint %s", plan.Problems[0].Hint)
	}
	// What is not asked for is not missed.
	for _, part := range []logical.Filter{{SchemaOnly: true}, {ExcludeTables: []string{"public.plain", `public."Parts"`}}} {
		o.Filter = part
		plan, _, _, err := losing(t, c, o, true, logicaltest.FileOf(t, c, "plain"), logicaltest.FileOf(t, c, "low"))
		if err != nil {
			t.Errorf("%+v: %v, %+v", part, err, plan)
		}
		s.Drop(t, o.Name)
	}
}

// A copy whose definitions cannot be compared because what the catalogs said is lost is taken, and not called equal.
func TestRestoreWithoutWhatTheCatalogsSaid(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, related)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	for _, known := range []bool{true, false} {
		o := logicaltest.Options(s, fmt.Sprintf("%s_%t", db, known))
		t.Cleanup(func() { s.Drop(t, o.Name) })
		if !known {
			if _, proof, _, err := losing(t, c, o, known, logical.FingerprintFile); !errors.Is(err, cofre.ErrUnproven) || len(whats(proof)) != 1 {
				t.Errorf("%v, %+v", err, proof)
			}
		}
		o.Loss.Without = true
		_, proof, _, err := losing(t, c, o, known, logical.FingerprintFile, logical.GlobalsFile)
		if err != nil {
			t.Fatalf("known %t: %v", known, err)
		}
		if got := whats(proof); !proof.Part || got["catalogs"] == "" || got["roles and memberships"] == "" || len(got) != 2 {
			t.Errorf("known %t: part %t, %v", known, proof.Part, got)
		}
	}
}

// Of a table that is loaded in parts, what can be read is there once when one of them is lost.
func TestPartsOfATableOfWhichRowsAreLost(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE public.big (id int PRIMARY KEY, pad text); INSERT INTO public.big SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g; CREATE TABLE public.small (id int); INSERT INTO public.small VALUES (1)`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	o := logicaltest.Options(s, db+"_back")
	o.Loss.Without = true
	t.Cleanup(func() { s.Drop(t, o.Name) })
	_, proof, _, err := losing(t, c, o, false, logicaltest.FileOf(t, c, "big"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Query(t, o.Name, `SELECT (SELECT count(*) || ' ' || max(id) FROM public.big), (SELECT count(*) FROM public.small)`); got != "50005 50005|1" || whats(proof)[`rows of "public"."big"`] == "" {
		t.Errorf("%s, %v", got, whats(proof))
	}
}

// pieced is a tree whose files are stored in pieces, of which some are lost.
type pieced struct {
	cofre.Tree
	path  string
	piece int64
	lost  []int64
}

func (h pieced) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	r, err := h.Tree.Open(ctx, path)
	if err != nil || path != h.path {
		return r, err
	}
	return &holed{ReadSeekCloser: r, of: h}, nil
}

type holed struct {
	io.ReadSeekCloser
	of  pieced
	pos int64
}

func (h *holed) Seek(at int64, from int) (_ int64, err error) {
	h.pos, err = h.ReadSeekCloser.Seek(at, from)
	return h.pos, err
}

func (h *holed) Read(p []byte) (int, error) {
	if slices.Contains(h.of.lost, h.pos/h.of.piece) {
		return 0, fmt.Errorf("block: %w", cofre.ErrCorrupt)
	}
	n, err := h.ReadSeekCloser.Read(p[:min(int64(len(p)), h.of.piece-h.pos%h.of.piece)])
	h.pos += int64(n)
	return n, err
}

func (h *holed) Skip() int64 {
	n := h.of.piece - h.pos%h.of.piece
	h.pos, _ = h.ReadSeekCloser.Seek(n, io.SeekCurrent)
	return n
}

// Of a table of which pieces are lost, exactly the rows are read that stand in whole pieces and whose beginning is known.
func TestReadable(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE public.rows (id int PRIMARY KEY, pad text); INSERT INTO public.rows SELECT g, repeat('x', g % 700) || E'\n' FROM generate_series(1, 1000) g; CREATE TABLE public.other (id int); INSERT INTO public.other VALUES (1)`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	path := logicaltest.FileOf(t, c, "rows")
	raw, err := logical.ReadAll(t.Context(), c.Tree, path)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(raw) - len(logical.EndMarker))
	for _, piece := range []int64{1000, 50_000, 1 << 30} {
		last := size / piece
		for _, lost := range [][]int64{nil, {0}, {last}, {last / 2}, {last / 3, last/3 + 1, last / 2}, {0, last}} {
			broken := pieced{c.Tree, path, piece, lost}
			comp, err := logical.OpenComponent(t.Context(), broken)
			if err != nil {
				t.Fatal(err)
			}
			tree, found, err := logical.Readable(t.Context(), broken, &comp, []string{path})
			if err != nil {
				t.Fatal(err)
			}
			want, rows, before := []byte{}, 0, 0
			isLost := func(at int) bool { return at >= 0 && slices.Contains(lost, int64(at)/piece) }
			for line := range strings.Lines(string(raw[:size])) {
				whole := !isLost(before - 1)
				for at := before; at < before+len(line); at++ {
					whole = whole && !isLost(at)
				}
				if whole {
					want, rows = append(want, line...), rows+1
				}
				before += len(line)
			}
			got, err := logical.ReadAll(t.Context(), tree, path)
			if err != nil || string(got) != string(want)+logical.EndMarker {
				t.Errorf("pieces of %d without %v: %d bytes, want %d: %v", piece, lost, len(got), len(want)+len(logical.EndMarker), err)
			}
			if (len(found) == 0) != (lost == nil) || len(found) == 1 && (found[0].Readable.Rows != int64(rows) || found[0].Captured.Rows != 1000 || found[0].Readable.Bytes != int64(len(want))) {
				t.Errorf("pieces of %d without %v: %+v, want %d rows", piece, lost, found, rows)
			}
			facts, err := logical.ReadFacts(t.Context(), tree)
			if e, failed := tree.Stat(t.Context(), path); err != nil || failed != nil || e.Size != int64(len(got)) || facts.Rows != int64(rows)+1 {
				t.Errorf("pieces of %d without %v: %+v, %d rows of %d: %v, %v", piece, lost, e, rows, facts.Rows, err, failed)
			}
		}
	}
}
