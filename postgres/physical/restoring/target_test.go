package restoring_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/restore/targettest"
)

func TestAClusterKeepsWhatItPromises(t *testing.T) {
	t.Parallel()
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, 0)
	s.Exec(t, "postgres", "CREATE TABLE answers AS SELECT g FROM generate_series(1, 1000) g; CHECKPOINT")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	place := func(o restoring.Options, live bool, promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			base, err := os.MkdirTemp(dir, "place")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(base) })
			o := o
			o.Dir, o.Jobs = filepath.Join(base, "data"), 2
			if live {
				physicaltest.Restore(t, repo, c, restoring.Options{Dir: o.Dir})
				for name, content := range map[string]string{"PG_VERSION": "the work of today", "base/later": "not captured"} {
					if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(content), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			return targettest.Place{
				New: func() cofre.Target { return restoring.NewTarget(o) }, Component: c, Tree: tree, Promise: promise,
				State: func(t *testing.T) map[string]string { return targettest.Folders(t, base) },
				Undo: func(t *testing.T, done *cofre.Outcome) {
					err := os.RemoveAll(o.Dir)
					if err == nil && len(done.Kept) == 1 {
						err = os.Rename(done.Kept[0].Where, o.Dir)
					}
					if err != nil {
						t.Fatal(err)
					}
				},
			}
		}
	}
	t.Run("into a new directory", func(t *testing.T) {
		targettest.Run(t, place(restoring.Options{}, false, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}))
	})
	t.Run("beside another", func(t *testing.T) {
		targettest.Run(t, place(restoring.Options{MoveAside: true}, true, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
	t.Run("over an older copy", func(t *testing.T) {
		targettest.Run(t, place(restoring.Options{Delta: true}, true, cofre.Promise{Staging: cofre.StagedInPlace, Replaced: cofre.ReplacedLost}))
	})
}
