package dump_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// What fails on restore, because archives are restored with an empty search path, is said by doctor on the good day; and nothing else is.
func TestDoctorNoticesReliedSearchPaths(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, `
SET search_path = app, public;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = app, public', current_database()); END $$;
CREATE SCHEMA app;
CREATE TABLE app.codes (code text PRIMARY KEY); INSERT INTO app.codes VALUES ('a');
CREATE FUNCTION app.plain(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1';
CREATE FUNCTION app.sqlf(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT plain($1)';
CREATE FUNCTION app.known(c text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM codes WHERE code = c); END';
CREATE FUNCTION app.calls(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN plain(i); END';
CREATE FUNCTION app.filled() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM only codes); END';
CREATE FUNCTION app.by_operator(a int, b int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT plain($1) + $2';
CREATE OPERATOR app.### (LEFTARG = int, RIGHTARG = int, FUNCTION = app.by_operator);
CREATE TABLE app.generated (id int, up int GENERATED ALWAYS AS (app.sqlf(id)) STORED);
CREATE TABLE app.checked (c text CONSTRAINT known CHECK (app.known(c)));
CREATE TABLE app.indexed (i int); CREATE DOMAIN app.word AS text CHECK (app.known(VALUE));
CREATE VIEW app.between AS SELECT app.filled() AS n;
CREATE MATERIALIZED VIEW app.kept AS SELECT n FROM app.between WITH NO DATA;
-- Healthy: a path of its own, a schema, a name in a text or in a comment, and nothing that a restore would call.
CREATE FUNCTION app.own_path(c text) RETURNS boolean LANGUAGE plpgsql SET search_path = app AS 'BEGIN RETURN EXISTS (SELECT FROM codes WHERE code = c); END';
CREATE FUNCTION app.qualified(c text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN /* from codes */ RETURN EXISTS (SELECT FROM app.codes WHERE code = c AND code <> ''select from codes where plain(1)''); -- join codes
END';
CREATE TABLE app.healthy (a text CHECK (app.own_path(a)), b text CHECK (app.qualified(b)), c int GENERATED ALWAYS AS (app.plain(1)) STORED);
CREATE FUNCTION app.uncalled() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN plain(1); END';
CREATE TABLE app.defaults (i int DEFAULT app.sqlf(1));
`)
		want := []string{
			"app.filled: materialized view app.kept",
			"app.known: domain constraint word_check on app.word, table constraint known on app.checked", "app.sqlf: default value for app.generated.up",
		}
		if major < 17 { // from which on an index cannot be made of them at all
			s.Exec(t, db, `SET search_path = app, public; CREATE INDEX by_call ON app.indexed (app.calls(i)); CREATE INDEX by_op ON app.indexed ((i OPERATOR(app.###) 1))`)
			want = append([]string{"app.by_operator: index app.by_op", "app.calls: index app.by_call"}, want...)
		}
		found, err := logicaltest.Source(s, db, dump.Options{}).Doctor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range found {
			if d.Subject == "search path" {
				_, rest, _ := strings.Cut(d.Detail, "function ")
				name, _, _ := strings.Cut(rest, "(")
				_, users, _ := strings.Cut(d.Detail, "restored: ")
				got = append(got, name+": "+users)
				if d.OK || !strings.Contains(d.Hint, "ALTER FUNCTION "+name+"(") {
					t.Errorf("%+v", d)
				}
			}
		}
		var facts logical.Summary
		_, _, captured := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
		if err := json.Unmarshal(captured.Facts, &facts); err != nil {
			t.Fatal(err)
		}
		var noted []string
		for _, r := range facts.Relies {
			name, _, _ := strings.Cut(r.Function, "(")
			noted = append(noted, name+": "+strings.Join(r.Users, ", "))
		}
		if !slices.Equal(noted, want) || facts.RelyCount != len(want) || facts.WayOut() != "--search-path 'app, public'" {
			t.Errorf("captured\n%s\n%s", strings.Join(noted, "\n"), facts.WayOut())
		}
		if !slices.Equal(got, want) {
			t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
