package restoring_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"

	flow "github.com/trustlayer/cofre/restore"
)

func run(t *testing.T, c logicaltest.Captured, o restoring.Options) (*flow.Result, error) {
	t.Helper()
	return flow.Run(t.Context(), c.Repo, flow.Request{Point: "p", Component: c.Component, Target: restoring.NewTarget(o), Accept: o.Accept})
}

// hidden is a tree without one of its files.
type hidden struct {
	cofre.Tree
	path string
}

func (h hidden) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	if path == h.path {
		return cofre.Entry{}, cofre.ErrNotFound
	}
	return h.Tree.Stat(ctx, path)
}

// pathBound is a database whose index stands on a function that only works with public in the search path.
const pathBound = `
CREATE TABLE public.lookup (n int);
INSERT INTO public.lookup VALUES (7);
CREATE TABLE public.items (id int);
INSERT INTO public.items SELECT generate_series(1, 100);
CREATE FUNCTION public.factor(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1 * (SELECT max(n) FROM lookup); END $$;
CREATE INDEX items_factor ON public.items (public.factor(id));
COMMENT ON DATABASE :db IS 'mine';`

// A statement that stock pg_restore passes over is a difference with a name. The copy is kept, and taken as it is
// without being made again if the differences are accepted.
func TestACopyThatDiffersIsKept(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, strings.ReplaceAll(pathBound, ":db", db))
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	o := logicaltest.Options(s, db+"_back")
	t.Cleanup(func() { s.Drop(t, o.Name) })

	res, err := run(t, c, o)
	if !errors.Is(err, cofre.ErrUnproven) || res.Kept == nil {
		t.Fatalf("%v, %+v", err, res)
	}
	t.Cleanup(func() { s.Drop(t, res.Kept.Name) })
	for _, want := range []string{"index public.items_factor: missing", `relation "lookup" does not exist`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, without %s", err, want)
		}
	}
	if n := s.Query(t, res.Kept.Name, `SELECT count(*) FROM public.items`); n != "100" {
		t.Errorf("%s rows in the copy that was kept", n)
	}
	made := s.Query(t, "postgres", `SELECT oid FROM pg_database WHERE datname = '`+res.Kept.Name+`'`)

	// One of the two is not enough, and costs nothing.
	o.Accept = []string{"index public.items_factor"}
	again, err := run(t, c, o)
	if !errors.Is(err, cofre.ErrUnproven) || again.Kept == nil || again.Kept.Name != res.Kept.Name {
		t.Fatalf("%v, %+v", err, again)
	}
	var names []string
	if d := again.Decision(func(n []string) string { names = n; return "COMMAND" }).Text; !strings.Contains(d, "COMMAND") || !strings.Contains(d, res.Kept.Drop) {
		t.Errorf("%s", d)
	}
	o.Accept = append(o.Accept, names...)

	// What is not in the point is not taken for it, whoever put it there.
	s.Exec(t, res.Kept.Name, `UPDATE public.items SET id = 0 WHERE id = 1`)
	if _, err := run(t, c, o); !errors.Is(err, cofre.ErrUnproven) || !strings.Contains(err.Error(), `checksum of "public"."items"`) {
		t.Fatalf("%v", err)
	}
	s.Exec(t, res.Kept.Name, `UPDATE public.items SET id = 1 WHERE id = 0`)

	taken, err := run(t, c, o)
	if !errors.Is(err, cofre.ErrPartial) || taken.Outcome == nil || len(taken.Proof.Accepted()) != 2 {
		t.Fatalf("%v, %+v", err, taken)
	}
	if got := s.Query(t, "postgres", `SELECT oid, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '`+o.Name+`'`); got != made+"|mine" {
		t.Errorf("%s was published, not database %s", got, made)
	}
}

func TestSearchPathRestoresWhatReliesOnIt(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, strings.ReplaceAll(pathBound, ":db", db)+`
CREATE FUNCTION public.known(int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN EXISTS (SELECT FROM lookup) OR $1 > 0; END $$;
CREATE TABLE public.checked (id int CHECK (public.known(id)), f int GENERATED ALWAYS AS (public.factor(id)) STORED);
INSERT INTO public.checked VALUES (1), (2);
CREATE MATERIALIZED VIEW public.factors AS SELECT public.factor(id) AS f FROM public.items;`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	o := logicaltest.Options(s, db+"_back")
	t.Cleanup(func() { s.Drop(t, o.Name) })
	if _, err := run(t, c, o); err == nil || !strings.Contains(cofre.Hint(err), "--search-path public") {
		t.Errorf("%v, hint %s", err, cofre.Hint(err))
	}
	o.SearchPath = "public"
	if _, err := run(t, c, o); err != nil {
		t.Fatal(err)
	}
	if want, got := s.Dump(t, db), s.Dump(t, o.Name); got != want {
		t.Error(logicaltest.LineDiff(want, got))
	}
}

// Each of these was restored rightly, and refused.
func TestObjectsThatDumpsWriteInAnotherWay(t *testing.T) {
	t.Parallel()
	objects, err := os.ReadFile("../../fingerprint/testdata/objects.sql")
	if err != nil {
		t.Fatal(err)
	}
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		roles := strings.NewReplacer(":role", `"`+db+` role"`, ":other", `"`+db+` other"`)
		t.Cleanup(func() { s.Exec(t, "postgres", roles.Replace(`DROP ROLE IF EXISTS :role; DROP ROLE IF EXISTS :other`)) })
		t.Cleanup(func() { s.Drop(t, db) })
		s.Exec(t, db, roles.Replace(string(objects)))
		if major >= 17 {
			s.Exec(t, db, roles.Replace(`GRANT ALL ON public.answers TO :other; REVOKE INSERT ON public.answers FROM :other; GRANT ALL ON public.refers TO :other; REVOKE ALL ON public.refers FROM :other`))
		}
		if major >= 18 {
			s.Exec(t, db, `ALTER TABLE public.parent ADD CONSTRAINT body_there NOT NULL body NOT VALID; ALTER TABLE public.parent ADD CONSTRAINT hoped CHECK (n <> 5) NOT ENFORCED`)
		}
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_back")
		t.Cleanup(func() { s.Drop(t, o.Name) })
		res, err := run(t, c, o)
		if !errors.Is(err, cofre.ErrPartial) {
			t.Fatalf("%v", err)
		}
		for _, d := range res.Proof.Accepted() {
			if !strings.HasPrefix(d.Accepted, "pg_dump") {
				t.Errorf("%+v", d)
			}
		}
		if !slices.ContainsFunc(res.Proof.Accepted(), func(d cofre.Checked) bool { return d.What == "table public.child: order of columns" }) {
			t.Errorf("%+v", res.Proof.Accepted())
		}
		// A component of before, and a part of a database, have the check of before.
		for _, old := range []func(*logicaltest.Captured, *restoring.Options){
			func(c *logicaltest.Captured, _ *restoring.Options) {
				c.Tree = hidden{c.Tree, logical.FingerprintFile}
			},
			func(_ *logicaltest.Captured, o *restoring.Options) {
				o.ExcludeTables = []string{"public.scratch"}
			},
		} {
			c, o := c, logicaltest.Options(s, db+"_old")
			t.Cleanup(func() { s.Drop(t, o.Name) })
			old(&c, &o)
			if _, proof, _, err := logicaltest.Restore(t, c, o); err != nil {
				t.Errorf("%v: %+v", err, proof)
			}
			s.Drop(t, o.Name)
		}
	})
}
