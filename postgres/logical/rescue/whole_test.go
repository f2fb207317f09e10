package rescue_test

import (
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

// tied is a table with everything that a table can be tied to. THEM is a role of the test.
const tied = `
CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO "THEM"; CREATE TABLE app.people (id int PRIMARY KEY, name text); GRANT SELECT, UPDATE ON app.people TO "THEM"; INSERT INTO app.people SELECT i, 'p' || i FROM generate_series(1, 20) i;
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE app.answers (id serial PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, person int REFERENCES app.people, body text NOT NULL DEFAULT 'x' CHECK (body <> ''),
  span int4range, size int GENERATED ALWAYS AS (length(body)) STORED, code text, EXCLUDE USING gist (span WITH &&)) WITH (fillfactor = 70);
ALTER TABLE app.answers ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 50;
INSERT INTO app.answers (person, body, code) SELECT 1 + i % 20, 'r' || i, 'c' || i FROM generate_series(1, 500) i;
CREATE UNIQUE INDEX answers_code ON app.answers (code); ALTER TABLE app.answers ALTER COLUMN code SET NOT NULL; ALTER TABLE app.answers REPLICA IDENTITY USING INDEX answers_code;
CREATE STATISTICS app.answers_stats (dependencies) ON person, code FROM app.answers;
CREATE TRIGGER note BEFORE INSERT ON app.answers FOR EACH ROW EXECUTE FUNCTION app.note(); ALTER TABLE app.answers DISABLE TRIGGER note;
CREATE TRIGGER always AFTER UPDATE ON app.answers FOR EACH ROW EXECUTE FUNCTION app.note(); ALTER TABLE app.answers ENABLE ALWAYS TRIGGER always;
CREATE RULE guard AS ON DELETE TO app.answers WHERE OLD.id = 1 DO INSTEAD NOTHING;
ALTER TABLE app.answers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON app.answers FOR SELECT TO "THEM" USING (person = 1); CREATE POLICY "all of it" ON app.answers AS RESTRICTIVE USING (id > 0) WITH CHECK (id > 0);
ALTER TABLE app.answers OWNER TO "THEM"; GRANT SELECT ON app.answers TO "THEM reader" WITH GRANT OPTION; GRANT UPDATE (body) ON app.answers TO "THEM reader"; GRANT USAGE ON SEQUENCE app.answers_id_seq TO "THEM reader";
REVOKE DELETE ON app.answers FROM "THEM";
COMMENT ON TABLE app.answers IS 't'; COMMENT ON COLUMN app.answers.body IS 'c'; COMMENT ON INDEX app.answers_code IS 'i'; COMMENT ON TRIGGER note ON app.answers IS 'tr'; COMMENT ON POLICY own ON app.answers IS 'p';
COMMENT ON CONSTRAINT answers_pkey ON app.answers IS 'k'; COMMENT ON RULE guard ON app.answers IS 'r'; COMMENT ON STATISTICS app.answers_stats IS 's';
CREATE TABLE app.votes (id int PRIMARY KEY, answer int REFERENCES app.answers ON DELETE CASCADE); INSERT INTO app.votes VALUES (1, 1), (2, 2);
CREATE VIEW app.recent AS SELECT id, body FROM app.answers WHERE id > 400; GRANT SELECT ON app.recent TO "THEM reader"; COMMENT ON VIEW app.recent IS 'v';
CREATE MATERIALIZED VIEW app.counted AS SELECT person, count(*) AS n FROM app.answers GROUP BY 1; CREATE UNIQUE INDEX ON app.counted (person);
CREATE VIEW app.most AS SELECT max(n) FROM app.counted;
CREATE PUBLICATION pub FOR TABLE app.answers;
CREATE TABLE app.logs (id serial, at date NOT NULL, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.logs_1 PARTITION OF app.logs FOR VALUES FROM ('2026-01-01') TO ('2026-07-01'); CREATE TABLE app.logs_2 PARTITION OF app.logs FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
CREATE INDEX ON app.logs (t); ALTER TABLE app.logs ENABLE ROW LEVEL SECURITY; ALTER TABLE app.logs_1 ENABLE ROW LEVEL SECURITY; CREATE TRIGGER note BEFORE INSERT ON app.logs FOR EACH ROW EXECUTE FUNCTION app.note();
INSERT INTO app.logs (at, t) SELECT date '2026-01-01' + i, 'l' || i FROM generate_series(0, 300) i;
CREATE TABLE app.base (a int PRIMARY KEY); CREATE TABLE app.derived (b int) INHERITS (app.base); INSERT INTO app.derived VALUES (1, 2);
`

// open gives everybody rights on whatever is made from now on.
const open = `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, "THEM reader"; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO "THEM reader"`

// A table that was dropped comes back as it was, with all that went with it, and no more open than it was.
func TestTableComesBackWhole(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		role := "owner of " + database
		with := func(sql string) string { return strings.ReplaceAll(sql, "THEM", role) }
		s.Exec(t, "postgres", with(`CREATE ROLE "THEM"; CREATE ROLE "THEM reader"`))
		t.Cleanup(func() {
			s.Drop(t, database)
			s.Exec(t, "postgres", with(`DROP ROLE "THEM"; DROP ROLE "THEM reader"`))
		})
		s.Exec(t, database, with(tied))
		server := postgres.Config{URL: s.URL(database)}
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		s.Exec(t, database, with(open))
		want := s.Dump(t, database)
		for _, table := range []string{"app.answers", "app.logs", "app.logs_1", "app.derived", "app.votes"} {
			s.Exec(t, database, "DROP TABLE "+table+" CASCADE")
			out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: table})
			if err != nil {
				t.Fatalf("%s: %v (%s)", table, err, cofre.Hint(err))
			}
			if len(out.Left)+len(out.Missing) > 0 {
				t.Errorf("%s: left out %q, missing %q", table, out.Left, out.Missing)
			}
			if got := s.Dump(t, database); got != want {
				t.Errorf("%s is not what it was:\n%s", table, logicaltest.LineDiff(want, got))
			}
		}
		if got := s.Query(t, database, `SELECT count(*), sum(n) FROM app.counted`); got != "20|500" {
			t.Errorf("the materialized view has %s", got)
		}

		// Beside the live one nobody else may come near, whatever the defaults are.
		if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.answers", ToSchema: "rescue"}); err != nil {
			t.Fatal(err)
		}
		if got := s.Query(t, database, with(`SELECT has_schema_privilege('THEM reader', 'rescue', 'USAGE'), has_table_privilege('THEM reader', 'rescue.answers', 'SELECT'), has_sequence_privilege('THEM reader', 'rescue.answers_id_seq', 'USAGE'), has_sequence_privilege('THEM reader', 'rescue.answers_n_seq', 'USAGE')`)); got != "f|f|f|f" {
			t.Errorf("the rescued table is open: %s", got)
		}
		s.Exec(t, database, `DELETE FROM app.answers WHERE id = 7`)
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: server, Table: "app.answers"})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Query(t, database, with(`SELECT has_schema_privilege('THEM reader', '`+m.Schema+`', 'USAGE')`)); got != "f" {
			t.Error("the schema of a merge is open")
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}

		// Less than whole is asked for, and twice where security was on.
		s.Exec(t, database, `DROP TABLE app.answers CASCADE`)
		bare := rescue.TableOptions{Server: server, Table: "app.answers", Bare: true}
		if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, bare); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(cofre.Hint(err), "--without-row-security") {
			t.Errorf("bare: %v (%s)", err, cofre.Hint(err))
		}
		if plan, err := logicaltest.PlanTable(t.Context(), c.Tree, bare); err != nil || len(plan.Problems) != 1 {
			t.Errorf("%+v, %v", plan, err)
		}
		bare.WithoutSecurity = true
		out, err := logicaltest.RestoreTable(t.Context(), c.Tree, bare)
		if err != nil || len(out.Left) < 8 {
			t.Errorf("%+v, %v", out, err)
		}
		if got := s.Query(t, database, with(`SELECT has_table_privilege('THEM reader', 'app.answers', 'SELECT'), relrowsecurity, relowner::regrole FROM pg_class WHERE oid = 'app.answers'::regclass`)); got != "f|f|postgres" {
			t.Errorf("the bare table: %s", got)
		}

		// What stands against a foreign key of another table is named; the table is there.
		s.Exec(t, database, `DROP TABLE app.answers CASCADE; INSERT INTO app.votes VALUES (3, 100000)`)
		out, err = logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.answers"})
		if err != nil || len(out.Missing) != 1 || !strings.Contains(out.Missing[0], "votes_answer_fkey") {
			t.Errorf("%+v, %v", out, err)
		}
		testkit.Healthy(t, s, database)
	})
}
