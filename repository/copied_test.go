package repository_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store"
)

// TestARepositoryThatWasCopiedIntoAStoreOfTheOtherKind is copied file by file, as aws s3 sync and rclone do, from a folder into a bucket and from a bucket
// into a folder: it has the names of where it was, and goes on under them.
func TestARepositoryThatWasCopiedIntoAStoreOfTheOtherKind(t *testing.T) {
	server := testkit.S3(t)
	for what, c := range map[string][2]repository.Config{
		"folder to bucket": {folderConfig(t), s3Config(t, server, "copied")},
		"bucket to folder": {s3Config(t, server, "original"), folderConfig(t)},
	} {
		t.Run(what, func(t *testing.T) {
			h := newHistory(t, c[0])
			to, err := store.Open(t.Context(), store.Config{URL: c[1].URL, AccessKey: c[1].AccessKey, SecretKey: c[1].SecretKey, Create: true})
			if err != nil {
				t.Fatal(err)
			}
			for o, err := range h.store.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				copyObject(t, h.store, to, o.Name)
			}
			if _, err := repository.Init(t.Context(), c[1]); err == nil {
				t.Fatal("another was made in its place")
			}
			r := open(t, c[1])
			h.add(t, r, h.latest)
			if _, err := r.Prune(t.Context(), false); err != nil {
				t.Errorf("prune: %v", err)
			}
			if wrong := h.restores(t, r); len(wrong) > 0 {
				t.Errorf("restored from the copy:\n%s", strings.Join(wrong, "\n"))
			}
			again := open(t, elsewhere(t, c[1]))
			if wrong := findings(t, again, points(t, again), cofre.LevelContent); len(wrong) > 0 {
				t.Errorf("verified: %+v", wrong)
			}
		})
	}
}

func copyObject(t *testing.T, from, to cofre.Store, name string) {
	t.Helper()
	r, err := from.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil {
		err = to.Create(t.Context(), name, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
}
