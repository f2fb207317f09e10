package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
)

// TestAFolderThatIsAnothersLink leads root to nothing that is not theirs who made it.
func TestAFolderThatIsAnothersLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	at := t.TempDir()
	away, link := filepath.Join(at, "away"), filepath.Join(at, "link")
	if err := errors.Join(os.Mkdir(away, 0o755), os.Symlink(away, link), os.Lchown(link, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	s, err := dir.OpenNew(link)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lock(); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("locked: %v", err)
	}
	if err := s.Ensure(t.Context(), bucket.Bucket{ID: "b"}); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("a bucket was made: %v", err)
	}
	if names, err := os.ReadDir(away); err != nil || len(names) != 0 {
		t.Errorf("behind the link: %v, %v", names, err)
	}
}
