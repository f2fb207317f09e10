package files_test

import (
	"os"
	"path/filepath"
	"strings"
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
	of := func(base string, from captured, to files.TargetConfig, promise cofre.Promise, undo func(*testing.T, *cofre.Outcome)) targettest.Place {
		return targettest.Place{
			New: func() cofre.Target { return files.NewTarget(to) }, Component: from.component, Tree: from.tree, Promise: promise,
			State: func(t *testing.T) map[string]string { return targettest.Folders(t, base) },
			Undo:  undo,
		}
	}
	removed := func(pattern string) func(*testing.T, *cofre.Outcome) {
		return func(t *testing.T, _ *cofre.Outcome) {
			paths, err := filepath.Glob(pattern)
			if err != nil || len(paths) == 0 {
				t.Fatalf("%s: %q, %v", pattern, paths, err)
			}
			for _, path := range paths {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	apart := cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
	t.Run("into a new folder", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			return of(base, from, files.TargetConfig{To: base + "/on/the/way/to"}, apart, removed(base+"/on"))
		})
	})
	t.Run("into an empty folder", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			if err := os.Mkdir(base+"/to", 0o755); err != nil {
				t.Fatal(err)
			}
			return of(base, from, files.TargetConfig{To: base + "/to"}, apart, removed(base+"/to/*"))
		})
	})
	t.Run("in place", func(t *testing.T) {
		targettest.Run(t, func(t *testing.T) targettest.Place {
			base, from := place(t)
			return of(base, from, files.TargetConfig{}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept}, nil)
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
	if len(out.Kept) != 1 || out.Kept[0].Was != etc+"/sub" || !strings.HasPrefix(out.Kept[0].Said.Text, etc+"/sub: mode 0700, ") {
		t.Errorf("kept %q", out.Kept)
	}
}
