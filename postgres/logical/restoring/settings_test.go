package restoring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// readings are values whose text, or whose meaning as text, depends on parameters of the session.
const readings = `
CREATE SCHEMA app;
CREATE TYPE app.pair AS (a text, b numeric);
CREATE TABLE app.readings (
  id int PRIMARY KEY DEFAULT 7, cost money DEFAULT '-1234.56', f float8 DEFAULT 0.1, g float4, span interval DEFAULT '-1 days +02:03:04', at timestamptz DEFAULT '2026-03-04 05:06:07+00',
  d date DEFAULT '2026-04-03', raw bytea DEFAULT '\x005c', x xml, texts text[] DEFAULT ARRAY[NULL, 'NULL', 'x'], ints int[], t text DEFAULT E'a\\b''c', ip inet, r tstzrange, nums numrange, p app.pair, j jsonb, h public.hstore,
  CHECK (t IS DISTINCT FROM NULL OR id = NULL), CHECK (span > '-3 years 2 mons -4 days +05:06:07'), CHECK (at > '1999-12-31 23:00:00+00'));
INSERT INTO app.readings VALUES
  (1, '1234567.89', 1e-7, 0.3, '1 year 2 mons -3 days +04:05:06.7', '2026-11-26 03:04:05.678901-03', '2026-05-06', '\xdeadbeef5c00', '<a>b</a>', ARRAY[NULL, 'NULL', '', 'a\b', '"', '{'], ARRAY[1, NULL, 3],
   E'back\\slash \\N \\. tab\t é', '10.0.0.1/8', '[2026-01-02 03:04+00, 2026-01-03 04:05+00)', '(,5]', ROW('a"b\c', NULL), '{"a": [null, "é"]}', 'k=>NULL, l=>"\\x"'),
  (2, '-0.01', 'NaN', '-Infinity', '-1 years -2 mons +3 days -04:05:06', 'infinity', '-infinity', '', 'text <b/> text', '{}', NULL, '', '::1', 'empty', NULL, NULL, 'null', ''),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, ARRAY[[NULL, 'a'], ['b', NULL]], ARRAY[NULL]::int[], 'x', NULL, NULL, NULL, ROW(NULL, NULL), NULL, NULL);
INSERT INTO app.readings (id, t) SELECT i, 'row ' || i FROM generate_series(10, 3000) i;
CREATE TABLE app.days (at timestamptz NOT NULL, t interval DEFAULT '1 mon -1 days') PARTITION BY RANGE (at);
CREATE TABLE app.days_1 PARTITION OF app.days FOR VALUES FROM ('2026-01-01 03:00+00') TO ('2026-02-01 03:00+00');
INSERT INTO app.days VALUES ('2026-01-15 12:00+00');
CREATE VIEW app.dear AS SELECT id FROM app.readings WHERE cost > '12.34'::money AND span < '1 day -2 hours'::interval;
CREATE MATERIALIZED VIEW app.many AS SELECT count(*) AS n FROM app.readings WHERE id = ANY (ARRAY[1, NULL, 2, 3]);
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON app.readings FOR EACH ROW EXECUTE FUNCTION app.note('a\b', 'c''d');
CREATE INDEX ON app.readings (cost) WHERE cost > '99.01'::money;
SELECT lo_from_bytea(4711, '\x00ff5c');
`

// notMeant are parameters with which no session works, or that say how much the server may use and write.
var notMeant = map[string]string{
	"local_preload_libraries": "names libraries that must be there", "session_preload_libraries": "the same", "dynamic_library_path": "leads to the libraries of extensions",
	"extension_control_path": "the same", "extension_destdir": "the same", "max_stack_depth": "ends statements by themselves", "temp_file_limit": "the same", "jit_dump_bitcode": "writes files",
	"debug_discard_caches": "makes everything slow", "transaction_isolation": "belongs to a transaction", "transaction_read_only": "the same", "transaction_deferrable": "the same",
	"backtrace_functions": "only logs", "log_statement_stats": "excludes others", "wal_consistency_checking": "only logs", "output_plugin_libraries": "of no use here",
}

