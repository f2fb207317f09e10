package dump_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// said is what a component says of a database, path by path, and which files it has; warnings are said, too.
func said(t *testing.T, repo cofre.Repository, src *dump.Source) (map[string]string, error) {
	t.Helper()
	session, err := repo.Begin(t.Context(), src.ID())
	if err != nil {
		return nil, err
	}
	defer session.Close(t.Context())
	captured, err := src.Capture(t.Context(), &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 2})
	if err != nil {
		return nil, err
	}
	content, err := session.Finish(t.Context())
	if err != nil {
		return nil, err
	}
	tree, err := repo.Tree(t.Context(), content.Root)
	if err != nil {
		return nil, err
	}
	all := map[string]string{"warnings": fmt.Sprint(captured.Warnings, captured.Partial, captured.Findings)}
	var facts any
	if err := json.Unmarshal([]byte(logicaltest.Read(t, tree, logical.FactsFile)), &facts); err != nil {
		t.Fatal(err)
	}
	flatten(all, "facts", facts)
	var walk func(dir string)
	walk = func(dir string) {
		for e, err := range tree.List(t.Context(), dir) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Mode.IsDir() {
				walk(e.Path)
			} else {
				all["file "+e.Path] = fmt.Sprint(e.Size)
			}
		}
	}
	walk("")
	return all, nil
}

func flatten(into map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(into, path+"."+k, x)
		}
	case []any:
		into[path] = fmt.Sprint(len(v))
		for i, x := range v {
			flatten(into, fmt.Sprint(path, "[", i, "]"), x)
		}
	default:
		into[path] = fmt.Sprint(v)
	}
}

// Whichever statement fails, and whichever operation of the repository: a capture is an error, or it is what it is without the fault. What two
// captures without a fault say differently, such as times, is not compared.
func TestEachStatementOfACaptureCounts(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Own()) // roles, which other tests make, are of the whole server
	db := s.Database(t)
	s.Exec(t, db, `CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t text); INSERT INTO a (t) SELECT 'row ' || i FROM generate_series(1, 100) i;
CREATE TABLE b (a int REFERENCES a); INSERT INTO b VALUES (1), (2); CREATE VIEW v AS SELECT * FROM a; CREATE POLICY p ON a USING (true)`)
	s.Exec(t, db, "SELECT lo_from_bytea(0, 'a large object')")
	direct := dump.NewSource(cofre.SourceID{Installation: "test", Kind: cofre.KindDatabase, Name: db}, s.Config(db), dump.Options{})
	want, err := said(t, repositorytest.NewMemory(), direct)
	if err != nil {
		t.Fatal(err)
	}
	again, err := said(t, repositorytest.NewMemory(), direct)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(failed string, got map[string]string) {
		t.Helper()
		for path, w := range want {
			if path == "facts.database.bytes" || path == "facts.lsn" || path == "file "+logical.FactsFile { // the server goes on by itself
				continue
			}
			if path == "facts.functions_run" && got[path] == "<nil>" { // nobody could look, and the plan of a restore says so
				continue
			}
			if again[path] == w && got[path] != w {
				t.Errorf("%.300s fails, and of %s the component says %.300q, not %.300q", failed, path, got[path], w)
			}
		}
	}
	testkit.EachFails(t, func(f *testkit.Faults) {
		src := dump.NewSource(direct.ID(), postgres.Config{URL: s.Statements(t, db, alike(f))}, dump.Options{})
		got, err := said(t, repositorytest.NewMemory(), src)
		if err == nil {
			compare(f.Failed(), got)
		} else if f.Failed() == "" {
			t.Fatal(err)
		}
	})
	testkit.EachFails(t, func(f *testkit.Faults) {
		repo := repositorytest.Watched(repositorytest.NewMemory(), func(op repositorytest.Operation, path string) error {
			if strings.Contains("Begin Tree List Open Read Close", string(op)) {
				return nil
			}
			return f.Check(fmt.Sprint(op, " ", path))
		})
		got, err := said(t, repo, direct)
		if err == nil {
			compare(f.Failed(), got)
		} else if f.Failed() == "" {
			t.Fatal(err)
		}
	})
	testkit.Healthy(t, s, db)
}

// alike is f's check of statements; of those that begin alike, as the queries of a fingerprint do, two.
func alike(f *testkit.Faults) func(sql string) error {
	return func(sql string) error { return f.CheckSome(2, sql[:min(len(sql), 27)], sql) }
}
