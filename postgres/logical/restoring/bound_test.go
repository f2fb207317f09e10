package restoring_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// pg_cron can be made in one database of a server, by its name: in no staged one.
func TestAnExtensionThatInsistsOnItsDatabase(t *testing.T) {
	t.Parallel()
	if s := testkit.Postgres(t, 0); s.Query(t, "postgres", `SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'`) == "0" {
		t.Skip("no package of pg_cron is here")
	}
	s := testkit.Postgres(t, 0, testkit.Conf("shared_preload_libraries = 'pg_cron'", "cron.database_name = 'jobs'", "cron.use_background_workers = on"))
	s.Exec(t, "postgres", `CREATE DATABASE jobs`)
	s.Exec(t, "postgres", `CREATE ROLE worker`)
	s.Exec(t, "jobs", `CREATE EXTENSION pg_cron; CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1), (2);
GRANT USAGE ON SCHEMA cron TO worker; SELECT cron.schedule('0 0 1 1 *', 'SELECT 1')`)
	c := logicaltest.CaptureOf(t, s, "jobs", dump.Options{})
	o := logicaltest.Options(s, "jobs")
	o.Replace = true
	res, err := run(t, c, o)
	if !errors.Is(err, cofre.ErrPartial) {
		t.Fatalf("%v", err)
	}
	if !slices.ContainsFunc(res.Plan.Notes, func(n string) bool {
		return strings.Contains(n, "extension pg_cron is left out") && strings.Contains(n, "database jobs alone")
	}) {
		t.Errorf("%q", res.Plan.Notes)
	}
	for _, d := range res.Proof.Accepted() {
		if !strings.Contains(d.What, "cron") {
			t.Errorf("%+v", d)
		}
	}
	i := slices.IndexFunc(res.Outcome.Next, func(n cofre.Next) bool { return n.Command == "CREATE EXTENSION pg_cron;" })
	if i < 0 {
		t.Fatalf("%q", res.Outcome.Next)
	}
	s.Exec(t, "jobs", res.Outcome.Next[i].Command)
	if n := s.Query(t, "jobs", `SELECT count(*) FROM public.t`); n != "2" {
		t.Errorf("%s rows", n)
	}
}
