package restoring_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// What an extension makes belongs to whoever makes the extension: if another role restores, what was granted of it comes back, and
// its owner is another, by name. A grant that is lost as well is not taken for that.
func TestAnExtensionOfAnotherMaker(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		maker, reader := db+"_maker", db+" reader"
		s.Exec(t, db, `CREATE ROLE "`+maker+`" SUPERUSER; CREATE ROLE "`+reader+`"; SET ROLE "`+maker+`"; CREATE EXTENSION pgcrypto; CREATE EXTENSION pg_stat_statements;
REVOKE ALL ON FUNCTION gen_salt(text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION gen_salt(text) TO "`+reader+`"; REVOKE SELECT ON pg_stat_statements FROM PUBLIC; GRANT SELECT ON pg_stat_statements TO "`+reader+`"`)
		t.Cleanup(func() {
			s.Drop(t, db+"_copy")
			s.Drop(t, db)
			s.Exec(t, "postgres", `DROP ROLE "`+maker+`", "`+reader+`"`)
		})
		res, err := run(t, logicaltest.CaptureOf(t, s, db, dump.Options{}), logicaltest.Options(s, db+"_copy"))
		if !errors.Is(err, cofre.ErrPartial) {
			t.Fatalf("%v %s", err, cofre.Hint(err))
		}
		differ := res.Proof.Accepted()
		if len(differ) != 2 || !strings.Contains(differ[0].What+differ[1].What, "pg_stat_statements") || !strings.Contains(differ[0].What+differ[1].What, "gen_salt") {
			t.Errorf("%+v", differ)
		}
		if got := s.Query(t, db+"_copy", `SELECT has_function_privilege('`+reader+`', 'gen_salt(text)', 'EXECUTE'), has_table_privilege('`+reader+`', 'pg_stat_statements', 'SELECT')`); got != "t|t" {
			t.Errorf("of the reader: %s", got)
		}
	})
}
