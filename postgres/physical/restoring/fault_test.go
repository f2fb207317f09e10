package restoring_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// some is a repository some of whose operations ask f, of each kind three.
func some(repo cofre.Repository, f *testkit.Faults) cofre.Repository {
	return repositorytest.Watched(repo, func(op repositorytest.Operation, path string) error {
		if op == repositorytest.OpBegin || op == repositorytest.OpClose {
			return nil
		}
		return f.CheckSome(3, string(op), fmt.Sprint(op, " ", path))
	})
}

// filesOf are the files of a data directory, with mode and content.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		said := info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			said += fmt.Sprintf(" %d bytes %x", len(b), sha256.Sum256(b))
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = said
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whichever statement fails, and whichever operation of the repository: a base backup that is no error and not partial restores, to what
// pg_verifybackup proves. A restore that is no error has every file.
func TestEachStatementAndOperationOfAClusterCounts(t *testing.T) {
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, 0, testkit.Own())
	s.Exec(t, "postgres", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
	var last cofre.Component
	var repo cofre.Repository
	proven := func(what, failed string, in cofre.Repository, c cofre.Component) {
		t.Helper()
		to := filepath.Join(dir, "proven")
		if _, err := physicaltest.TryRestore(t, in, c, restoring.Options{Dir: to, VerifyBackup: true}); err != nil {
			t.Errorf("%s, and %s fails: it is no error, and does not restore: %v", what, failed, err)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	for _, method := range []physical.Method{physical.MethodProtocol, physical.MethodFiles} {
		for what, through := range map[string]func(f *testkit.Faults, in cofre.Repository) (postgres.Config, cofre.Repository){
			"statements": func(f *testkit.Faults, in cofre.Repository) (postgres.Config, cofre.Repository) {
				return postgres.Config{URL: s.Statements(t, "postgres", func(sql string) error { return f.CheckSome(2, sql[:min(len(sql), 27)], sql) })}, in
			},
			"operations": func(f *testkit.Faults, in cofre.Repository) (postgres.Config, cofre.Repository) {
				return s.Config("postgres"), some(in, f)
			},
		} {
			testkit.EachFails(t, func(f *testkit.Faults) {
				in := repositorytest.NewMemory()
				server, watched := through(f, in)
				c, err := physicaltest.TryBackup(t, t.Context(), watched, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: server, Method: method}), nil)
				if f.Failed() == "" && err != nil {
					t.Fatalf("%s, %s, without a fault: %v", method, what, err)
				}
				if err == nil && !c.Partial {
					proven(fmt.Sprintf("%s, %s", method, what), f.Failed(), in, c)
					last, repo = c, in
				}
			})
		}
	}
	to := filepath.Join(dir, "to")
	physicaltest.Restore(t, repo, last, restoring.Options{Dir: to})
	want := filesOf(t, to)
	testkit.EachFails(t, func(f *testkit.Faults) {
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if _, err := physicaltest.TryRestore(t, some(repo, f), last, restoring.Options{Dir: to}); err != nil {
			if f.Failed() == "" {
				t.Fatal(err)
			}
			return
		}
		now := filesOf(t, to)
		for path, w := range want {
			if now[path] != w {
				t.Errorf("%s fails, the restore is no error, and %s is %.60s, not %.60s", f.Failed(), path, now[path], w)
			}
		}
	})
	testkit.Healthy(t, s)
}
