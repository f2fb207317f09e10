package fingerprint_test

import (
	"slices"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/fingerprint"
)

// What pg_dump leaves out by design is missing in a copy that stock tools made: each is named, as a loss, and nothing
// else is. What it does carry of the server's own objects comes back.
func TestWhatNoDumpHoldsIsALoss(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		roles := rolesOf(major, db)
		s.Exec(t, db, roles.Replace(`CREATE ROLE :role`))
		t.Cleanup(func() { s.Exec(t, "postgres", roles.Replace("DROP ROLE :role")) })
		t.Cleanup(func() { s.Drop(t, db) })
		s.Exec(t, db, roles.Replace(`
CREATE EXTENSION pgcrypto;
CREATE TABLE public.t (id int PRIMARY KEY);
CREATE TABLE public.u (id int REFERENCES public.t);
GRANT SELECT (rolname) ON pg_catalog.pg_authid TO :role;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(float8) FROM PUBLIC;
ALTER FUNCTION pg_catalog.pg_stat_reset() OWNER TO :role;
REVOKE SELECT ON information_schema.tables FROM PUBLIC;
GRANT CREATE ON SCHEMA information_schema TO :role;
CREATE TABLE information_schema.mine (id int);
CREATE FUNCTION pg_catalog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION public.digest(text, text) OWNER TO :role;
ALTER FUNCTION public.hmac(text, text, text) COST 77;
ALTER TABLE public.u DISABLE TRIGGER ALL`))
		want := read(t, s, db)
		copy := copied(t, s, db, s)
		all, _ := compare(t, want, read(t, s, copy), fingerprint.Options{})
		expected := []string{
			"function pg_catalog.mine()",
			"function public.digest(pg_catalog.text,pg_catalog.text) of extension pgcrypto: owner",
			"function public.hmac(pg_catalog.text,pg_catalog.text,pg_catalog.text) of extension pgcrypto: function",
			"owner of function pg_catalog.pg_stat_reset()",
			"privileges on schema information_schema: privileges",
			"privileges on view information_schema.tables",
			"switched off: constraint u_id_fkey on public.u",
			"table information_schema.mine",
		}
		for _, d := range all {
			if d.Lost.IsZero() {
				t.Errorf("%s", d)
			}
		}
		if names := slices.Sorted(slices.Values(namesOf(all))); !slices.Equal(names, expected) {
			t.Errorf("differences of %q, where %q were to be expected", names, expected)
		}
		s.Exec(t, copy, roles.Replace(`REVOKE SELECT (rolname) ON pg_catalog.pg_authid FROM :role`))
		all, _ = compare(t, want, read(t, s, copy), fingerprint.Options{})
		if !slices.ContainsFunc(all, func(d fingerprint.Difference) bool {
			return d.Name == "privileges on table column pg_catalog.pg_authid.rolname" && d.Lost.IsZero()
		}) {
			t.Errorf("a privilege on a column of the server's own is missing, and only these are: %q", namesOf(all))
		}
	})
}
