package dir_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
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

// TestAFolderExchangedSinceItWasListed for a link is not read, also of an object of an odd name; a link within the bucket is.
func TestAFolderExchangedSinceItWasListed(t *testing.T) {
	at := t.TempDir()
	root, away := filepath.Join(at, "root"), filepath.Join(at, "away")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "b", "in"), 0o755), os.Mkdir(away, 0o755), os.WriteFile(filepath.Join(root, "b", "in", "x"), []byte("x"), 0o644),
		os.WriteFile(filepath.Join(away, "x"), []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := s.Put(t.Context(), bucket.Object{Bucket: "b", Name: "odd//name", Size: 3}, strings.NewReader("odd"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(o bucket.Object) (string, error) {
		_, r, err := s.Open(t.Context(), o)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), errors.Join(err, r.Close())
	}
	var seen bucket.Object
	for o, err := range s.List(t.Context(), "b", "in/") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Name == "in/x" {
			seen = o
		}
	}
	exchange := func(path, to string) {
		t.Helper()
		if err := errors.Join(os.Rename(path, path+".moved"), os.Symlink(to, path)); err != nil {
			t.Fatal(err)
		}
	}
	exchange(filepath.Join(root, "b", "in"), "in.moved")
	if text, err := read(seen); err != nil || text != "x" {
		t.Errorf("through a link within the bucket: %q, %v", text, err)
	}
	if err := os.Remove(filepath.Join(root, "b", "in")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(away, filepath.Join(root, "b", "in")); err != nil {
		t.Fatal(err)
	}
	if text, err := read(seen); err == nil {
		t.Errorf("through a link out of the bucket: %q", text)
	}
	odds := filepath.Join(root, ".cofre", "odd")
	if text, err := read(odd); err != nil || text != "odd" {
		t.Errorf("an odd name: %q, %v", text, err)
	}
	if err := os.Rename(odds, filepath.Join(away, "odd")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(away, "odd"), odds); err != nil {
		t.Fatal(err)
	}
	if text, err := read(odd); err == nil {
		t.Errorf("an odd name through a link out of the store: %q", text)
	}
}

// TestABucketThatIsAnothersLink: root captures, and restores, what a user's link leads to only if it is that user's, also if the link is exchanged for another in between.
func TestABucketThatIsAnothersLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	const nobody = 65534
	at := t.TempDir()
	root, theirs, ours := filepath.Join(at, "root"), filepath.Join(at, "theirs"), filepath.Join(at, "ours")
	if err := errors.Join(os.Mkdir(root, 0o755), os.Mkdir(theirs, 0o755), os.Chown(theirs, nobody, nobody), os.Mkdir(ours, 0o700),
		os.WriteFile(filepath.Join(theirs, "x"), []byte("theirs"), 0o644), os.WriteFile(filepath.Join(ours, "x"), []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "b")
	lead := func(to string, owner int) {
		t.Helper()
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := errors.Join(os.Symlink(to, link), os.Lchown(link, owner, owner)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		to    string
		owner int
		read  bool
	}{"to what is theirs": {theirs, nobody, true}, "root's own": {ours, 0, true}, "to what is ours": {ours, nobody, false}} {
		lead(c.to, c.owner)
		_, err := s.Buckets(t.Context(), "b")
		var o bucket.Object
		listed := 0
		for found, listErr := range s.List(t.Context(), "b", "") {
			if listErr == nil {
				o = found
				listed++
			}
		}
		if c.read != (err == nil) || c.read != (listed == 1) || !c.read && !errors.Is(err, cofre.ErrRefused) {
			t.Errorf("%s: %d listed, %v", name, listed, err)
		}
		if !c.read {
			continue
		}
		// It was listed, and is exchanged.
		lead(ours, nobody)
		if _, r, err := s.Open(t.Context(), o); err == nil {
			b, _ := io.ReadAll(r)
			t.Errorf("%s: exchanged, and read: %q", name, b)
		}
		s.FollowLink(bucket.Bucket{ID: "b", Link: ours})
		if _, err := s.Put(t.Context(), bucket.Object{Bucket: "b", Name: "y", Size: 1}, strings.NewReader("y")); !errors.Is(err, cofre.ErrRefused) {
			t.Errorf("%s: exchanged, and written: %v", name, err)
		}
	}
}
