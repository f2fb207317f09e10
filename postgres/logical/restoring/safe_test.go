package restoring_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// hostile has functions that act in the copy alone: they write down who they are and how many rows of the victim they see, and one of them
// becomes whoever logged in and makes a superuser of it. OWNER is a role of the test.
const hostile = `
CREATE SCHEMA app AUTHORIZATION "OWNER"; SET SESSION AUTHORIZATION "OWNER";
CREATE TABLE app.seen (by text, who text, super boolean, loaded bigint);
CREATE TABLE app.victim (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO app.victim SELECT g, 0 FROM generate_series(1, 1000) g;
CREATE FUNCTION app.acts(by text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  IF current_database() LIKE '%\_restore\_%' THEN
    RESET ROLE; RESET SESSION AUTHORIZATION;
    RAISE EXCEPTION 'as % who is superuser: %, with % rows', session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = session_user), (SELECT count(*) FROM app.victim);
  END IF;
  RETURN true;
END $$;
CREATE TABLE app.bait (a int CHECK (app.acts('check')));
INSERT INTO app.bait VALUES (1);
`

// ordinary is a role that owns a database and may make others, and the URL of the server as that role.
func ordinary(t *testing.T, s *testkit.Server, db string, copies ...string) (role string, server postgres.Config) {
	t.Helper()
	role = db + "_owner"
	s.Exec(t, "postgres", `CREATE ROLE "`+role+`" LOGIN CREATEDB; ALTER DATABASE "`+db+`" OWNER TO "`+role+`"`)
	t.Cleanup(func() {
		for _, name := range append(copies, db) {
			s.Drop(t, name)
		}
		s.Exec(t, "postgres", `DROP ROLE "`+role+`"`)
	})
	u, err := url.Parse(s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return role, postgres.Config{URL: u.String()}
}

// A CHECK of the captured database runs when all rows were loaded and compared, and as nobody who may more than the owner.
func TestSafeRunsNoCheckBeforeRowsWereCompared(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, strings.ReplaceAll(hostile, "OWNER", role))
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_again")
		o.Server, o.Safe, o.Jobs = server, true, 1
		plan, proof, _, err := logicaltest.Restore(t, c, o)
		if err == nil || proof == nil {
			t.Fatalf("%+v, %v", plan, err)
		}
		failed := proof.Differing().Checks
		if !slices.ContainsFunc(failed, func(c cofre.Checked) bool {
			return strings.Contains(c.What, "statement of check constraint") && strings.Contains(c.Got, "as "+role+" who is superuser: f, with 1000 rows")
		}) {
			t.Errorf("%+v", failed)
		}
		if slices.ContainsFunc(failed, func(c cofre.Checked) bool {
			return strings.Contains(c.What, "rows of") || strings.Contains(c.What, "checksum")
		}) {
			t.Errorf("rows differ: %+v", failed)
		}
		if notes := strings.Join(plan.Notes, "\n"); !strings.Contains(notes, "app.acts(") || strings.Contains(notes, "before rows are compared") {
			t.Errorf("%q", notes)
		}
	})
}

// What a function changes when its constraint is made at last is found: rows are compared a second time.
func TestSafeComparesAgain(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, `CREATE SCHEMA app AUTHORIZATION "`+role+`"; SET SESSION AUTHORIZATION "`+role+`";`+strings.ReplaceAll(acting[:strings.Index(acting, "CREATE FUNCTION public.of_domain")], "public.", "app."))
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_again")
		o.Server, o.Safe = server, true
		_, proof, _, err := logicaltest.Restore(t, c, o)
		if err == nil || proof == nil || !slices.ContainsFunc(proof.Checks, func(c cofre.Checked) bool { return c.What == `checksum of "app"."victim"` && !c.OK }) {
			t.Errorf("a row that was changed by a constraint that was put off: %+v, %v", proof, err)
		}
	})
}

