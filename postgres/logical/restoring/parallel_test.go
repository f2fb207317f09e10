package restoring_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
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
