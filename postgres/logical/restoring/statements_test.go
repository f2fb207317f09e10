package restoring_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// Whichever statement fails, and whichever operation of the repository: a restore is an error, or what is restored is the original; and an error
// leaves no database behind. Of statements that begin alike two fail, of operations of a kind three.
func TestEachStatementOfARestoreCounts(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE SCHEMA app; CREATE TABLE app.a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text);
INSERT INTO app.a (t) SELECT 'row ' || i FROM generate_series(1, 100) i; CREATE TABLE b (a int REFERENCES app.a); INSERT INTO b VALUES (1), (2);
CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM app.a; CREATE POLICY p ON app.a USING (true); COMMENT ON TABLE b IS 'of a'`)
	s.Exec(t, db, "SELECT lo_from_bytea(0, 'a large object')")
	s.Exec(t, db, fmt.Sprintf("ALTER DATABASE %s SET search_path = app, public; COMMENT ON DATABASE %[1]s IS 'commented'", db))
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	const properties = `SELECT concat_ws(' ', pg_catalog.shobj_description(oid, 'pg_database'), datconnlimit,
		(SELECT setconfig FROM pg_catalog.pg_db_role_setting WHERE setdatabase = d.oid)) FROM pg_catalog.pg_database d WHERE datname = current_database()`
	want, said := s.Dump(t, db), s.Query(t, db, properties)
	name := db + "_back"
	for what, through := range map[string]func(f *testkit.Faults) (string, logicaltest.Captured){
		"statement": func(f *testkit.Faults) (string, logicaltest.Captured) {
			return s.Statements(t, "postgres", func(sql string) error { return f.CheckSome(2, sql[:min(len(sql), 27)], sql) }), c
		},
		"operation": func(f *testkit.Faults) (string, logicaltest.Captured) {
			watched := repositorytest.Watched(c.Repo, func(op repositorytest.Operation, path string) error {
				return f.CheckSome(3, string(op), fmt.Sprint(op, " ", path))
			})
			tree, err := watched.Tree(context.WithoutCancel(t.Context()), c.Root)
			if err != nil { // the tree itself
				tree = c.Tree
			}
			return s.URL("postgres"), logicaltest.Captured{Repo: c.Repo, Component: c.Component, Tree: tree}
		},
	} {
		testkit.EachFails(t, func(f *testkit.Faults) {
			s.Drop(t, name)
			url, from := through(f)
			_, _, out, err := logicaltest.Restore(t, from, restoring.Options{Server: postgres.Config{URL: url}, Name: name, Jobs: 2})
			if err != nil {
				if f.Failed() == "" {
					t.Fatalf("without a fault: %v", err)
				}
				return
			}
			if len(out.Left) > 0 {
				return // it is named
			}
			if d := logicaltest.LineDiff(want, s.Dump(t, name)); d != "" {
				t.Errorf("%s %.300s fails, the restore is no error, and there is %s", what, f.Failed(), d)
			}
			if now := s.Query(t, name, properties); now != said {
				t.Errorf("%s %.300s fails, the restore is no error, and of the database is said %q, not %q", what, f.Failed(), now, said)
			}
		})
	}
	s.Drop(t, name)
	testkit.Healthy(t, s, db, name)
}

func TestListSettingsKeepTheirParts(t *testing.T) {
	for in, want := range map[logical.Setting]string{
		{Name: "search_path", Value: `"$user", public, "a, ""b"`}: `ALTER DATABASE "d" SET "search_path" TO '$user', 'public', 'a, "b'`,
		{Name: "search_path", Value: ``}:                          `ALTER DATABASE "d" SET "search_path" TO ''`,
		{Name: "app.jwt", Value: `it's`, Role: "r"}:               `ALTER ROLE "r" IN DATABASE "d" SET "app"."jwt" TO 'it''s'`,
	} {
		if got := in.Statement(`"d"`); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}