// planner are parameters by which plans are chosen. With all of them wrong every query is slow, so that one version
// is enough.
var planner = regexp.MustCompile(`^enable_|^geqo|^jit|_cost$|_collapse_limit$|parallel|^debug_`)

// unusual are values of parameters that have no list or limits to choose from.
var unusual = map[string]string{
	"DateStyle": "'German, DMY'", "TimeZone": "'Asia/Kathmandu'", "search_path": `"Odd", nowhere`, "client_encoding": "'LATIN1'", "lc_messages": "'C.UTF-8'", "lc_monetary": "'C.UTF-8'",
	"lc_numeric": "'C.UTF-8'", "lc_time": "'C.UTF-8'", "createrole_self_grant": "'set, inherit'", "restrict_nonsystem_relation_kind": "'view, foreign-table'", "timezone_abbreviations": "'India'",
	"default_text_search_config": "'pg_catalog.simple'", "application_name": "'other'", "default_table_access_method": "'heap'", "default_tablespace": "pg_default", "temp_tablespaces": "pg_default",
	"statement_timeout": "'200ms'", "lock_timeout": "'100ms'", "idle_in_transaction_session_timeout": "'100ms'", "idle_session_timeout": "'100ms'", "transaction_timeout": "'200ms'",
	"vacuum_cost_delay": "1", "commit_delay": "10", "client_connection_check_interval": "'1s'", "wal_sender_timeout": "'1s'", "tcp_user_timeout": "'10s'",
}

// unusualSettings are SET clauses for all parameters that a session may change, each with a value that it does not have.
func unusualSettings(t *testing.T, s *testkit.Server, major int) []string {
	t.Helper()
	var sets []string
	for _, line := range strings.Split(s.Query(t, "postgres", `SELECT name, vartype, setting, coalesce(min_val, ''), coalesce(max_val, ''), coalesce(array_to_string(enumvals, ','), '')
FROM pg_settings WHERE context IN ('user', 'superuser') ORDER BY name`), "\n") {
		f := strings.Split(line, "|")
		name, kind, now, least, most := f[0], f[1], f[2], f[3], f[4]
		value, given := unusual[name]
		switch {
		case notMeant[name] != "", planner.MatchString(name) && major != testkit.DefaultMajor:
			continue
		case given:
		case kind == "bool":
			value = map[string]string{"on": "off", "off": "on"}[now]
		case kind == "enum":
			for _, v := range strings.Split(f[5], ",") {
				// A level of logging that logs everything, and a method that this file system may not have.
				if v != now && !strings.HasPrefix(v, "debug") && v != "clone" && v != "lz4" && v != "zstd" {
					value = "'" + v + "'"
				}
			}
		case kind == "integer" || kind == "real":
			value = least
			if least == now || strings.HasPrefix(least, "-") {
				value = most
			}
			if n, err := strconv.ParseFloat(value, 64); err == nil && n > 1e6 {
				value = "100000"
			}
		}
		if value == "" && (kind == "enum" || kind == "string") {
			continue // a build without lz4, an extension's parameter
		}
		if value == "" {
			t.Fatalf("no unusual value for %s (%s)", name, line)
		}
		sets = append(sets, "SET "+name+" = "+value)
	}
	return sets
}

