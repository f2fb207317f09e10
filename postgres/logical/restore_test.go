package logical_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// installation is a database like those that cofre is for, small: everything a restore can lose is in it.
const installation = `
CREATE SCHEMA app;
CREATE SCHEMA "Odd ""Schema""";
CREATE EXTENSION pgcrypto SCHEMA app;
CREATE TYPE app.mood AS ENUM ('triste', 'feliz');
CREATE TABLE public.profiles (id int PRIMARY KEY, name text NOT NULL, mood app.mood DEFAULT 'feliz');
CREATE TABLE public.answers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, profile_id int NOT NULL REFERENCES public.profiles(id),
  body text NOT NULL CHECK (body <> ''), at timestamptz NOT NULL DEFAULT '2026-01-02 03:04:05+00', n numeric(12,4),
  size int GENERATED ALWAYS AS (length(body)) STORED);
CREATE INDEX answers_at ON public.answers (at, profile_id);
CREATE TABLE public.change_logs (id bigserial PRIMARY KEY, tab text, op text, who text DEFAULT current_user);
CREATE FUNCTION public.log_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.change_logs (tab, op) VALUES (TG_TABLE_NAME, TG_OP); RETURN NULL; END $$;
CREATE TABLE public.none ();
CREATE TABLE public.empty (id int);
CREATE TABLE "Odd ""Schema"""."dot.ted" ("Sp ace" int PRIMARY KEY, "é" text, "select" bytea);
CREATE TABLE public.parts (id int, d date, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE TABLE public.serials (id serial PRIMARY KEY, label text UNIQUE);
CREATE UNLOGGED TABLE public.scratch (id int);
CREATE VIEW public.happy AS SELECT p.id, count(a.id) AS answers FROM public.profiles p LEFT JOIN public.answers a ON a.profile_id = p.id GROUP BY p.id;
CREATE MATERIALIZED VIEW public.counts AS SELECT count(*) AS n FROM public.answers;
INSERT INTO public.profiles SELECT i, 'Perfil ' || i, 'triste' FROM generate_series(1, 50) i;
INSERT INTO public.answers (profile_id, body, n) SELECT 1 + i % 50, 'Resposta número ' || i || repeat(' é', i % 20), i / 7.0 FROM generate_series(1, 2000) i;
INSERT INTO public.answers (profile_id, body) VALUES (1, E'tab\tlinha\nbarra\\ \\.');
INSERT INTO public.none DEFAULT VALUES;
INSERT INTO public.none DEFAULT VALUES;
INSERT INTO "Odd ""Schema"""."dot.ted" VALUES (1, 'ção', '\x00ff'), (2, NULL, NULL);
INSERT INTO public.parts SELECT i, date '2026-01-01' + i FROM generate_series(0, 300) i;
INSERT INTO public.serials (label) SELECT 'rótulo ' || i FROM generate_series(1, 10) i;
REFRESH MATERIALIZED VIEW public.counts;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON public.answers FOR EACH ROW EXECUTE FUNCTION public.log_change();
ALTER TABLE public.answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.answers FOR SELECT TO ROLE_APP USING (profile_id > 0);
CREATE POLICY "all of it" ON public.profiles TO ROLE_APP USING (true) WITH CHECK (id > 0);
GRANT SELECT, INSERT ON public.answers TO ROLE_APP;
GRANT SELECT (name) ON public.profiles TO ROLE_APP;
GRANT USAGE ON SCHEMA app TO ROLE_APP;
ALTER TABLE public.serials OWNER TO ROLE_APP;
COMMENT ON TABLE public.answers IS 'respostas';
SELECT lo_from_bytea(0, 'um objeto grande'), lo_from_bytea(0, convert_to(repeat('x', 3000000), 'UTF8'));
`

func script(role string) string { return strings.ReplaceAll(installation, "ROLE_APP", `"`+role+`"`) }

// captured is a database component in a repository in memory.
type captured struct {
	repo *repositorytest.Memory
	cofre.Component
	tree cofre.Tree
}

func captureOf(t testing.TB, s *testkit.Server, database string, o dump.Options) captured {
	t.Helper()
	return captureFrom(t, postgres.Config{URL: s.URL(database)}, o)
}

