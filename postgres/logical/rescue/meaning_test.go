package rescue_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// A CHECK may depend on settings of the captured database: one table, too, is loaded under them, and merged under those of
// the live one.
func TestTableWhoseChecksDependOnSettings(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db, other := s.Database(t), s.Database(t)
	settings := strings.NewReplacer("DB", db).Replace(`ALTER DATABASE "DB" SET TimeZone = 'America/Sao_Paulo'; ALTER DATABASE "DB" SET DateStyle = 'SQL, DMY'; ALTER DATABASE "DB" SET app.tenant = 'um'`)
	s.Exec(t, db, settings)
	s.Exec(t, db, `SET TimeZone = 'America/Sao_Paulo'; SET DateStyle = 'SQL, DMY'; SET app.tenant = 'um';
CREATE TABLE public.night (id int PRIMARY KEY, at timestamptz, d date CHECK (d = at::date), t text CHECK (t::date > '2000-01-31'::date), tenant text CHECK (tenant = current_setting('app.tenant')));
INSERT INTO public.night VALUES (1, '2026-01-01 22:30:00-03', '2026-01-01', '25/12/2025', 'um'), (2, '2026-01-02 00:30:00-03', '2026-01-02', '31/01/2026', 'um');
CREATE TABLE public.nights (at timestamptz, id int) PARTITION BY RANGE (at); CREATE TABLE public.nights_1 PARTITION OF public.nights FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO public.nights VALUES ('2026-01-31 23:30:00-03', 1)`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	const all = "SELECT id, at AT TIME ZONE 'UTC', d, t, tenant FROM night ORDER BY id"
	want := s.Query(t, db, "SET DateStyle = 'ISO'; SET search_path = public; "+all)
	for _, to := range []string{db, other} {
		for _, table := range []string{"night", "nights"} {
			out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(to), Table: table, ToSchema: "back"})
			if err != nil || len(out.Differs) > 0 {
				t.Errorf("%s: %+v, %v", table, out, err)
			}
		}
		if got := s.Query(t, to, "SET DateStyle = 'ISO'; SET search_path = back; "+all); got != want {
			t.Errorf("%s, captured %s", got, want)
		}
	}
	s.Exec(t, db, "DELETE FROM public.night WHERE id = 1")
	m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: "night"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(t.Context()); err != nil {
		t.Error(err)
	}
	if got := s.Query(t, db, "SET DateStyle = 'ISO'; SET search_path = public; "+all); got != want {
		t.Errorf("merged %s, captured %s", got, want)
	}
}

// Two tables into one new schema: the second is refused while the first is on its way.
func TestTablesIntoOneNewSchema(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	server := postgres.Config{URL: s.URL(database)}
	first := rescue.NewTable(rescue.TableOptions{Server: server, Table: "none", ToSchema: "together"})
	if _, err := first.Plan(t.Context(), cofre.Component{Kind: cofre.KindDatabase}, c.Tree); err != nil {
		t.Fatal(err)
	}
	if err := first.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatal(err)
	}
	defer first.Discard(context.Background())
	o := rescue.TableOptions{Server: server, Table: "empty", ToSchema: "together"}
	if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, o); !errors.Is(err, cofre.ErrLocked) || !strings.Contains(err.Error(), "schema") {
		t.Errorf("while another makes the schema: %v", err)
	}
	if _, err := first.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, o); err != nil {
		t.Errorf("when it is there: %v", err)
	}
}