// What role and database set changes nothing of what is captured, restored and compared: every parameter that a
// session may change has another value than usual.
func TestSettingsOfRolesAndDatabases(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Own())
		database := s.Database(t)
		s.Exec(t, "postgres", `CREATE ROLE operator SUPERUSER LOGIN`)
		s.Exec(t, database, `CREATE EXTENSION hstore SCHEMA public`)
		s.Exec(t, database, readings)
		if major >= 17 {
			s.Exec(t, "postgres", "ALTER ROLE postgres SET event_triggers = off")
			s.Exec(t, database, `CREATE TABLE app.logins (who text); CREATE FUNCTION app.login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
INSERT INTO app.logins VALUES (session_user); IF session_user = 'operator' THEN RAISE 'nobody enters'; END IF; END $$;
CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION app.login(); ALTER EVENT TRIGGER login ENABLE ALWAYS`)
		}
		const rows = `SET extra_float_digits = 3; SELECT md5(string_agg(r::text, E'\n' ORDER BY id)), count(*) FROM app.readings r`
		want, sums := s.Dump(t, database), s.Query(t, database, rows)
		sets := unusualSettings(t, s, major)
		if len(sets) < 90 {
			t.Errorf("only %d parameters are set", len(sets))
		}
		change := func(format string) {
			t.Helper()
			var script strings.Builder
			for _, set := range sets {
				fmt.Fprintf(&script, format+";", set)
			}
			s.Exec(t, "postgres", script.String())
		}
		change("ALTER ROLE operator %s")
		change("ALTER DATABASE " + database + " %s")
		reset := func(database string) {
			t.Helper()
			s.Exec(t, "postgres", `ALTER DATABASE "`+database+`" RESET ALL`)
		}
		server := postgres.Config{URL: s.URL(database), User: "operator"}
		c := logicaltest.CaptureFrom(t, server, dump.Options{SplitBytes: 64 << 10})

		o := restoring.Options{Server: server.With("postgres"), Name: database + "_again", Jobs: 2, Check: restoring.CheckChecksum}
		_, _, outcome := logicaltest.MustRestore(t, s, c, o)
		reset(outcome.Restored)
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Errorf("the restored database is another one:\n%s", logicaltest.LineDiff(want, got))
		}
		if got := s.Query(t, outcome.Restored, rows); got != sums {
			t.Errorf("rows %s, not %s", got, sums)
		}

		// A table beside the live one, and a merge with it.
		out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.readings", ToSchema: "rescue"})
		if err != nil || out.Rows != 2994 {
			t.Fatalf("%+v, %v", out, err)
		}
		reset(database)
		if got := s.Query(t, database, strings.Replace(rows, "app.", "rescue.", 1)); got != sums {
			t.Errorf("rows of the rescued table %s, not %s", got, sums)
		}
		s.Exec(t, database, `DROP SCHEMA rescue CASCADE; UPDATE app.readings SET texts = ARRAY['NULL', NULL], cost = 0 WHERE id = 1; DELETE FROM app.readings WHERE id = 2`)
		change("ALTER DATABASE " + database + " %s")
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: server, Table: "app.readings"})
		if err != nil {
			t.Fatal(err)
		}
		if m.Comparison != (rescue.Comparison{Missing: 1, Changed: 1, Same: 2992}) {
			t.Errorf("%+v", m.Comparison)
		}
		if _, err := m.Apply(t.Context()); err != nil {
			t.Error(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		reset(database)
		if got := s.Query(t, database, rows); got != sums {
			t.Errorf("rows after the merge %s, not %s", got, sums)
		}

		// What stock tools make of it.
		if got := s.Dump(t, logicaltest.StockRestore(t, s, major, logicaltest.Materialise(t, c.Tree))); got != want {
			t.Errorf("pg_restore makes another database:\n%s", logicaltest.LineDiff(want, got))
		}
		path, to := filepath.Join(t.TempDir(), "out.sql"), s.Database(t)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(export.SQL(t.Context(), c.Tree, logical.Filter{}, f, cofre.Discard), f.Close()); err != nil {
			t.Fatal(err)
		}
		logicaltest.Tool(t, s, "psql", "-X", "--set=ON_ERROR_STOP=1", "--quiet", "--output=/dev/null", "--dbname="+s.URL(to), "--file="+path)
		if got := s.Dump(t, to); got != want {
			t.Errorf("psql makes another database:\n%s", logicaltest.LineDiff(want, got))
		}
		testkit.Healthy(t, s)
	})
}