func captureFrom(t testing.TB, server postgres.Config, o dump.Options) captured {
	t.Helper()
	database := server.DatabaseName()
	ctx := t.Context()
	repo := repositorytest.NewMemory()
	id := cofre.SourceID{Installation: "test", Kind: cofre.KindDatabase, Name: database}
	session, err := repo.Begin(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(ctx)
	c := cofre.Component{Kind: cofre.KindDatabase, Name: database, StartedAt: time.Now()}
	got, err := dump.NewSource(id, server, o).Capture(ctx, &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if c.Content, err = session.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	c.Facts, c.EndedAt = got.Facts, time.Now()
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		t.Fatal(err)
	}
	return captured{repo, c, tree}
}

// original makes the installation with a role of its own and returns what is needed to restore it.
func original(t testing.TB, s *testkit.Server) (database, role string) {
	t.Helper()
	database = s.Database(t)
	role = "App of " + database
	s.Exec(t, "postgres", `CREATE ROLE "`+role+`"`)
	t.Cleanup(func() {
		s.Exec(t, "postgres", `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`)
		s.Exec(t, "postgres", `DROP ROLE IF EXISTS "`+role+`"`)
	})
	s.Exec(t, database, script(role))
	s.Exec(t, "postgres", fmt.Sprintf(`ALTER DATABASE %[1]s SET search_path = public, "a, b"; ALTER ROLE "%[2]s" IN DATABASE %[1]s SET work_mem = '8MB';
COMMENT ON DATABASE %[1]s IS 'it''s'; ALTER DATABASE %[1]s CONNECTION LIMIT 77; GRANT CREATE ON DATABASE %[1]s TO "%[2]s"`, database, role))
	return database, role
}

func options(s *testkit.Server, name string) restoring.RestoreOptions {
	return restoring.RestoreOptions{Server: postgres.Config{URL: s.URL("postgres")}, Name: name, Jobs: 2}
}

// restore carries out all of a restore, and discards what an error leaves.
func restore(t testing.TB, c captured, o restoring.RestoreOptions) (*cofre.Plan, *cofre.Proof, *cofre.Outcome, error) {
	t.Helper()
	ctx := t.Context()
	target := restoring.NewTarget(o)
	plan, err := target.Plan(ctx, c.Component, c.tree)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(plan.Problems) > 0 {
		return plan, nil, nil, fmt.Errorf("%w: %v", cofre.ErrPreflight, plan.Problems)
	}
	discard := func(err error) error { return errors.Join(err, target.Discard(ctx)) }
	if err := target.Stage(ctx, cofre.Discard); err != nil {
		return plan, nil, nil, discard(err)
	}
	proof, err := target.Check(ctx, cofre.Discard)
	if err != nil {
		return plan, nil, nil, discard(err)
	}
	if !proof.Holds() {
		return plan, proof, nil, discard(fmt.Errorf("%w: %v", cofre.ErrUnproven, proof.Checks))
	}
	outcome, err := target.Publish(ctx)
	if err != nil {
		return plan, proof, nil, discard(err)
	}
	return plan, proof, outcome, nil
}

func mustRestore(t testing.TB, s *testkit.Server, c captured, o restoring.RestoreOptions) (*cofre.Plan, *cofre.Proof, *cofre.Outcome) {
	t.Helper()
	plan, proof, outcome, err := restore(t, c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range append(outcome.Kept, outcome.Restored) {
			s.Exec(t, "postgres", `DROP DATABASE IF EXISTS "`+name+`" WITH (FORCE)`)
		}
	})
	return plan, proof, outcome
}

func TestRestoreIsTheSameDatabase(t *testing.T) {
	t.Parallel()
	eachTested(t, func(t *testing.T, s *testkit.Server) {
		database, _ := original(t, s)
		want := s.Dump(t, database)
		c := captureOf(t, s, database, dump.Options{})
		o := options(s, database+" é")
		o.Check = restoring.CheckChecksum
		_, proof, outcome := mustRestore(t, s, c, o)
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Errorf("the restored database is another one:\n%s", lineDiff(want, got))
		}
		for _, q := range []string{
			`SELECT lomowner = 10, count(*) FROM pg_largeobject_metadata GROUP BY 1`, `SELECT md5(string_agg(lo_get(oid), '' ORDER BY oid)) FROM pg_largeobject_metadata`,
			`SELECT last_value, is_called FROM public.answers_id_seq`, `SELECT count(*) FROM pg_policy`, `SELECT n FROM public.counts`,
			`SELECT datconnlimit, datacl, shobj_description(oid, 'pg_database'), datcollate, encoding FROM pg_database WHERE datname = current_database()`,
			`SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1`,
			`SHOW search_path`,
		} {
			if want, got := s.Query(t, database, q), s.Query(t, outcome.Restored, q); got != want {
				t.Errorf("%s: %s, not %s", q, got, want)
			}
		}
		if got := s.Query(t, outcome.Restored, `SELECT bool_and(reltuples > 0) FROM pg_class WHERE relname IN ('answers', 'profiles', 'parts_1')`); got != "t" {
			t.Error("tables are not analyzed")
		}
		if len(proof.Checks) < 10 {
			t.Errorf("only %d comparisons: %v", len(proof.Checks), proof.Checks)
		}
		testkit.Healthy(t, s, database, outcome.Restored)
	})
}

