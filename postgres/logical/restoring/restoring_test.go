package restoring_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

func TestRestoreIsTheSameDatabase(t *testing.T) {
	t.Parallel()
	eachTested(t, func(t *testing.T, s *testkit.Server) {
		database, _ := logicaltest.Original(t, s)
		want := s.Dump(t, database)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		o := logicaltest.Options(s, database+" é")
		o.Check = restoring.CheckChecksum
		_, proof, outcome := logicaltest.MustRestore(t, s, c, o)
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Errorf("the restored database is another one:\n%s", logicaltest.LineDiff(want, got))
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

func TestMissingRoleIsSaidBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := logicaltest.Original(t, s)
	s.Exec(t, "postgres", `ALTER ROLE "`+role+`" CREATEDB CONNECTION LIMIT 3; CREATE ROLE "group of `+role+`"; GRANT "group of `+role+`" TO "`+role+`"`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	policies := s.Query(t, database, `SELECT count(*) FROM pg_policy`)
	s.Exec(t, database, `DROP OWNED BY "`+role+`"`)
	s.Exec(t, "postgres", `DROP DATABASE `+database+`; `)
	s.Exec(t, "postgres", `DROP ROLE "`+role+`"; `)
	s.Exec(t, "postgres", `DROP ROLE "group of `+role+`"`)
	s.Exec(t, "postgres", `CREATE DATABASE `+database)

	o := logicaltest.Options(s, database+"_back")
	plan, _, _, err := logicaltest.Restore(t, c, o)
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
	_, _, outcome := logicaltest.MustRestore(t, s, c, o)
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
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, database, `DELETE FROM public.answers; INSERT INTO public.empty VALUES (42)`)
	o := logicaltest.Options(s, database)
	if plan, _, _, err := logicaltest.Restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(plan.Problems[0].Hint, "--replace") {
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
	_, _, outcome := logicaltest.MustRestore(t, s, c, o)
	if got := s.Query(t, outcome.Restored, `SELECT count(*) FROM public.answers`); got != "2001" {
		t.Errorf("%s answers", got)
	}
	if len(outcome.Kept) != 1 || len(outcome.Next) == 0 || outcome.Next[0].Do != cofre.DoDropKept || !strings.Contains(outcome.Next[0].Command, outcome.Kept[0].Where) {
		t.Fatalf("%+v", outcome)
	}
	if got := s.Query(t, outcome.Kept[0].Where, `SELECT id FROM public.empty`); got != "42" {
		t.Errorf("the old database holds %s", got)
	}
	stop()
	<-ended
	s.Exec(t, "postgres", `DROP DATABASE "`+outcome.Kept[0].Where+`" WITH (FORCE)`)
}

func TestCorruptRowsAreNeverPublished(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	file := logicaltest.AnswersFile(t, c)

	bad := c
	bad.Tree = logicaltest.Flipped{Tree: c.Tree, Path: file}
	o := logicaltest.Options(s, database)
	o.Replace = true
	_, proof, _, err := logicaltest.Restore(t, bad, o)
	if !errors.Is(err, cofre.ErrUnproven) || len(whats(proof)) == 0 || !strings.Contains(err.Error(), `rows of "public"."answers"`) {
		t.Errorf("a changed letter: %v", err)
	}

	broken := c
	repo := repositorytest.Faulty(t, c.Repo, repositorytest.Fault{Op: repositorytest.OpRead, Path: file, Repeat: -1, Err: fmt.Errorf("block: %w", cofre.ErrCorrupt)})
	if broken.Tree, err = repo.Tree(t.Context(), c.Root); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = logicaltest.Restore(t, broken, o); !errors.Is(err, cofre.ErrUnproven) || !strings.Contains(err.Error(), `rows of "public"."answers"`) {
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
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	o := logicaltest.Options(s, database)
	o.Replace = true
	for _, task := range []string{"restore pre-data", "load rows", "restore post-data", "analyze"} {
		ctx, stop := context.WithCancel(t.Context())
		target := restoring.NewTarget(o)
		plan, err := target.Plan(ctx, c.Component, c.Tree)
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
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	for range 4 {
		ctx, stop := context.WithCancel(t.Context())
		target := restoring.NewTarget(logicaltest.Options(s, database+"_made"))
		if _, err := target.Plan(ctx, c.Component, c.Tree); err != nil {
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
	database, role := logicaltest.Original(t, s)
	s.Exec(t, database, strings.ReplaceAll(`ALTER TABLE public.answers FORCE ROW LEVEL SECURITY; ALTER TABLE public.answers OWNER TO ROLE_APP;
		ALTER MATERIALIZED VIEW public.counts OWNER TO ROLE_APP; REFRESH MATERIALIZED VIEW public.counts`, "ROLE_APP", `"`+role+`"`))
	_, _, outcome := logicaltest.MustRestore(t, s, logicaltest.CaptureOf(t, s, database, dump.Options{}), logicaltest.Options(s, database+"_forced"))
	for _, q := range []string{`SELECT n FROM public.counts`, `SELECT relforcerowsecurity FROM pg_class WHERE relname = 'answers'`} {
		if want, got := s.Query(t, database, q), s.Query(t, outcome.Restored, q); got != want {
			t.Errorf("%s: %s, not %s", q, got, want)
		}
	}
}

func TestRestoreOfParts(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})

	t.Run("schema only, then data only", func(t *testing.T) {
		o := logicaltest.Options(s, database+"_parts")
		o.SchemaOnly = true
		logicaltest.MustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT (SELECT count(*) FROM public.answers), (SELECT count(*) FROM pg_policy)`); got != "0|2" {
			t.Error(got)
		}
		o.SchemaOnly, o.DataOnly = false, true
		if plan, _, _, err := logicaltest.Restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) {
			t.Errorf("%v %v", plan, err)
		}
		o.Replace = true
		logicaltest.MustRestore(t, s, c, o)
		// No trigger fired, though triggers and foreign keys were there.
		if got := s.Query(t, o.Name, `SELECT (SELECT count(*) FROM public.answers), (SELECT count(*) FROM public.change_logs)`); got != "2001|0" {
			t.Error(got)
		}
		if plan, _, _, err := logicaltest.Restore(t, c, o); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(fmt.Sprint(plan.Problems), "have rows already") {
			t.Errorf("%v %v", plan, err)
		}
	})
	t.Run("no owner and no privileges", func(t *testing.T) {
		o := logicaltest.Options(s, database+"_mine")
		o.NoOwner, o.NoPrivileges = true, true
		logicaltest.MustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT tableowner FROM pg_tables WHERE tablename = 'serials'`); got != "postgres" {
			t.Error(got)
		}
	})
	t.Run("exclude a table", func(t *testing.T) {
		o := logicaltest.Options(s, database+"_less")
		o.ExcludeTables = []string{"answers"}
		plan, _, _ := logicaltest.MustRestore(t, s, c, o)
		if got := s.Query(t, o.Name, `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname IN ('answers', 'happy', 'counts', 'profiles', 'answers_id_seq')`); got != "profiles" {
			t.Error(got)
		}
		if !strings.Contains(strings.Join(plan.Notes, "\n"), "view public.happy") {
			t.Errorf("%q", plan.Notes)
		}
	})
	t.Run("one schema", func(t *testing.T) {
		o := logicaltest.Options(s, database+"_odd")
		o.Schemas = []string{`Odd "Schema"`}
		logicaltest.MustRestore(t, s, c, o)
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
		logicaltest.Fill(t, s, database)
		want := s.Dump(t, database)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		o := logicaltest.Options(s, database+"_again")
		o.Check = restoring.CheckChecksum
		_, _, outcome := logicaltest.MustRestore(t, s, c, o)
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Error(logicaltest.LineDiff(want, got))
		}
		facts, err := logical.ReadFacts(t.Context(), c.Tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts.Tables {
			name := pgx.Identifier{f.Schema, f.Name}.Sanitize()
			out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(outcome.Restored), Table: name, ToSchema: "rescue"})
			if err != nil || out.Rows != f.Rows || out.Checksum != f.RowSum.String() {
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
		o := logicaltest.Options(s, database+"_again")
		o.Check = restoring.CheckChecksum
		_, _, outcome := logicaltest.MustRestore(t, s, logicaltest.CaptureOf(t, s, database, dump.Options{}), o)
		if want, got := s.Dump(t, database), s.Dump(t, outcome.Restored); got != want {
			t.Errorf("%s: %s", encoding, logicaltest.LineDiff(want, got))
		}
	}
}

// A role that may make databases and nothing more restores what it may own.
func TestRestoreWithoutSuperuser(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, "postgres", `ALTER ROLE "`+role+`" LOGIN CREATEDB`)
	o := logicaltest.Options(s, database+"_own")
	o.Server = o.Server.With("a_database_that_is_gone")
	o.Server.User = role
	plan, _, _, err := logicaltest.Restore(t, c, o)
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(fmt.Sprint(plan.Problems), "not a member of postgres") {
		t.Errorf("%v %+v", err, plan)
	}
	o.NoOwner, o.NoPrivileges = true, true
	_, _, outcome := logicaltest.MustRestore(t, s, c, o)
	if got := s.Query(t, outcome.Restored, `SELECT count(*), (SELECT count(*) FROM pg_policy) FROM public.answers`); got != "2001|2" {
		t.Error(got)
	}
	s.Drop(t, outcome.Restored)
}