// A generated column cannot be put off. If its function changes a row, the constraints are not made, and each says so.
func TestSafeStopsAtRowsThatDiffer(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, `CREATE SCHEMA app AUTHORIZATION "`+role+`"; SET SESSION AUTHORIZATION "`+role+`";
CREATE TABLE app.victim (id int PRIMARY KEY, n int NOT NULL CONSTRAINT sane CHECK (n >= 0));
INSERT INTO app.victim SELECT g, 0 FROM generate_series(1, 1000) g;
CREATE FUNCTION app.does() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  UPDATE app.victim SET n = 7 WHERE id = 1 AND current_database() LIKE '%\_restore\_%';
  RETURN 1;
END $$;
CREATE FUNCTION app.acts(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN app.does(); END $$;
CREATE TABLE app.bait (a int, b int GENERATED ALWAYS AS (app.acts(a)) STORED);
INSERT INTO app.bait VALUES (1);`)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_again")
		o.Server, o.Safe, o.Jobs = server, true, 1
		_, proof, _, err := logicaltest.Restore(t, c, o)
		if err == nil || proof == nil {
			t.Fatalf("%+v, %v", proof, err)
		}
		failed := proof.Differing().Checks
		for _, want := range [][2]string{
			{`checksum of "app"."victim"`, ""},
			{`statement of check constraint "sane" on app.victim`, `not made: checksum of "app"."victim" differed`},
			{`constraint sane on app.victim`, "missing"},
		} {
			if !slices.ContainsFunc(failed, func(c cofre.Checked) bool { return c.What == want[0] && strings.Contains(c.Got, want[1]) }) {
				t.Errorf("%q is not named: %+v", want, failed)
			}
		}
	})
}

// constrained has every kind of CHECK: of hierarchies and partitions, inherited once and twice, made for a child as well, not inherited, not
// validated, with comments, of domains over domains, of domains within arrays, and beside what runs before.
const constrained = `
CREATE SCHEMA app AUTHORIZATION "OWNER"; SET SESSION AUTHORIZATION "OWNER";
CREATE FUNCTION app.holds(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 IS NULL OR $1 < 1000000';
CREATE FUNCTION app.doubles(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE DOMAIN app.small AS int CONSTRAINT "is small" CHECK (app.holds(VALUE)) CHECK (VALUE <> 13);
COMMENT ON CONSTRAINT "is small" ON DOMAIN app.small IS 'it''s small';
CREATE DOMAIN app.smaller AS app.small CHECK (VALUE < 5000);
CREATE DOMAIN app.listed AS int CHECK (VALUE > 0);
CREATE TABLE app.lists (l app.listed[]); INSERT INTO app.lists VALUES ('{1,2}');
CREATE TABLE app."the parent" (id int CONSTRAINT positive CHECK (id > 0), s app.small, t app.smaller, CONSTRAINT alone CHECK (id < 1000) NO INHERIT, CHECK (s IS NOT NULL), d int GENERATED ALWAYS AS (app.doubles(id)) STORED);
COMMENT ON CONSTRAINT positive ON app."the parent" IS 'p';
CREATE TABLE app.child (CONSTRAINT positive CHECK (id > 0), x text) INHERITS (app."the parent");
COMMENT ON CONSTRAINT positive ON app.child IS 'c';
CREATE TABLE app.other (id int CONSTRAINT positive CHECK (id > 0), y int);
CREATE TABLE app.grandchild (z int CHECK (z > 0)) INHERITS (app.child, app.other);
INSERT INTO app."the parent" SELECT g, g, g FROM generate_series(1, 12) g;
INSERT INTO app.child SELECT g, g, g FROM generate_series(1, 12) g; INSERT INTO app.grandchild (id, s, t, z) SELECT g, g, g, g FROM generate_series(1, 12) g;
CREATE TABLE app.logs (at int CHECK (at >= 0), v app.small, CONSTRAINT whole CHECK (app.holds(at))) PARTITION BY RANGE (at);
CREATE TABLE app.logs_1 PARTITION OF app.logs (CHECK (v IS NULL OR v > -1)) FOR VALUES FROM (0) TO (10);
CREATE TABLE app.logs_2 PARTITION OF app.logs FOR VALUES FROM (10) TO (20) PARTITION BY LIST (v);
CREATE TABLE app.logs_2a PARTITION OF app.logs_2 DEFAULT;
INSERT INTO app.logs SELECT g, 5 FROM generate_series(0, 19) g;
CREATE TABLE app.late (a int); INSERT INTO app.late VALUES (-1); ALTER TABLE app.late ADD CONSTRAINT later CHECK (a > 0) NOT VALID;
CREATE TABLE app.keyed (a int) PARTITION BY RANGE (app.doubles(a)); CREATE TABLE app.keyed_1 PARTITION OF app.keyed FOR VALUES FROM (0) TO (100); INSERT INTO app.keyed VALUES (3);
CREATE TABLE app.mine (a int); INSERT INTO app.mine SELECT generate_series(1, 5); ALTER TABLE app.mine ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY none ON app.mine USING (a > 100);
`

