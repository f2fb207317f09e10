package dump_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

func asRole(s *testkit.Server, db, role string, o dump.Options) *dump.Source {
	c := s.Config(db)
	c.User = role
	return dump.NewSource(cofre.SourceID{Installation: "test", Kind: cofre.KindDatabase, Name: db}, c, o)
}

// TestLeastPrivilege captures everything as the role that PrintGrants makes and compares with what the
// superuser captures.
func TestLeastPrivilege(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		t.Cleanup(func() { s.Exec(t, "postgres", "DROP ROLE IF EXISTS cofre_backup, nobody") })
		db := s.Database(t)
		logicaltest.Fill(t, s, db)
		s.Exec(t, db, "DROP SUBSCRIPTION sub") // only a superuser dumps one; see below
		const role = "cofre_backup"
		s.Exec(t, db, "CREATE ROLE nobody LOGIN")
		err := logicaltest.Failing(t, asRole(s, db, "nobody", dump.Options{}))
		if !errors.Is(err, cofre.ErrDenied) || !strings.Contains(err.Error(), `"app"."answers"`) || !strings.Contains(cofre.Hint(err), "--print-grants") {
			t.Errorf("without grants: %v (hint %q)", err, cofre.Hint(err))
		}
		for range 2 { // it may run again
			s.Exec(t, db, logical.PrintGrants(major))
		}
		s.Exec(t, db, "ALTER ROLE cofre_backup NOBYPASSRLS")
		err = logicaltest.Failing(t, asRole(s, db, role, dump.Options{}))
		if !errors.Is(err, cofre.ErrDenied) || !strings.Contains(err.Error(), `hides rows from role cofre_backup in "app"."answers"`) {
			t.Errorf("without BYPASSRLS: %v", err)
		}
		checkDiagnosed(t, asRole(s, db, role, dump.Options{}), "row-level security")
		s.Exec(t, db, "ALTER ROLE cofre_backup BYPASSRLS")
		checkDiagnosed(t, asRole(s, db, role, dump.Options{}))

		_, want, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
		tree, got, captured := logicaltest.Capture(t, asRole(s, db, role, dump.Options{RolePasswords: major < 14}), 2)
		if diff := cmp.Diff(want.Tables, got.Tables); diff != "" {
			t.Errorf("tables: %s", diff)
		}
		if want.LargeObjects != got.LargeObjects || want.SystemID != got.SystemID {
			t.Errorf("large objects %+v, %+v; systems %s, %s", want.LargeObjects, got.LargeObjects, want.SystemID, got.SystemID)
		}
		if diff := cmp.Diff(want.Sequences, got.Sequences); diff != "" {
			t.Errorf("sequences: %s", diff)
		}
		if major < 14 && (len(captured.Warnings) != 1 || !strings.Contains(captured.Warnings[0], "pg_authid")) {
			t.Errorf("warnings %q", captured.Warnings)
		}
		if globals := logicaltest.Read(t, tree, logical.GlobalsFile); !strings.Contains(globals, fmt.Sprintf("CREATE ROLE r_%s_owner", db)) {
			t.Errorf("globals:\n%s", globals)
		}
		testkit.Healthy(t, s, db)
		s.Drop(t, db)
	})
}

// checkDiagnosed expects exactly the named subjects not to be well.
func checkDiagnosed(t *testing.T, src *dump.Source, ill ...string) {
	t.Helper()
	found, err := src.Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		if !d.OK {
			got = append(got, d.Subject)
			if d.Hint == "" {
				t.Errorf("%s: %s, and no hint", d.Subject, d.Detail)
			}
		}
	}
	if diff := cmp.Diff(ill, got); diff != "" {
		t.Errorf("diagnosed: %s\n%+v", diff, found)
	}
}

