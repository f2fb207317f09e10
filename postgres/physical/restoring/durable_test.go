package restoring_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// pg_control takes its name last: a server that starts on the directory, also after a crash of the machine, finds every
// other file and name on the disk.
func TestEverythingIsSyncedBeforePgControlTakesItsName(t *testing.T) {
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, testkit.DefaultMajor, testkit.Own())
	s.Exec(t, "postgres", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 20000) g")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)

	to := filepath.Join(dir, "restored")
	var mu sync.Mutex
	syncedBefore := map[string]bool{} // path, as it is before the rename of a staged directory or after
	published := false
	stop := durable.Watch(func(step durable.Step) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !strings.HasPrefix(step.Path, dir):
		case step.Op == durable.OpRename && step.Path == filepath.Join(to, "global", "pg_control"):
			published = true
		case (step.Op == durable.OpSync || step.Op == durable.OpSyncDir) && !published:
			syncedBefore[step.Path] = true
		}
		return nil
	})
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to})
	stop()
	if !published {
		t.Fatal("pg_control never took its name")
	}
	files, missing := 0, 0
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		name := path
		if filepath.Base(path) == "pg_control" {
			name += ".cofre" // it was synced under the name it had
		}
		if files++; !syncedBefore[path] && !syncedBefore[name] {
			missing++
			t.Logf("not synced before pg_control took its name: %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 900 || missing > 0 {
		t.Errorf("of %d files and directories %d were not synced", files, missing)
	}
}

// TestARestoredClusterSurvivesACrash: bytes, modes and names, of what is new, of what is gone and of what is kept, and of the
// directories on the way, in the data directory and in tablespaces.
func TestARestoredClusterSurvivesACrash(t *testing.T) {
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, testkit.DefaultMajor, testkit.Own())
	space := physicaltest.Shared(t, dir, "space")
	s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
	s.Exec(t, "postgres", "CREATE TABLE kept TABLESPACE fast AS SELECT g FROM generate_series(1, 20000) g")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	at := func(base string, o restoring.Options) restoring.Options {
		o.Dir, o.Tablespaces = filepath.Join(base, "new", "on", "the", "way", "data"), map[string]string{space: filepath.Join(base, "spaces", "new", "fast")}
		return o
	}
	for name, o := range map[string]restoring.Options{"into new directories": {}, "beside another": {MoveAside: true}, "over an older copy": {Delta: true}} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			if err := os.Mkdir(base, 0o700); err != nil {
				t.Fatal(err)
			}
			o := at(base, o)
			if o.MoveAside || o.Delta {
				physicaltest.Restore(t, repo, c, at(base, restoring.Options{}))
				changeOlderCopy(t, o.Dir, o.Tablespaces[space])
			}
			lost, err := durabletest.Lost(base, func() error { physicaltest.Restore(t, repo, c, o); return nil })
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range lost {
				t.Errorf("a crash takes %s", strings.ReplaceAll(what, base, ""))
			}
		})
	}
	t.Run("a disk that fails is no success", func(t *testing.T) {
		base := filepath.Join(dir, "faults")
		if err := os.Mkdir(base, 0o700); err != nil {
			t.Fatal(err)
		}
		o := at(base, restoring.Options{})
		physicaltest.Restore(t, repo, c, o)
		o.Delta = true
		durabletest.StepsFail(t, oneOfEachKind, func() (string, func() error) {
			changeOlderCopy(t, o.Dir, o.Tablespaces[space]) // each goes on with what the one before has left
			return base, func() error {
				_, err := physicaltest.TryRestore(t, repo, c, o)
				return err
			}
		})
	})
}

// oneOfEachKind leaves out the files and directories of the cluster, which are synced by one loop, apart from one of each.
func oneOfEachKind(s durable.Step) bool {
	base := filepath.Base(s.Path)
	switch s.Op {
	case durable.OpSync:
		return strings.Contains(base, "cofre") || base == "postgresql.auto.conf" || base == "recovery.signal" || base == "PG_VERSION" && filepath.Base(filepath.Dir(s.Path)) == "data"
	case durable.OpSyncDir:
		return slices.Contains([]string{"way", "data", "global", "pg_xact"}, base)
	default:
		return true
	}
}

// changeOlderCopy makes a restored cluster differ in each way that a restore over it has to set right.
func changeOlderCopy(t *testing.T, dir, space string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "base", "1", "later"), []byte("not captured"), 0o600))
	must(os.MkdirAll(filepath.Join(dir, "base", "99999", "deep"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "base", "99999", "deep", "later"), []byte("not captured"), 0o600))
	must(os.Remove(filepath.Join(dir, "global", "1262")))
	must(os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("99\n"), 0o600))
	must(os.Chmod(filepath.Join(dir, "postgresql.conf"), 0o640))
	must(os.Chmod(filepath.Join(dir, "base"), 0o750))
	must(os.RemoveAll(filepath.Join(dir, "base", "1")))
	must(os.WriteFile(filepath.Join(space, "later"), []byte("not captured"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "pg_wal", "000000010000000000000009"), []byte("never archived"), 0o600))
}
