package rescue_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// TestATableIsFoundByItsNameInAnEncodingThatOnlyServersKnow: no library here has it, so the capture asks the server what each text is.
func TestATableIsFoundByItsNameInAnEncodingThatOnlyServersKnow(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Own())
	for encoding, names := range map[string][2]string{"EUC_TW": {"姓名", "資料表"}, "EUC_JIS_2004": {"日本語ー", "表題"}} {
		t.Run(encoding, func(t *testing.T) {
			db := "in_" + strings.ToLower(encoding)
			s.Exec(t, "postgres", "CREATE DATABASE "+db+" TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
			s.Exec(t, "postgres", "ALTER DATABASE "+db+" SET client_encoding = 'UTF8'")
			table := fmt.Sprintf(`%q.%q`, names[0], names[1])
			s.Exec(t, db, fmt.Sprintf(`CREATE SCHEMA %[1]q; CREATE TABLE %[3]s (id int PRIMARY KEY, %[1]q text DEFAULT '%[2]s'); INSERT INTO %[3]s VALUES (1, '%[1]s'), (2, '%[2]s'); CREATE TABLE other ()`, names[0], names[1], table))
			c := logicaltest.CaptureOf(t, s, db, dump.Options{})
			rows := "SELECT string_agg(id || " + fmt.Sprintf("%q", names[0]) + ", ' ' ORDER BY id) FROM "
			want := s.Query(t, db, rows+table)

			s.Exec(t, db, "DELETE FROM "+table+" WHERE id = 1")
			m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: table})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := s.Query(t, db, rows+table); got != want {
				t.Errorf("merged %q, want %q", got, want)
			}
			if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(db), Table: table, ToSchema: "rescue"}); err != nil {
				t.Fatal(err)
			}
			if got := s.Query(t, db, rows+fmt.Sprintf("rescue.%q", names[1])); got != want {
				t.Errorf("beside: %q, want %q", got, want)
			}

			o := logicaltest.Options(s, db+"_without")
			o.Filter = logical.Filter{ExcludeTables: []string{table}}
			o.Check = restoring.CheckChecksum
			logicaltest.MustRestore(t, s, c, o)
			if got := s.Query(t, db+"_without", "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'r' AND relnamespace >= 16384 OR relname = 'other'"); got != "other" {
				t.Errorf("without it: %q", got)
			}
			s.Drop(t, db+"_without")

			var csv bytes.Buffer
			if _, err := export.CSV(t.Context(), c.Tree, export.CSVOptions{Table: table}, &csv, cofre.Discard); !errors.Is(err, cofre.ErrRefused) || !strings.Contains(cofre.Hint(err), names[1]) {
				t.Errorf("CSV, which is UTF-8: %q, %v", csv.String(), err)
			}
		})
	}
}