func TestDoctorOfAnUnreachableServer(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	found, err := asRole(s, "there_is_none", "postgres", dump.Options{}).Doctor(t.Context())
	if err != nil || len(found) != 1 || found[0].OK || found[0].Hint == "" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestRolePasswords(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE ROLE with_password LOGIN PASSWORD 'segredo'")
	t.Cleanup(func() { s.Exec(t, "postgres", "DROP ROLE with_password") })
	without, _, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 1)
	with, _, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{RolePasswords: true}), 1)
	if strings.Contains(logicaltest.Read(t, without, logical.GlobalsFile), "SCRAM-SHA-256") {
		t.Error("passwords are in the globals without having been asked for")
	}
	if !strings.Contains(logicaltest.Read(t, with, logical.GlobalsFile), "SCRAM-SHA-256") {
		t.Error("passwords are not in the globals")
	}
}

// TestOtherEncoding has names and rows that are no UTF-8 in the archive, and are in the facts.
func TestOtherEncoding(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	const db = "latin1_test"
	s.Exec(t, "postgres", "CREATE DATABASE "+db+" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { s.Drop(t, db) })
	conn := s.Conn(t, db)
	if _, err := conn.Exec(t.Context(), "SET client_encoding = 'UTF8'"); err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.PgConn().Exec(t.Context(), `CREATE SCHEMA "São"; CREATE TABLE "São"."Ação" ("é" serial PRIMARY KEY, t text); INSERT INTO "São"."Ação" (t) VALUES ('ção'), ('ü')`).ReadAll(); err != nil {
		t.Fatal(err)
	}
	tree, facts, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
	if len(facts.Tables) != 1 || facts.Tables[0].Name != "Ação" || facts.Tables[0].Columns[0] != "é" || facts.Sequences[0].Name != "Ação_é_seq" {
		t.Errorf("%+v %+v", facts.Tables, facts.Sequences)
	}
	if rows := logicaltest.Read(t, tree, logical.ArchiveDir+"/"+facts.Tables[0].File); rows != "1\t\xe7\xe3o\n2\t\xfc\n\\.\n\n\n" {
		t.Errorf("rows %q", rows)
	}

	// A person writes names in UTF-8, and finds them.
	server, table := postgres.Config{URL: s.URL(db)}, `"São"."Ação"`
	var csv strings.Builder
	if _, err := export.CSV(t.Context(), tree, export.CSVOptions{Table: table}, &csv, cofre.Discard); err != nil || csv.String() != "é,t\r\n1,ção\r\n2,ü\r\n" {
		t.Errorf("%q, %v", csv.String(), err)
	}
	for _, f := range []logical.Filter{{Schemas: []string{"São"}}, {ExcludeTables: []string{table}}} {
		if err := export.SQL(t.Context(), tree, f, io.Discard, cofre.Discard); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	want := s.Dump(t, db)
	plan, err := logicaltest.PlanTable(t.Context(), tree, rescue.TableOptions{Server: server, Table: table, ToSchema: `"é"`})
	if err != nil || len(plan.Problems) > 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	out, err := logicaltest.RestoreTable(t.Context(), tree, rescue.TableOptions{Server: server, Table: table, ToSchema: `"é"`})
	if err != nil || out.Table != `"é"."Ação"` || out.Rows != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	exec(`DROP SCHEMA "é" CASCADE; DELETE FROM "São"."Ação" WHERE "é" = 2`)
	m, err := logicaltest.CompareTable(t.Context(), tree, rescue.MergeOptions{Server: server, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := m.Apply(t.Context()); err != nil || out.Inserted != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Error(err)
	}
	exec(`DROP SCHEMA "` + m.Schema + `" CASCADE; DROP TABLE "São"."Ação"`)
	if _, err := logicaltest.RestoreTable(t.Context(), tree, rescue.TableOptions{Server: server, Table: table}); err != nil {
		t.Error(err)
	}
	if got := s.Dump(t, db); got != want {
		t.Error(logicaltest.LineDiff(want, got))
	}
	_, facts, _ = logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{ExcludeTableData: []string{table}}), 2)
	if len(facts.Tables) != 0 {
		t.Errorf("rows that are left out: %+v", facts.Tables)
	}
}

func TestExcludeTableData(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE kept AS SELECT 1 i; CREATE TABLE cache_a AS SELECT 1 i; CREATE TABLE cache_b AS SELECT 1 i")
	tree, facts, captured := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{ExcludeTableData: []string{"public.cache_*"}}), 2)
	if len(facts.Tables) != 1 || facts.Tables[0].Name != "kept" || len(captured.Warnings) != 1 {
		t.Errorf("%+v, warnings %q", facts.Tables, captured.Warnings)
	}
	if diff := cmp.Diff("3", s.Query(t, logicaltest.StockRestore(t, s, testkit.DefaultMajor, logicaltest.Materialise(t, tree)), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")); diff != "" {
		t.Error(diff)
	}
}