// eachTested runs fn on the version that installations have and on the newest that is here.
func eachTested(t *testing.T, fn func(*testing.T, *testkit.Server)) {
	majors := testkit.Majors()
	tested := []int{testkit.DefaultMajor}
	if newest := majors[max(0, len(majors)-1)]; newest != testkit.DefaultMajor {
		tested = append(tested, newest)
	}
	for _, major := range tested {
		t.Run(fmt.Sprint(major), func(t *testing.T) { fn(t, testkit.Postgres(t, major)) })
	}
}

func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	count := map[string]int{}
	for _, l := range w {
		count[l]++
	}
	for _, l := range g {
		count[l]--
	}
	for l, n := range count {
		if n != 0 {
			fmt.Fprintf(&b, "%+d %.200s\n", -n, l)
		}
	}
	return b.String()
}

func TestMissingRoleIsSaidBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := original(t, s)
	s.Exec(t, "postgres", `ALTER ROLE "`+role+`" CREATEDB CONNECTION LIMIT 3; CREATE ROLE "group of `+role+`"; GRANT "group of `+role+`" TO "`+role+`"`)
	c := captureOf(t, s, database, dump.Options{})
	policies := s.Query(t, database, `SELECT count(*) FROM pg_policy`)
	s.Exec(t, database, `DROP OWNED BY "`+role+`"`)
	s.Exec(t, "postgres", `DROP DATABASE `+database+`; `)
	s.Exec(t, "postgres", `DROP ROLE "`+role+`"; `)
	s.Exec(t, "postgres", `DROP ROLE "group of `+role+`"`)
	s.Exec(t, "postgres", `CREATE DATABASE `+database)

	o := options(s, database+"_back")
	plan, _, _, err := restore(t, c, o)
	if !errors.Is(err, cofre.ErrPreflight) || len(plan.Problems) != 1 {
		t.Fatalf("%v, %+v", err, plan)
	}
	if p := plan.Problems[0]; !strings.Contains(p.What, role) || !strings.Contains(p.Hint, "--roles") {
		t.Errorf("%+v", p)
	}
	if n := s.Query(t, "postgres", `SELECT count(*) FROM pg_database WHERE datname LIKE '`+database+`%'`); n != "1" {
		t.Errorf("%s databases", n)
	}

	o.Roles = true
	_, _, outcome := mustRestore(t, s, c, o)
	t.Cleanup(func() { s.Exec(t, "postgres", `DROP ROLE "group of `+role+`"`) })
	if got := s.Query(t, "postgres", `SELECT rolcreatedb, rolconnlimit, pg_has_role(rolname, 'group of `+role+`', 'MEMBER') FROM pg_roles WHERE rolname = '`+role+`'`); got != "t|3|t" {
		t.Errorf("the role is %s", got)
	}
	if got := s.Query(t, outcome.Restored, `SELECT count(*) FROM pg_policy`); got != policies {
		t.Errorf("%s policies, not %s", got, policies)
	}
	s.Exec(t, outcome.Restored, `DROP OWNED BY "`+role+`"`)
	s.Exec(t, "postgres", `DROP DATABASE "`+outcome.Restored+`" WITH (FORCE)`)
}

