package rescue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// Two rescues of one table name within one second, of tables of two schemas: the second drops nothing that the
// first made, not its undo either.
func TestMergesOfOneSecond(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database := s.Database(t)
	long := strings.Repeat("ção", 12) // 60 bytes of 63
	s.Exec(t, database, `CREATE SCHEMA other; CREATE TABLE public.undo (id int PRIMARY KEY); INSERT INTO public.undo SELECT generate_series(1, 9);
CREATE TABLE other.undo (id int PRIMARY KEY); INSERT INTO other.undo VALUES (1);
CREATE TABLE public."`+long+`" (id int PRIMARY KEY); INSERT INTO public."`+long+`" VALUES (1), (2)`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, database, `DELETE FROM public.undo WHERE id > 5; DELETE FROM public."`+long+`"`)

	at := time.Date(2026, 11, 26, 4, 5, 6, 0, time.UTC)
	o := rescue.MergeOptions{Server: postgres.Config{URL: s.URL(database)}, Now: func() time.Time { return at }}
	var undo []string
	for _, table := range []string{"public.undo", `"` + long + `"`, "other.undo", "public.undo"} {
		o.Table = table
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Schema) > 63 {
			t.Errorf("the server cuts %s", m.Schema)
		}
		if m.Comparison.Missing > 0 {
			out, err := m.Apply(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			undo = append(undo, out.UndoTable)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(undo) != 2 {
		t.Fatalf("undo tables %q", undo)
	}
	for i, want := range []string{"4", "2"} {
		if got := s.Query(t, database, "SELECT count(*) FROM "+undo[i]); got != want {
			t.Errorf("%s has %s rows, not %s", undo[i], got, want)
		}
	}
	if got := s.Query(t, database, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'cofre_rescue%'`); got != "2" {
		t.Errorf("%s schemas of rescues are left, not those of the two undos", got)
	}
}