func TestManyTables(t *testing.T) {
	t.Parallel()
	const n = 1500
	s := testkit.Postgres(t, 0, testkit.Conf("max_locks_per_transaction = 32"))
	db := s.Database(t)
	for at := 0; at < n; at += 500 {
		s.Exec(t, db, fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP EXECUTE format('CREATE TABLE t%%s (i int, t text)', i); EXECUTE format('INSERT INTO t%%s VALUES (%%s, ''x'')', i, i); END LOOP; END $$`, at, min(at+500, n)-1))
	}
	_, facts, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 4)
	if len(facts.Tables) != n || facts.Rows != int64(n) {
		t.Errorf("%d tables, %d rows", len(facts.Tables), facts.Rows)
	}
	testkit.Healthy(t, s, db)
}

// TestNewerClient captures from the oldest server on the machine with the newest client programs, where those of
// its own major are missing, and restores into the newest server.
func TestNewerClient(t *testing.T) {
	majors := testkit.Majors()
	if len(majors) < 2 || majors[0] == testkit.DefaultMajor {
		t.Skip("there is one major on this machine, or none older than the default")
	}
	old, latest := majors[0], majors[len(majors)-1]
	s, target := testkit.Postgres(t, old), testkit.Postgres(t, latest)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT md5(i::text) FROM generate_series(1, 500) i;
		SELECT lo_from_bytea(0, decode(md5(i::text), 'hex')) FROM generate_series(1, 1500) i`)
	t.Setenv(fmt.Sprintf("COFRE_POSTGRES_%d", old), "/nowhere")
	tree, facts, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
	if !strings.HasPrefix(facts.ClientVersion, fmt.Sprint(latest, ".")) {
		t.Errorf("captured with pg_dump %s", facts.ClientVersion)
	}
	restored := logicaltest.StockRestore(t, target, latest, logicaltest.Materialise(t, tree))
	_, again, _ := logicaltest.Capture(t, logicaltest.Source(target, restored, dump.Options{}), 2)
	if facts.Tables[0].RowSum != again.Tables[0].RowSum || facts.Tables[0].Keyed == "" || facts.LargeObjects != again.LargeObjects || facts.LargeObjects.Count != 1500 {
		t.Errorf("captured %+v %+v, restored %+v %+v", facts.Tables, facts.LargeObjects, again.Tables, again.LargeObjects)
	}
	if diff := cmp.Diff(facts.Sequences, again.Sequences); diff != "" {
		t.Error(diff)
	}
}

// A role's name is in the encoding of the database in which it was made, and every database of the server sees it.
func TestRoleNamedInAnotherEncoding(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE DATABASE latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
		database := s.Database(t)
		s.Exec(t, database, `CREATE TABLE t (i int); INSERT INTO t VALUES (1); CREATE ROLE plain`)
		conn := s.Conn(t, "latin1")
		for _, sql := range []string{"SET client_encoding = 'UTF8'", `CREATE ROLE "ção"`, `ALTER ROLE "ção" SET work_mem = '8MB'`, `GRANT plain TO "ção"`} {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		tree, facts, captured := logicaltest.Capture(t, logicaltest.Source(s, database, dump.Options{}), 2)
		if len(facts.Tables) != 1 {
			t.Errorf("%+v", facts.Tables)
		}
		globals := logicaltest.Read(t, tree, logical.GlobalsFile)
		if !strings.Contains(globals, "CREATE ROLE plain") || !strings.Contains(globals, "ROLE \"\xe7\xe3o\"") {
			t.Errorf("globals %q, warnings %q", globals, captured.Warnings)
		}
		if len(captured.Warnings) != 1 || !strings.Contains(captured.Warnings[0], "latin1") {
			t.Errorf("warnings %q", captured.Warnings)
		}

		// Without such a database what can be captured is, and what is missing is said.
		_ = conn.Close(t.Context())
		s.Drop(t, "latin1")
		_, facts, captured = logicaltest.Capture(t, logicaltest.Source(s, database, dump.Options{}), 2)
		if len(facts.Tables) != 1 || !captured.Partial || len(captured.Warnings) != 1 || !strings.Contains(captured.Warnings[0], `\xe7\xe3o`) {
			t.Errorf("%+v", captured)
		}
	})
}

