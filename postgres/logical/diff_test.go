package logical_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	a := logicaltest.CaptureOf(t, s, database, dump.Options{})
	d, err := logical.Diff(t.Context(), a.Tree, a.Tree)
	if err != nil || !d.Empty() {
		t.Errorf("a point differs from itself: %+v, %v", d, err)
	}
	s.Exec(t, database, `DROP TABLE public.empty; CREATE TABLE public.novel (x int); INSERT INTO public.novel VALUES (1);
UPDATE public.profiles SET name = 'x' WHERE id = 1; DROP INDEX public.answers_at; ALTER TABLE public.serials ADD extra text; CREATE EXTENSION pg_trgm`)
	b := logicaltest.CaptureOf(t, s, database, dump.Options{})
	if d, err = logical.Diff(t.Context(), a.Tree, b.Tree); err != nil {
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
