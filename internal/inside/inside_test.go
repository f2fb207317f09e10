package inside_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
)

// other is a user who is neither root nor this process's.
const other = 65534

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestALinkLeadsToWhatItsMakerOwns: a link of root may lead anywhere, one of another user only to what is that user's.
func TestALinkLeadsToWhatItsMakerOwns(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	at := t.TempDir()
	roots, theirs := filepath.Join(at, "roots"), filepath.Join(at, "theirs")
	must(t, os.MkdirAll(filepath.Join(roots, "below"), 0o755), os.MkdirAll(filepath.Join(theirs, "below"), 0o755),
		os.Chown(theirs, other, other), os.Chown(filepath.Join(theirs, "below"), other, other))
	link := func(name, to string, uid int) string {
		path := filepath.Join(at, name)
		must(t, os.Symlink(to, path), os.Lchown(path, uid, uid))
		return path
	}
	for _, c := range []struct {
		path string
		led  bool
	}{
		{link("of-root", theirs, 0), false},
		{link("of-root-to-root", "roots/below", 0), false},
		{link("own", "theirs/below", other), false},
		{link("away", roots, other), true},
		{link("up", "theirs/../roots", other), true},
		{filepath.Join(link("on-the-way", at, other), "roots", "below"), true},
		{filepath.Join(link("back", at, other), "theirs", "below"), false},
		{link("by-another", "away", 0), true},
	} {
		d, err := inside.OpenAs(c.path)
		if errors.Is(err, cofre.ErrRefused) != c.led || err != nil && !c.led {
			t.Errorf("%s: %v, want refused %v", c.path, err, c.led)
		}
		if err == nil {
			must(t, d.Close())
		}
	}
	if _, err := inside.MakeAs(filepath.Join(at, "away", "made"), 0o700); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("made behind a link that leads away: %v", err)
	}
	if names, err := os.ReadDir(roots); err != nil || len(names) != 1 {
		t.Errorf("root's directory holds %v, %v", names, err)
	}
	d, err := inside.MakeAs(filepath.Join(at, "own", "made", "here"), 0o700)
	must(t, err, d.Close())
	if info, err := os.Stat(filepath.Join(theirs, "below", "made", "here")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("made %v, %v", info, err)
	}
	must(t, os.Symlink("loop", filepath.Join(at, "loop")))
	if _, err := inside.OpenAs(filepath.Join(at, "loop")); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("a link to itself: %v", err)
	}
}

// TestNoLinkIsFollowed by anything that takes a name, and what it leads to stays as it is.
func TestNoLinkIsFollowed(t *testing.T) {
	at := t.TempDir()
	room, away := filepath.Join(at, "room"), filepath.Join(at, "away")
	file := filepath.Join(away, "file")
	must(t, os.Mkdir(room, 0o700), os.Mkdir(away, 0o755), os.WriteFile(file, []byte("kept"), 0o600),
		os.Symlink(away, filepath.Join(room, "dir")), os.Symlink(file, filepath.Join(room, "file")), os.Symlink(filepath.Join(away, "new"), filepath.Join(room, "new")))
	d, err := inside.Open(room)
	must(t, err)
	defer d.Close()
	ignore := func(_ any, err error) error { return err }
	for name, do := range map[string]func() error{
		"sub":      func() error { return ignore(d.Sub("dir")) },
		"descend":  func() error { return ignore(d.Descend("dir/below", (*inside.Dir).Mkdir)) },
		"open":     func() error { return ignore(d.Open("file")) },
		"read":     func() error { return ignore(d.ReadFile("file", inside.MaxKept)) },
		"create":   func() error { return ignore(d.Create("new")) },
		"openfile": func() error { return ignore(d.OpenFile("new", os.O_WRONLY|os.O_CREATE, 0o600)) },
		"mkdir":    func() error { return d.Mkdir("new") },
	} {
		if err := do(); err == nil {
			t.Errorf("%s followed a link", name)
		}
	}
	must(t, d.Chown("file", os.Geteuid(), os.Getegid()), d.RemoveAll("dir"), d.RemoveAll("dir"), d.Remove("file"), d.Rename("new", "other"))
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("behind the link: %q, %v", b, err)
	}
	if names, err := os.ReadDir(away); err != nil || len(names) != 1 {
		t.Errorf("behind the links: %v, %v", names, err)
	}
	if real, err := d.Real(); err != nil || !strings.HasSuffix(real, "/room") {
		t.Errorf("it is %s, %v", real, err)
	}
}

// A directory that was swapped for a link is no loop: the error says what is in the way, and what to do, and is found by its number as before.
func TestALinkInTheWayIsNamed(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o700), os.WriteFile(filepath.Join(dir, "real", "f"), nil, 0o600), os.Symlink("real", filepath.Join(dir, "swapped")), os.Symlink("real/f", filepath.Join(dir, "f")))
	d, err := inside.Open(dir)
	must(t, err)
	defer d.Close()
	_, straight := inside.OpenStraight(filepath.Join(dir, "swapped", "f"), os.O_RDONLY)
	_, below := d.OpenStraight("swapped/f", os.O_RDONLY)
	_, file := d.OpenFile("f", os.O_RDONLY, 0)
	_, list := inside.List(filepath.Join(dir, "swapped"))
	for what, err := range map[string]error{"path": straight, "path below": below, "file": file, "list": list} {
		if !errors.Is(err, syscall.ELOOP) || strings.Contains(err.Error(), "too many levels") || !strings.Contains(err.Error(), "symbolic link") || cofre.Hint(err) == "" {
			t.Errorf("%s: %v: %s", what, err, cofre.Hint(err))
		}
	}
}
