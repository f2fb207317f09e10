package restoring_test

import (
	"slices"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// TestALargeTableIsLoadedInPartsWhole: several sessions load stretches of it, cut in the middle of rows of all lengths, and every row
// comes back once.
func TestALargeTableIsLoadedInPartsWhole(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE public.large (id int PRIMARY KEY, pad text); INSERT INTO public.large SELECT g, repeat(E'\\ \n\té', 10 + g % 250) FROM generate_series(1, 80000) g;
CREATE TABLE public.small (id int); INSERT INTO public.small VALUES (1)`)
	const all = `SELECT count(*), sum(id), sum(length(pad)), sum(hashtext(pad || id)::bigint), (SELECT count(*) FROM public.small) FROM public.large`
	want := s.Query(t, db, all)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	for _, jobs := range []int{1, 2, 5} {
		o := logicaltest.Options(s, db+"_back")
		o.Jobs = jobs
		logicaltest.MustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, all); got != want {
			t.Errorf("loaded by %d sessions: %s, want %s", jobs, got, want)
		}
		s.Drop(t, o.Name)
	}
}

// TestALargeTableIsReadBackInParts: of a table that several sessions read back, a row of any part is found that is another, and so is
// one that is there twice.
func TestALargeTableIsReadBackInParts(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE public.large (id int, pad text); INSERT INTO public.large SELECT g, repeat('é', 10 + g % 1000) FROM generate_series(1, 80000) g`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	o := logicaltest.Options(s, db+"_back")
	o.Jobs = 3
	target := restoring.NewTarget(o)
	plan, err := target.Plan(t.Context(), c.Component, c.Tree)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	defer target.Discard(t.Context())
	if err := target.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatal(err)
	}
	staged := s.Query(t, "postgres", `SELECT datname FROM pg_database WHERE datname LIKE '`+o.Name+`\_restore\_%'`)
	for _, change := range [][2]string{
		{"", ""},
		{"UPDATE public.large SET pad = pad || 'x' WHERE id = 1", "UPDATE public.large SET pad = rtrim(pad, 'x') WHERE id = 1"},
		{"UPDATE public.large SET pad = pad || 'x' WHERE id = 40000", "UPDATE public.large SET pad = rtrim(pad, 'x') WHERE id = 40000"},
		{"INSERT INTO public.large SELECT * FROM public.large WHERE id = 80000", ""},
	} {
		if change[0] != "" {
			s.Exec(t, staged, change[0])
		}
		proof, err := target.Check(t.Context(), cofre.Discard)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(proof.Checks, func(c cofre.Checked) bool { return c.What == `checksum of "public"."large"` })
		if differs := at >= 0 && !proof.Checks[at].OK; differs != (change[0] != "") {
			t.Errorf("after %q: %+v", change[0], proof.Checks)
		}
		if change[1] != "" {
			s.Exec(t, staged, change[1])
		}
	}
}
