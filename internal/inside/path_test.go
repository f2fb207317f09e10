package inside_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
)

// hello writes a text.
func hello(w io.Writer) error { _, err := io.WriteString(w, "hello"); return err }

// TestFilesBelowADirectoryOfAnotherUser: by whatever a name is taken that is another user's, nothing of root's is written, and no pipe is waited for.
func TestFilesBelowADirectoryOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	at := t.TempDir()
	roots, theirs := filepath.Join(at, "roots"), filepath.Join(at, "theirs")
	must(t, os.Mkdir(roots, 0o700), os.Mkdir(theirs, 0o700), os.WriteFile(filepath.Join(roots, "file"), []byte("of root"), 0o600))
	plant := func(name, to string) {
		must(t, os.Symlink(to, filepath.Join(theirs, name)), os.Lchown(filepath.Join(theirs, name), other, other))
	}
	plant("link", filepath.Join(roots, "file"))
	plant("directory", roots)
	must(t, os.Link(filepath.Join(roots, "file"), filepath.Join(theirs, "second")), syscall.Mkfifo(filepath.Join(theirs, "pipe"), 0o600), os.Chown(theirs, other, other))
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, cofre.ErrRefused) || cofre.Hint(err) == "" {
			t.Errorf("%s: %v, want refused with a hint", what, err)
		}
	}
	for _, name := range []string{"link", "second", "pipe", "directory/log"} {
		_, err := inside.OpenFile(filepath.Join(theirs, name), os.O_RDWR|os.O_CREATE|os.O_APPEND)
		refused("open "+name, err)
	}
	refused("write below a link", inside.WriteFile(filepath.Join(theirs, "directory", "new"), 0o600, 0o700, hello))
	refused("keep below a link", inside.WriteCache(filepath.Join(theirs, "directory", "new"), []byte("hello")))
	if _, err := inside.ReadFile(filepath.Join(theirs, "pipe")); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("read a pipe: %v", err)
	}
	// What has a file's name is replaced, and what it led to stays.
	must(t, inside.WriteFile(filepath.Join(theirs, "link"), 0o600, 0o700, hello), inside.WriteCache(filepath.Join(theirs, "second"), []byte("hello")))
	for _, name := range []string{"link", "second"} {
		if b, err := inside.ReadFile(filepath.Join(theirs, name)); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	names, err := os.ReadDir(roots)
	b, readErr := os.ReadFile(filepath.Join(roots, "file"))
	if err != nil || readErr != nil || len(names) != 1 || string(b) != "of root" {
		t.Errorf("root's: %v, %q, %v, %v", names, b, err, readErr)
	}
	if names, err = os.ReadDir(theirs); err != nil || len(names) != 4 {
		t.Errorf("theirs: %v, %v", names, err)
	}
}

// TestFilesOfAnOpenDirectory: a path of Dir.At leads into the directory that was opened, whatever has its name meanwhile.
func TestFilesOfAnOpenDirectory(t *testing.T) {
	at := t.TempDir()
	path := filepath.Join(at, "dir")
	must(t, os.Mkdir(path, 0o700))
	d, err := inside.Open(path)
	must(t, err)
	defer d.Close()
	must(t, os.Rename(path, filepath.Join(at, "moved")), os.Mkdir(path, 0o700))
	must(t, inside.WriteFile(d.At("below/file"), 0o600, 0o750, hello), inside.WriteCache(d.At("kept"), []byte("hello")))
	for _, name := range []string{"below/file", "kept"} {
		if b, err := os.ReadFile(filepath.Join(at, "moved", name)); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if info, err := os.Stat(filepath.Join(at, "moved", "below")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("made %v, %v", info, err)
	}
}

// TestAppend: a log may be where a link of this user's leads, or what is no file, and not where another's leads.
func TestAppend(t *testing.T) {
	at := t.TempDir()
	path := func(name string) string { return filepath.Join(at, name) }
	must(t, os.Symlink("log", path("own")), os.Symlink("own", path("twice")), os.Symlink("/dev/stderr", path("stderr")))
	for _, name := range []string{"log", "own", "twice"} {
		f, err := inside.Append(path(name), 0o640)
		must(t, err)
		must(t, hello(f), f.Close())
	}
	if b, err := os.ReadFile(path("log")); err != nil || string(b) != "hellohellohello" {
		t.Errorf("%q, %v", b, err)
	}
	f, err := inside.Append(path("stderr"), 0o640)
	must(t, err, f.Close())
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	must(t, os.Lchown(path("own"), other, other))
	for _, name := range []string{"own", "twice"} {
		if f, err := inside.Append(path(name), 0o640); !errors.Is(err, cofre.ErrRefused) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

// TestOwn: what another user owns, or anybody may write into, is not believed.
func TestOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives directories away")
	}
	at := t.TempDir()
	for i, c := range []struct {
		uid  int
		mode os.FileMode
		ok   bool
	}{{0, 0o755, true}, {0, 0o775, true}, {0, 0o777 | os.ModeSticky, false}, {other, 0o700, false}} {
		path := filepath.Join(at, fmt.Sprint(i))
		must(t, os.Mkdir(path, 0o700), os.Chown(path, c.uid, c.uid), os.Chmod(path, c.mode))
		if err := inside.Own(path); (err == nil) != c.ok || err != nil && (!errors.Is(err, cofre.ErrRefused) || cofre.Hint(err) == "") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