// What was put off comes back as it was: the catalogs are those that were captured.
func TestSafeMakesAllConstraintsAgain(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, strings.ReplaceAll(constrained, "OWNER", role))
		if major >= 18 {
			s.Exec(t, db, `SET SESSION AUTHORIZATION "`+role+`"; CREATE TABLE app.lax (a int, CONSTRAINT lax CHECK (a > 0) NOT ENFORCED, v int GENERATED ALWAYS AS (a * 2)); INSERT INTO app.lax VALUES (-1)`)
		}
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_again")
		o.Server, o.Safe = server, true
		plan, proof, outcome, err := logicaltest.Restore(t, c, o)
		if err != nil {
			var differ []cofre.Checked
			if proof != nil {
				differ = proof.Differing().Checks
			}
			t.Fatalf("%v: %+v, %+v", err, plan, differ)
		}
		if proof.Counted || len(outcome.Left) > 0 {
			t.Errorf("%+v, %+v", proof, outcome)
		}
		const all = `SELECT string_agg(format('%s %s %s %s %s %s %s', conrelid::regclass, contypid::regtype, conname, pg_get_constraintdef(oid), conislocal, coninhcount, obj_description(oid, 'pg_constraint')), E'\n' ORDER BY conrelid::regclass::text, contypid::regtype::text, conname) FROM pg_constraint WHERE contype = 'c' AND connamespace = 'app'::regnamespace`
		if want, got := s.Query(t, db, all), s.Query(t, db+"_again", all); want != got {
			t.Errorf("constraints:\n%s", logicaltest.LineDiff(want, got))
		}
		if notes := strings.Join(plan.Notes, "\n"); !strings.Contains(notes, "before rows are compared: app.doubles(integer)") {
			t.Errorf("%q", notes)
		}
	})
}

// goesOn does what the refusal of an owner who may more than an owner says.
func goesOn(t *testing.T, s *testkit.Server, owner string, c logicaltest.Captured, o restoring.Options) {
	t.Helper()
	plan, _, _, err := logicaltest.Restore(t, c, o)
	if err == nil || plan == nil || !slices.ContainsFunc(plan.Problems, func(p cofre.Problem) bool {
		return strings.Contains(p.Hint, "If the owner can act as such a role itself") && strings.HasSuffix(p.Hint, "with --no-owner: CREATE ROLE cofre_safe LOGIN CREATEDB")
	}) {
		t.Errorf("%+v, %v", plan, err)
	}
	other := owner + "_safe"
	s.Exec(t, "postgres", `CREATE ROLE "`+other+`" LOGIN CREATEDB`)
	o.Server.URL = strings.Replace(o.Server.URL, owner, other, 1)
	if _, proof, _, err := logicaltest.Restore(t, c, o); err != nil {
		t.Errorf("as another role: %+v, %v", proof, err)
	}
	s.Drop(t, o.Name)
	s.Exec(t, "postgres", `DROP ROLE "`+other+`"`)
}

