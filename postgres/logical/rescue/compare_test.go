package rescue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// A table that somebody's event trigger changes while it is made is not called equal: what opens it to others ends the
// restore, and anything else is named.
func TestATableThatIsMadeOtherwise(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	t.Cleanup(func() { s.Drop(t, db) })
	s.Exec(t, db, `CREATE SCHEMA app; CREATE SCHEMA old; CREATE TABLE app.answers (id int PRIMARY KEY, body text DEFAULT 'x' CHECK (body <> '')); INSERT INTO app.answers VALUES (1, 'a'); CREATE INDEX bodies ON app.answers (body);
COMMENT ON TABLE app.answers IS 'a'; GRANT SELECT ON app.answers TO pg_monitor; CREATE TABLE app.logs (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE old.logs_1 PARTITION OF app.logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01'); INSERT INTO app.logs VALUES (1, '2026-05-05')`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	server := s.Config(db)
	s.Exec(t, db, `DROP TABLE app.answers, app.logs`)
	trigger := func(tag, does string) {
		s.Exec(t, db, `CREATE OR REPLACE FUNCTION public.meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT pg_catalog.has_table_privilege('public', pg_catalog.to_regclass('app.answers'), 'SELECT') THEN `+does+`; END IF; END $$;
DROP EVENT TRIGGER IF EXISTS meddle; CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('`+tag+`') EXECUTE FUNCTION public.meddle(); ALTER EVENT TRIGGER meddle ENABLE ALWAYS`)
	}
	trigger("GRANT", `GRANT SELECT ON app.answers TO PUBLIC`)
	_, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.answers"})
	if !errors.Is(err, cofre.ErrUnproven) || !strings.Contains(err.Error(), "table app.answers: privileges: captured") {
		t.Errorf("%v", err)
	}
	for _, to := range []string{"app", "rescue"} {
		trigger("CREATE INDEX", `ALTER TABLE `+to+`.answers ALTER body SET STATISTICS 7; ALTER TABLE `+to+`.answers ALTER body DROP DEFAULT`)
		out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.answers", ToSchema: to})
		want := []string{"column app.answers.body: default: captured 'x'::text, restored none", "column app.answers.body: has a default: captured true, restored false", "column app.answers.body: statistics target: captured none, restored 7"}
		if err != nil || !slices.Equal(out.Differs, want) {
			t.Errorf("%v, %+v", err, out)
		}
	}
	// A partition comes back in its own schema.
	s.Exec(t, db, `DROP EVENT TRIGGER meddle`)
	out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.logs"})
	if err != nil || len(out.Differs) > 0 || s.Query(t, db, `SELECT count(*) FROM old.logs_1`) != "1" {
		t.Errorf("%v, %+v", err, out)
	}
	out, err = logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "app.logs", ToSchema: "rescue"})
	if err != nil || len(out.Differs) > 0 || s.Query(t, db, `SELECT count(*) FROM rescue.logs_1`) != "1" {
		t.Errorf("%v, %+v", err, out)
	}
}