func TestReplaceKeepsTheOldOneUnderOpenSessions(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	c := captureOf(t, s, database, dump.Options{})
	s.Exec(t, database, `DELETE FROM public.answers; INSERT INTO public.empty VALUES (42)`)
	o := options(s, database)
	if plan, _, _, err := restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(plan.Problems[0].Hint, "--replace") {
		t.Fatalf("%v", err)
	}
	// An application that opens a session as soon as it loses one.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			conn, err := postgres.Connect(ctx, postgres.Config{URL: s.URL(database)})
			if err != nil {
				continue
			}
			_, _ = conn.Exec(ctx, "SELECT pg_sleep(60)")
			_ = conn.Close(context.Background())
		}
	}()
	defer func() { stop(); <-ended }()
	o.Replace = true
	_, _, outcome := mustRestore(t, s, c, o)
	if got := s.Query(t, outcome.Restored, `SELECT count(*) FROM public.answers`); got != "2001" {
		t.Errorf("%s answers", got)
	}
	if len(outcome.Kept) != 1 || len(outcome.Next) == 0 || !strings.Contains(outcome.Next[0], outcome.Kept[0]) {
		t.Fatalf("%+v", outcome)
	}
	if got := s.Query(t, outcome.Kept[0], `SELECT id FROM public.empty`); got != "42" {
		t.Errorf("the old database holds %s", got)
	}
	stop()
	<-ended
	s.Exec(t, "postgres", `DROP DATABASE "`+outcome.Kept[0]+`" WITH (FORCE)`)
}

// flipped is a tree in which one file comes with one byte changed.
type flipped struct {
	cofre.Tree
	path string
}

func (f flipped) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	r, err := f.Tree.Open(ctx, path)
	if err != nil || path != f.path {
		return r, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	// A letter becomes another one: COPY takes it, and no count tells.
	i := bytes.Index(b, []byte("Resposta"))
	b[i] = 'P'
	return nopCloser{bytes.NewReader(b)}, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func answersFile(t testing.TB, c captured) string {
	t.Helper()
	f, err := logical.ReadFacts(t.Context(), c.tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, tab := range f.Tables {
		if tab.Name == "answers" {
			return logical.ArchiveDir + "/" + tab.File
		}
	}
	t.Fatal("no table answers")
	return ""
}

func TestCorruptRowsAreNeverPublished(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	c := captureOf(t, s, database, dump.Options{})
	file := answersFile(t, c)

	bad := c
	bad.tree = flipped{c.tree, file}
	o := options(s, database)
	o.Replace = true
	_, proof, _, err := restore(t, bad, o)
	if !errors.Is(err, cofre.ErrUnproven) || len(whats(proof)) == 0 || !strings.Contains(err.Error(), `rows of "public"."answers"`) {
		t.Errorf("a changed letter: %v", err)
	}

	broken := c
	repo := repositorytest.Faulty(t, c.repo, repositorytest.Fault{Op: repositorytest.OpRead, Path: file, Repeat: -1, Err: fmt.Errorf("block: %w", cofre.ErrCorrupt)})
	if broken.tree, err = repo.Tree(t.Context(), c.Root); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = restore(t, broken, o); !errors.Is(err, cofre.ErrUnproven) || !strings.Contains(err.Error(), `rows of "public"."answers"`) {
		t.Errorf("a read that fails: %v", err)
	}
	if n := s.Query(t, "postgres", `SELECT count(*) FROM pg_database WHERE datname LIKE '`+database+`%'`); n != "1" {
		t.Errorf("%s databases", n)
	}
	testkit.Healthy(t, s, database)
}

func TestInterruptedRestoreLeavesTheOldDatabase(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	c := captureOf(t, s, database, dump.Options{})
	o := options(s, database)
	o.Replace = true
	for _, task := range []string{"restore pre-data", "load rows", "restore post-data", "analyze"} {
		ctx, stop := context.WithCancel(t.Context())
		target := restoring.NewTarget(o)
		plan, err := target.Plan(ctx, c.Component, c.tree)
		if err != nil || len(plan.Problems) > 0 {
			t.Fatal(err, plan)
		}
		err = target.Stage(ctx, cofre.ObserverFunc(func(e cofre.Event) {
			if e.Type == cofre.TypeTaskBegan && e.Task == task {
				stop()
			}
		}))
		stop()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", task, err)
		}
		left := s.Query(t, "postgres", `SELECT datname FROM pg_database WHERE datname LIKE '`+database+`_restore_%'`)
		if left == "" || !strings.Contains(strings.Join(plan.Notes, "\n"), left) {
			t.Errorf("%s: the plan did not name what is left: %s", task, left)
		}
		if err := target.Discard(ctx); err != nil {
			t.Error(err)
		}
	}
	if n := s.Query(t, database, `SELECT count(*) FROM public.answers`); n != "2001" {
		t.Errorf("%s answers in the old database", n)
	}
	testkit.Healthy(t, s, database)
}

// TestInterruptedWhileTheDatabaseIsMade interrupts while the server is at CREATE DATABASE, which goes on where the
// connection is merely closed: it would come into being after Discard has looked for it.
func TestInterruptedWhileTheDatabaseIsMade(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database := s.Database(t)
	s.Exec(t, database, "CREATE TABLE one AS SELECT 1 i")
	c := captureOf(t, s, database, dump.Options{})
	for range 4 {
		ctx, stop := context.WithCancel(t.Context())
		target := restoring.NewTarget(options(s, database+"_made"))
		if _, err := target.Plan(ctx, c.Component, c.tree); err != nil {
			t.Fatal(err)
		}
		watch, seen := s.Conn(t, "postgres"), make(chan error, 1)
		go func() {
			defer stop()
			for {
				var making bool
				err := watch.QueryRow(ctx, `SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE DATABASE "`+database+`%' OR query LIKE 'CREATE DATABASE `+database+`%'`).Scan(&making)
				if err != nil || making {
					seen <- err
					return
				}
			}
		}()
		err := target.Stage(ctx, cofre.Discard)
		if watched := <-seen; watched != nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("%v; watching: %v", err, watched)
		}
		if err := target.Discard(ctx); err != nil {
			t.Error(err)
		}
		if left := s.Query(t, "postgres", `SELECT count(*) FROM pg_database WHERE datname LIKE '`+database+`_made%'`) + s.Query(t, "postgres", `SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'CREATE DATABASE%`+database+`_made%'`); left != "00" {
			t.Errorf("left: %s", left)
		}
	}
}

