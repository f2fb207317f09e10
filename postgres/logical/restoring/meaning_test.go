package restoring_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// What a CHECK, a matview or a column computes may depend on settings of the database: they are in force while it is restored.
func TestRestoreOfExpressionsThatDependOnSettings(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, `ALTER DATABASE "`+db+`" SET TimeZone = 'America/Sao_Paulo'; ALTER DATABASE "`+db+`" SET DateStyle = 'SQL, DMY';
ALTER DATABASE "`+db+`" SET app.tenant = 'um'; ALTER DATABASE "`+db+`" SET default_text_search_config = 'pg_catalog.portuguese'`)
		s.Exec(t, db, `SET TimeZone = 'America/Sao_Paulo'; SET DateStyle = 'SQL, DMY'; SET app.tenant = 'um'; SET default_text_search_config = 'pg_catalog.portuguese';
CREATE TABLE public.night (at timestamptz, d date CHECK (d = at::date));
INSERT INTO public.night VALUES ('2026-01-01 22:30:00-03', '2026-01-01'), ('2026-01-02 00:30:00-03', '2026-01-02');
CREATE TABLE public.typed (t text CHECK (t::date > '2000-01-31'::date)); INSERT INTO public.typed VALUES ('25/12/2025');
CREATE TABLE public.tenant (t text CHECK (t = current_setting('app.tenant'))); INSERT INTO public.tenant VALUES ('um');
CREATE MATERIALIZED VIEW public.days AS SELECT at::date AS d, to_char(at, 'HH24:MI') AS h, at::text AS x, to_tsvector('os cavalos corriam') AS v FROM public.night ORDER BY at`)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_back")
		o.Check = restoring.CheckChecksum
		t.Cleanup(func() { s.Drop(t, o.Name) })
		if _, proof, _, err := logicaltest.Restore(t, c, o); err != nil {
			t.Fatalf("%v: %+v", err, proof)
		}
		for _, q := range []string{"SELECT * FROM public.days", "SELECT * FROM public.night ORDER BY at", "SELECT * FROM public.typed"} {
			if want, got := s.Query(t, db, q), s.Query(t, o.Name, q); want != got {
				t.Errorf("%s: %s, captured %s", q, got, want)
			}
		}
	})
}
