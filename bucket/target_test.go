package bucket_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
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
				New: func() cofre.Target { return restoring.NewTarget(o) }, Component: *r.last, Tree: r.lastTree, Promise: promise,
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

// A store of another kind than a folder: what is missing, what is otherwise, and what was not captured.
func keepsItsPromises(t *testing.T, open func(t *testing.T) (r *room, store bucket.Store, id string)) {
	place := func(o restoring.Restore, promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			r, store, id := open(t)
			put := func(name, content string) {
				t.Helper()
				o := bucket.Object{Bucket: id, Name: name, Size: int64(len(content)), ContentType: "text/plain", Metadata: json.RawMessage(`{"case":"1"}`)}
				_, err := store.Put(t.Context(), o, strings.NewReader(content))
				must(t, err)
			}
			put("same", "same")
			put("changed", "as captured")
			put("gone", "gone since")
			r.config.Store = store
			r.capture()
			put("changed", "the work of today")
			put("new", "not captured")
			contents(t, store) // the first answer after a change may be an error
			must(t, store.Delete(t.Context(), id, "gone"))
			o := o
			o.To, o.TempDir, o.StateDir = store, t.TempDir(), t.TempDir()
			return targettest.Place{
				New: func() cofre.Target { return restoring.NewTarget(o) }, Component: *r.last, Tree: r.lastTree, Promise: promise,
				State: func(t *testing.T) map[string]string { return contents(t, store) },
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

func TestS3KeepsWhatItPromises(t *testing.T) {
	keepsItsPromises(t, func(t *testing.T) (*room, bucket.Store, string) {
		r, server := newRoom(t), testkit.S3(t)
		store, err := s3.Open(s3client.Config{
			Endpoint: server.Endpoint, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey), Patience: time.Second,
		})
		must(t, err)
		return r, store, server.Bucket
	})
}

func TestSupabaseKeepsWhatItPromises(t *testing.T) {
	keepsItsPromises(t, func(t *testing.T) (*room, bucket.Store, string) {
		r := newRoom(t)
		r.ensure(bucket.Bucket{ID: "evidence", Public: true}) // without limits, which a restore lifts meanwhile
		return r, r.store, "evidence"
	})
}