// The owner of a database who is no superuser, as on a managed server, captures the large objects that it may read, as pg_dump does:
// nobody there can grant the right on the catalog of their pages.
func TestLargeObjectsOfAnOwner(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role := db + "_owner"
		s.Exec(t, db, fmt.Sprintf(`CREATE ROLE %[1]s LOGIN; ALTER DATABASE "%[2]s" OWNER TO %[1]s; SET ROLE %[1]s;
SELECT lo_create(71), lo_from_bytea(72, '\x000102'), lo_from_bytea(73, pg_catalog.decode(repeat('5c0a00', 70000), 'hex')), lo_from_bytea(74, '\x01');
SELECT lo_put(74, 100000, '\xff'); RESET ROLE; SELECT lo_from_bytea(75, '\x07'); GRANT SELECT ON LARGE OBJECT 75 TO %[1]s`, role, db))
		t.Cleanup(func() { s.Drop(t, db); s.Exec(t, "postgres", "DROP ROLE "+role) })
		_, want, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
		_, got, _ := logicaltest.Capture(t, asRole(s, db, role, dump.Options{}), 2)
		if want.LargeObjects != got.LargeObjects || got.LargeObjects.Count != 5 {
			t.Errorf("as the owner %+v, as a superuser %+v", got.LargeObjects, want.LargeObjects)
		}
		checkDiagnosed(t, asRole(s, db, role, dump.Options{}))

		s.Exec(t, db, "REVOKE SELECT ON LARGE OBJECT 75 FROM "+role)
		if err := logicaltest.Failing(t, asRole(s, db, role, dump.Options{})); !errors.Is(err, cofre.ErrDenied) || !strings.Contains(err.Error(), "large object 75") {
			t.Errorf("of another's: %v", err)
		}
		checkDiagnosed(t, asRole(s, db, role, dump.Options{}), "large objects")
	})
}

// What doctor says is followed by a role that does not inherit.
func TestDoctorOfARoleThatDoesNotInherit(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if major < 14 {
			t.Skip("pg_read_all_data came with 14")
		}
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role := db + "_reader"
		s.Exec(t, db, "CREATE TABLE public.t (id serial); CREATE ROLE "+role+" LOGIN NOINHERIT")
		t.Cleanup(func() { s.Exec(t, "postgres", "DROP ROLE "+role) })
		source := asRole(s, db, role, dump.Options{})
		found, err := source.Doctor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range found {
			if !d.OK {
				s.Exec(t, db, d.Hint)
			}
		}
		checkDiagnosed(t, source)
	})
}
