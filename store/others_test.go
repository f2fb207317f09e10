package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store"
)

// TestLinksOfOthersInAFolder: who may write into the folder of a repository, too, leads no write of root's elsewhere, and has it wait for no pipe.
func TestLinksOfOthersInAFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	dir, victim := t.TempDir(), t.TempDir()
	s := openStore(t, store.Config{URL: dir})
	kept := filepath.Join(victim, "b")
	if err := os.WriteFile(kept, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "a")
	if err := errors.Join(os.Symlink(victim, link), os.Lchown(link, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"create":        s.Create(t.Context(), "a/c", strings.NewReader("one"), 3),
		"create deeper": s.Create(t.Context(), "a/d/e", strings.NewReader("one"), 3),
		"replace":       s.Replace(t.Context(), "a/b", strings.NewReader("one"), 3),
		"delete":        s.Delete(t.Context(), "a/b"),
	} {
		if !errors.Is(err, cofre.ErrRefused) {
			t.Errorf("%s through a link of somebody else's: %v", what, err)
		}
	}
	if names, err := os.ReadDir(victim); err != nil || len(names) != 1 {
		t.Errorf("%v, %v: something was made or removed behind the link", names, err)
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "theirs" {
		t.Errorf("%q, %v", b, err)
	}
	// A link of root's own is a disk beside the first one.
	if err := os.Lchown(link, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(t.Context(), "a/c", strings.NewReader("one"), 3); err != nil {
		t.Error(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "pipe", 0, -1); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("a pipe: %v", err)
	}
}