// TestRestoreOfForcedRowSecurity: pg_restore by itself refuses to refresh such a view, because it switches row
// security off, and the owner of the view is subject to it.
func TestRestoreOfForcedRowSecurity(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := original(t, s)
	s.Exec(t, database, strings.ReplaceAll(`ALTER TABLE public.answers FORCE ROW LEVEL SECURITY; ALTER TABLE public.answers OWNER TO ROLE_APP;
		ALTER MATERIALIZED VIEW public.counts OWNER TO ROLE_APP; REFRESH MATERIALIZED VIEW public.counts`, "ROLE_APP", `"`+role+`"`))
	_, _, outcome := mustRestore(t, s, captureOf(t, s, database, dump.Options{}), options(s, database+"_forced"))
	for _, q := range []string{`SELECT n FROM public.counts`, `SELECT relforcerowsecurity FROM pg_class WHERE relname = 'answers'`} {
		if want, got := s.Query(t, database, q), s.Query(t, outcome.Restored, q); got != want {
			t.Errorf("%s: %s, not %s", q, got, want)
		}
	}
}

func TestRestoreOfParts(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := original(t, s)
	c := captureOf(t, s, database, dump.Options{})

	t.Run("schema only, then data only", func(t *testing.T) {
		o := options(s, database+"_parts")
		o.SchemaOnly = true
		mustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT (SELECT count(*) FROM public.answers), (SELECT count(*) FROM pg_policy)`); got != "0|2" {
			t.Error(got)
		}
		o.SchemaOnly, o.DataOnly = false, true
		if plan, _, _, err := restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) {
			t.Errorf("%v %v", plan, err)
		}
		o.Replace = true
		mustRestore(t, s, c, o)
		// No trigger fired, though triggers and foreign keys were there.
		if got := s.Query(t, o.Name, `SELECT (SELECT count(*) FROM public.answers), (SELECT count(*) FROM public.change_logs)`); got != "2001|0" {
			t.Error(got)
		}
		if plan, _, _, err := restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(fmt.Sprint(plan.Problems), "have rows already") {
			t.Errorf("%v %v", plan, err)
		}
	})
	t.Run("no owner and no privileges", func(t *testing.T) {
		o := options(s, database+"_mine")
		o.NoOwner, o.NoPrivileges = true, true
		mustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT tableowner FROM pg_tables WHERE tablename = 'serials'`); got != "postgres" {
			t.Error(got)
		}
	})
	t.Run("exclude a table", func(t *testing.T) {
		o := options(s, database+"_less")
		o.ExcludeTables = []string{"answers"}
		plan, _, _ := mustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('answers', 'happy', 'counts', 'profiles', 'answers_id_seq')`); got != "profiles" {
			t.Error(got)
		}
		if !strings.Contains(strings.Join(plan.Notes, "\n"), "view public.happy") {
			t.Errorf("%q", plan.Notes)
		}
	})
	t.Run("one schema", func(t *testing.T) {
		o := options(s, database+"_odd")
		o.Schemas = []string{`Odd "Schema"`}
		mustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT string_agg(nspname || '.' || relname, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^(pg_|inf)'`); got != `Odd "Schema".dot.ted` {
			t.Error(got)
		}
	})
}

