package dump_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

func TestStockRestoreOfEverything(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		logicaltest.Fill(t, s, db)
		// Parts of a few blocks, so that even this table is copied in parts.
		tree, facts, captured := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{SplitBytes: 64 << 10}), 3)
		if len(captured.Warnings) > 0 {
			t.Errorf("warnings: %q", captured.Warnings)
		}
		restored := logicaltest.StockRestore(t, s, major, logicaltest.Materialise(t, tree))
		if diff := cmp.Diff(s.Dump(t, db), s.Dump(t, restored)); diff != "" {
			t.Errorf("the restored database differs:\n%s", diff)
		}
		for _, table := range facts.Tables {
			name := fmt.Sprintf(`"%s"."%s"`, strings.ReplaceAll(table.Schema, `"`, `""`), strings.ReplaceAll(table.Name, `"`, `""`))
			if got := s.Query(t, db, "SELECT count(*) FROM ONLY "+name); got != fmt.Sprint(table.Rows) {
				t.Errorf("%s: %d rows recorded, has %s", name, table.Rows, got)
			}
		}
		checkFacts(t, s, db, facts)
		s.Drop(t, restored) // before the roles that its objects belong to
		testkit.Healthy(t, s, db)
	})
}

func checkFacts(t *testing.T, s *testkit.Server, db string, facts logical.Facts) {
	t.Helper()
	if facts.Summary.Tables != 13 || facts.Rows != 3000+100+3+2+4+1+2+1+2 {
		t.Errorf("%d tables, %d rows", facts.Summary.Tables, facts.Rows)
	}
	if facts.LargeObjects.Count != 7 || facts.Summary.LargeObjects != 7 || facts.LargeObjects.Bytes != 5*3200+2048*9+100+5000 {
		t.Errorf("large objects: %+v, %d", facts.LargeObjects, facts.Summary.LargeObjects)
	}
	sequences := map[string]logical.SequenceFacts{}
	for _, q := range facts.Sequences {
		sequences[q.Name] = q
	}
	if got := sequences["counter"]; got.LastValue != 4 || !got.IsCalled {
		t.Errorf("app.counter: %+v", got)
	}
	if got := sequences["untouched"]; got.LastValue != 42 || got.IsCalled {
		t.Errorf("app.untouched: %+v", got)
	}
	if facts.LSN == 0 || facts.TakenAt.IsZero() || facts.SystemID.String() != s.Query(t, db, "SELECT system_identifier FROM pg_control_system()") {
		t.Errorf("LSN %s, taken at %s, system %s", facts.LSN, facts.TakenAt, facts.SystemID)
	}
	role := "r_" + db
	want := []string{"postgres", role + " Leser", role + "_owner"}
	if diff := cmp.Diff(want, facts.Roles); diff != "" {
		t.Errorf("roles: %s", diff)
	}
	if len(facts.Policies) != 1 || facts.Policies[0].Name != "mine" || len(facts.Extensions) != 3 {
		t.Errorf("policies %+v, extensions %+v", facts.Policies, facts.Extensions)
	}
}

// TestSplitEqualsWhole compares the bytes and sums of tables copied in parts, in parallel, with those copied whole.
func TestSplitEqualsWhole(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE big (i int, t text); INSERT INTO big SELECT i, repeat(md5(i::text), i % 30) FROM generate_series(1, 60000) i`)
	s.Exec(t, db, `DELETE FROM big WHERE i % 3 = 0`)
	whole, one, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{SplitBytes: -1}), 1)
	parts, many, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{SplitBytes: 1 << 20}), 3)
	if diff := cmp.Diff(one.Tables, many.Tables); diff != "" {
		t.Errorf("facts differ: %s", diff)
	}
	path := logical.ArchiveDir + "/" + one.Tables[0].File
	if a, b := logicaltest.Read(t, whole, path), logicaltest.Read(t, parts, path); a != b || !strings.HasSuffix(a, "\n\\.\n\n\n") {
		t.Errorf("%d bytes whole, %d in parts, ending %q", len(a), len(b), b[max(0, len(b)-20):])
	}
	testkit.Healthy(t, s, db)
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	c := postgres.Config{URL: "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable"}
	err := logicaltest.Failing(t, dump.NewSource(cofre.SourceID{Kind: cofre.KindDatabase}, c, dump.Options{}))
	if !errors.Is(err, cofre.ErrUnreachable) || strings.Contains(err.Error(), "hunter2") || cofre.Hint(err) == "" {
		t.Errorf("got %v (hint %q)", err, cofre.Hint(err))
	}
}