// Who may more than an owner does not restore safely, and what belongs to such a role is not restored so.
func TestSafeRefusesPowers(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, `CREATE TABLE public.t (id int); ALTER TABLE public.t OWNER TO "`+role+`"`)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_again")
		o.Safe, o.NoOwner = true, true
		refused := func(why, said string, change func(*restoring.Options)) {
			t.Helper()
			with := o
			change(&with)
			plan, _, _, err := logicaltest.Restore(t, c, with)
			if err == nil || plan == nil || !slices.ContainsFunc(plan.Problems, func(p cofre.Problem) bool { return strings.Contains(p.What, said) && p.Hint != "" }) {
				t.Errorf("%s: %+v, %v", why, plan, err)
			}
		}
		refused("a superuser", "can act as", func(*restoring.Options) {})
		o.Server = server
		refused("counts", "--check counts compares none", func(o *restoring.Options) { o.Check = restoring.CheckCounts })
		refused("rows alone", "which are there", func(o *restoring.Options) { o.DataOnly = true })
		s.Exec(t, "postgres", `GRANT pg_write_server_files TO "`+role+`"`)
		refused("a member", "can act as pg_write_server_files", func(*restoring.Options) {})
		s.Exec(t, "postgres", `REVOKE pg_write_server_files FROM "`+role+`"`)
		if major < 16 {
			s.Exec(t, "postgres", `ALTER ROLE "`+role+`" CREATEROLE`)
			refused("a maker of roles", "can act as "+role, func(*restoring.Options) {})
			goesOn(t, s, role, c, o)
			s.Exec(t, "postgres", `ALTER ROLE "`+role+`" NOCREATEROLE`)
		}
		s.Exec(t, db, `CREATE TABLE public.others (id int)`)
		c = logicaltest.CaptureOf(t, s, db, dump.Options{})
		refused("a superuser's table", "no other role can make them the owners", func(o *restoring.Options) { o.NoOwner = false })
		if _, proof, _, err := logicaltest.Restore(t, c, o); err != nil {
			t.Errorf("without owners: %+v, %v", proof, err)
		}
	})
}

// What the role that restores may not set is left out by name, and nothing else is; afterwards whoever may does it with the command of the plan.
func TestSettingsThatARoleMayNotMakeAreLeftOut(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role, server := ordinary(t, s, db, db+"_again")
		s.Exec(t, db, `CREATE TABLE rows AS SELECT 1 AS a; ALTER TABLE rows OWNER TO "`+role+`"`)
		s.Exec(t, "postgres", `ALTER DATABASE "`+db+`" SET work_mem = '5MB'; ALTER DATABASE "`+db+`" SET log_statement = 'none'; ALTER ROLE "`+role+`" IN DATABASE "`+db+`" SET work_mem = '6MB'; ALTER ROLE postgres IN DATABASE "`+db+`" SET work_mem = '7MB'`)
		captured := logicaltest.CaptureOf(t, s, db, dump.Options{})
		plan, proof, _, err := logicaltest.Restore(t, captured, restoring.Options{Server: server, Name: db + "_again", NoOwner: true})
		if err != nil {
			t.Fatalf("%+v, %v", proof, err)
		}
		notes := strings.Join(plan.Notes, "\n")
		for _, sql := range []string{`ALTER DATABASE "` + db + `_again" SET "log_statement" TO 'none';`, `ALTER ROLE "postgres" IN DATABASE "` + db + `_again" SET "work_mem" TO '7MB';`} {
			if !strings.Contains(notes, "afterwards, as a superuser, in psql: "+sql) {
				t.Errorf("%s is not in %q", sql, notes)
			}
			s.Exec(t, "postgres", sql)
		}
		const all = `SELECT string_agg(setrole::regrole || ' ' || setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = '%s')`
		if want, got := s.Query(t, "postgres", strings.ReplaceAll(all, "%s", db)), s.Query(t, "postgres", strings.ReplaceAll(all, "%s", db+"_again")); want != got {
			t.Errorf("settings %s, want %s", got, want)
		}
	})
}