// TestRestoreOfEveryKind restores a database with one of each kind of object, and its tables one by one.
func TestRestoreOfEveryKind(t *testing.T) {
	t.Parallel()
	eachTested(t, func(t *testing.T, s *testkit.Server) {
		database := s.Database(t)
		fill(t, s, database)
		want := s.Dump(t, database)
		c := captureOf(t, s, database, dump.Options{})
		o := options(s, database+"_again")
		o.Check = restoring.CheckChecksum
		_, _, outcome := mustRestore(t, s, c, o)
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Error(lineDiff(want, got))
		}
		facts, err := logical.ReadFacts(t.Context(), c.tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts.Tables {
			name := pgx.Identifier{f.Schema, f.Name}.Sanitize()
			out, err := restoreTable(t.Context(), c.tree, rescue.TableOptions{Server: s.Config(outcome.Restored), Table: name, ToSchema: "rescue"})
			if err != nil || out.Rows != f.Rows || out.Checksum != f.Checksum {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
		}
		if got := s.Query(t, outcome.Restored, `SELECT count(*) FROM app.parent`); got != "2" {
			t.Errorf("rescued rows show in the live parent: %s", got)
		}
		s.Drop(t, outcome.Restored)
		testkit.Healthy(t, s, database, outcome.Restored)
	})
}

// TestRestoreOfAnotherEncoding has names of every kind of object that are no UTF-8 in the archive.
func TestRestoreOfAnotherEncoding(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		database := "restore_" + strings.ToLower(encoding)
		s.Exec(t, "postgres", "CREATE DATABASE "+database+" TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
		t.Cleanup(func() { s.Drop(t, database) })
		client := "UTF8"
		if encoding == "SQL_ASCII" {
			client = encoding
		}
		s.Exec(t, database, "SET client_encoding = '"+client+"';"+`
CREATE TABLE "Ação" ("é" serial PRIMARY KEY, t text); INSERT INTO "Ação" (t) VALUES ('ção'), ('ü'); COMMENT ON TABLE "Ação" IS 'maçã';
CREATE FUNCTION "fé"() RETURNS text LANGUAGE sql AS $$SELECT 'maçã'::text$$; CREATE TYPE "espécie" AS ENUM ('é');
ALTER TABLE "Ação" ENABLE ROW LEVEL SECURITY; CREATE POLICY "política" ON "Ação" USING (t <> 'ã'); CREATE SCHEMA "esquemã"; CREATE VIEW "esquemã"."visão" AS SELECT 1 AS "ó"`)
		o := options(s, database+"_again")
		o.Check = restoring.CheckChecksum
		_, _, outcome := mustRestore(t, s, captureOf(t, s, database, dump.Options{}), o)
		if want, got := s.Dump(t, database), s.Dump(t, outcome.Restored); got != want {
			t.Errorf("%s: %s", encoding, lineDiff(want, got))
		}
	}
}

// A role that may make databases and nothing more restores what it may own.
func TestRestoreWithoutSuperuser(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := original(t, s)
	c := captureOf(t, s, database, dump.Options{})
	s.Exec(t, "postgres", `ALTER ROLE "`+role+`" LOGIN CREATEDB`)
	o := options(s, database+"_own")
	o.Server = o.Server.With("a_database_that_is_gone")
	o.Server.User = role
	plan, _, _, err := restore(t, c, o)
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(fmt.Sprint(plan.Problems), "not a member of postgres") {
		t.Errorf("%v %+v", err, plan)
	}
	o.NoOwner, o.NoPrivileges = true, true
	_, _, outcome := mustRestore(t, s, c, o)
	if got := s.Query(t, outcome.Restored, `SELECT count(*), (SELECT count(*) FROM pg_policy) FROM public.answers`); got != "2001|2" {
		t.Error(got)
	}
	s.Drop(t, outcome.Restored)
}
