package blobs

import (
	"testing"

	"github.com/kopia/kopia/repo/blob"
)

func TestNamesAreThoseOfKopia(t *testing.T) {
	for id, want := range map[blob.ID]string{
		"kopia.repository": "kopia.repository.f",
		"p0123456789abcdef0123456789abcdef-s0123456789abcdef12d": "p/012/3456789abcdef0123456789abcdef-s0123456789abcdef12d.f",
		"xe12": "xe12.f",
		"xn0_0123456789abcdef0123456789abcdef-s1-c1": "x/n0_/0123456789abcdef0123456789abcdef-s1-c1.f",
	} {
		if got := (folderNames{}).Name(id); got != want {
			t.Errorf("%s is %s in a folder, want %s", id, got, want)
		}
		if back, ok := (folderNames{}).ID(want); !ok || back != id {
			t.Errorf("%s is the blob %s, %v, want %s", want, back, ok, id)
		}
		if back, ok := (bucketNames{}).ID(string(id)); !ok || back != id {
			t.Errorf("%s in a bucket is the blob %s, %v", id, back, ok)
		}
	}
	for _, name := range []string{"cofre/seals/x-a", "wal/1/2/3", "wal/1/000000010000000000000001.f", "README.f", "p/x.f", "photos/2024/a.f", ".shards", ""} {
		if id, ok := (folderNames{}).ID(name); ok {
			t.Errorf("%q is taken for the blob %s", name, id)
		}
		if id, ok := (bucketNames{}).ID(name); ok {
			t.Errorf("%q is taken for the blob %s", name, id)
		}
	}
}
