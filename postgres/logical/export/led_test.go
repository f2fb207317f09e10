package export_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// swapping is a tree that gives the parent of an export's directory another place when the first file is read, and a link its own.
type swapping struct {
	cofre.Tree
	swap func()
	done bool
}

func (s *swapping) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if strings.HasSuffix(path, ".dat") && !strings.HasSuffix(path, "toc.dat") && !s.done {
		s.done = true
		s.swap()
	}
	return s.Tree.Open(ctx, path)
}

// TestAnExportIsLedNowhere: what is exported goes into the directory that was opened, and a link of somebody else's leads to nothing that is not theirs.
func TestAnExportIsLedNowhere(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, testkit.DefaultMajor)
	database := s.Database(t)
	s.Exec(t, database, "CREATE TABLE one AS SELECT g FROM generate_series(1, 1000) g")
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	text := func(w io.Writer) error {
		_, err := io.WriteString(w, "text")
		return err
	}
	ways := map[string]func(to string, swap func()) error{
		"directory": func(to string, swap func()) error {
			return export.Directory(t.Context(), &swapping{Tree: c.Tree, swap: swap}, to, cofre.Discard)
		},
		"file": func(to string, swap func()) error {
			return export.File(to, func(w io.Writer) error {
				swap()
				return text(w)
			})
		},
	}
	for name, write := range ways {
		at := t.TempDir()
		theirs, roots, moved := filepath.Join(at, "theirs"), filepath.Join(at, "roots"), filepath.Join(at, "moved")
		must(t, os.Mkdir(theirs, 0o755), os.MkdirAll(filepath.Join(roots, "out", "archive"), 0o755))
		swapped := false
		must(t, write(filepath.Join(theirs, "out"), func() {
			swapped = true
			must(t, os.Rename(theirs, moved), os.Symlink(roots, theirs))
		}))
		if _, err := os.Stat(filepath.Join(moved, "out")); err != nil || !swapped {
			t.Errorf("%s: swapped %v, %v", name, swapped, err)
		}
		holdsNothing(t, name, roots)
		if os.Geteuid() != 0 {
			continue // gives links away
		}
		link := filepath.Join(at, "link")
		must(t, os.Symlink(roots, link), os.Lchown(link, 65534, 65534))
		if err := write(filepath.Join(link, "new"), func() {}); !errors.Is(err, cofre.ErrRefused) {
			t.Errorf("%s through a link of somebody else's: %v", name, err)
		}
		holdsNothing(t, name, roots)
	}
}

// holdsNothing looks for files below a directory.
func holdsNothing(t *testing.T, name, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() || strings.HasSuffix(path, "new") {
			t.Errorf("%s led to %s", name, path)
		}
		return err
	}))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
