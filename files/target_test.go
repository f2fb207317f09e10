package files_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/restore/targettest"
)

func TestTargetsKeepWhatTheyPromise(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	// place captures a few files, changes some and removes others.
	place := func(t *testing.T) (base string, from captured) {
		base = t.TempDir()
		etc := filepath.Join(base, "etc")
		write(t, etc+"/same", "same")
		write(t, etc+"/changed", "as captured")
		write(t, etc+"/sub/gone", "gone since")
		from = capture(t, files.Config{Paths: []string{etc}})
		write(t, etc+"/changed", "the work of today")
		write(t, etc+"/new", "not captured")
		if err := os.RemoveAll(etc + "/sub"); err != nil {
			t.Fatal(err)
		}
		return base, from
	}
	of := func(base string, from captured, to files.TargetConfig, promise cofre.Promise) targettest.Place {
		return targettest.Place{
			Target: files.NewTarget(to), Component: from.component, Tree: from.tree, Promise: promise,
			State: func(t *testing.T) map[string]string { return targettest.Folders(t, base) },
		}
	}
	apart := cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
	t.Run("into a new folder", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			return of(base, from, files.TargetConfig{To: base + "/on/the/way/to"}, apart)
		})
	})
	t.Run("into an empty folder", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			if err := os.Mkdir(base+"/to", 0o755); err != nil {
				t.Fatal(err)
			}
			return of(base, from, files.TargetConfig{To: base + "/to"}, apart)
		})
	})
	t.Run("in place", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			return of(base, from, files.TargetConfig{}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept})
		})
	})
}

func TestAFolderThatWasAdjustedIsNamedAsItWas(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	if err := os.MkdirAll(etc+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(etc+"/sub/a", []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := capture(t, files.Config{Paths: []string{etc}})
	if err := os.Chmod(etc+"/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	out := restore(t, from, files.TargetConfig{})
	if len(out.Kept) != 1 || out.Kept[0][:len(etc)+len("/sub: mode 0700, ")] != etc+"/sub: mode 0700, " {
		t.Errorf("kept %q", out.Kept)
	}
}
