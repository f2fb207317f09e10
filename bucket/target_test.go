package bucket_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/restore/targettest"
)

func TestAStorageKeepsWhatItPromises(t *testing.T) {
	place := func(o restoring.Restore, promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			root := uploads(t)
			r := folderRoom(t, root)
			must(t, os.WriteFile(root+"/evidence/2026/secret.pdf", []byte("the work of today"), 0o600))
			must(t, os.WriteFile(root+"/evidence/new", []byte("not captured"), 0o644))
			must(t, os.Remove(root+"/avatars/a.png"))
			store, err := dir.Open(root)
			must(t, err)
			o := o
			o.To, o.TempDir, o.StateDir = store, t.TempDir(), t.TempDir()
			return targettest.Place{
				Target: restoring.NewTarget(o), Component: *r.last, Tree: r.lastTree, Promise: promise,
				State: func(t *testing.T) map[string]string { return targettest.Folders(t, filepath.Dir(root)) },
			}
		}
	}
	t.Run("what is missing", func(t *testing.T) {
		targettest.Run(t, place(restoring.Restore{}, cofre.Promise{Staging: cofre.StagedAmong, Replaced: cofre.ReplacesNothing}))
	})
	t.Run("replacing", func(t *testing.T) {
		targettest.Run(t, place(restoring.Restore{Replace: true, DeleteExtra: true}, cofre.Promise{Staging: cofre.StagedAmong, Replaced: cofre.ReplacedKept}))
	})
	t.Run("replacing, keeping nothing", func(t *testing.T) {
		targettest.Run(t, place(restoring.Restore{Replace: true, NoKeep: true}, cofre.Promise{Staging: cofre.StagedAmong, Replaced: cofre.ReplacedLost}))
	})
}
