package logical_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

func TestRestoreGlobalsTwiceIsOnce(t *testing.T) {
	t.Parallel()
	from, to := testkit.Postgres(t, 0), testkit.Postgres(t, 0, testkit.Own())
	database := from.Database(t)
	role := "Equipe " + database
	from.Exec(t, "postgres", `CREATE ROLE "`+role+`" LOGIN CREATEDB PASSWORD 'segredo'; CREATE ROLE "g `+role+`"; GRANT "g `+role+`" TO "`+role+`";
ALTER ROLE "`+role+`" SET work_mem = '9MB'; COMMENT ON ROLE "`+role+`" IS 'a; b'`)
	t.Cleanup(func() { from.Exec(t, "postgres", `DROP ROLE "`+role+`"; DROP ROLE "g `+role+`"`) })
	c := captureOf(t, from, database, logical.CaptureOptions{})
	server := postgres.Config{URL: to.URL("postgres")}

	planned, err := logical.PlanGlobals(t.Context(), server, c.tree)
	if err != nil || !slices.Contains(planned.Created, role) {
		t.Fatalf("%+v, %v", planned, err)
	}
	if got := to.Query(t, "postgres", `SELECT count(*) FROM pg_roles WHERE rolname = '`+role+`'`); got != "0" {
		t.Fatal("planning made a role")
	}
	out, err := logical.RestoreGlobals(t.Context(), server, c.tree)
	if err != nil || !slices.Contains(out.Created, role) || !slices.Contains(out.Kept, "postgres") {
		t.Fatalf("%+v, %v", out, err)
	}
	const query = `SELECT rolcreatedb, rolcanlogin, rolconfig, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = `
	if got := to.Query(t, "postgres", query+`'`+role+`'`); got != "t|t|{work_mem=9MB}|a; b" {
		t.Error(got)
	}
	// Passwords travel only when the configuration says so.
	if got := to.Query(t, "postgres", `SELECT rolpassword FROM pg_authid WHERE rolname = '`+role+`'`); got != "<null>" {
		t.Error("a password came along")
	}

	to.Exec(t, "postgres", `ALTER ROLE "`+role+`" NOCREATEDB PASSWORD 'outro'`)
	out, err = logical.RestoreGlobals(t.Context(), server, c.tree)
	if err != nil || len(out.Created) > 0 || len(out.Added) > 0 || !strings.Contains(strings.Join(out.Differ, "\n"), role+" is NOCREATEDB here and CREATEDB in the point") {
		t.Errorf("%+v, %v", out, err)
	}
	if got := to.Query(t, "postgres", `SELECT rolcreatedb, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = '`+role+`'`); got != "f|t" {
		t.Error("a role that existed was changed")
	}
}
