package export_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// exports are made below root, in directories that are there and that are not.
func exports(t *testing.T) map[string]func(root string) error {
	s := testkit.Postgres(t, testkit.DefaultMajor)
	database := s.Database(t)
	s.Exec(t, database, "CREATE TABLE one AS SELECT g FROM generate_series(1, 1000) g; CREATE TABLE two AS SELECT 2 AS n")
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	ctx := t.Context()
	return map[string]func(root string) error{
		"a directory":     func(root string) error { return export.Directory(ctx, c.Tree, root, cofre.Discard) },
		"a new directory": func(root string) error { return export.Directory(ctx, c.Tree, root+"/new/on/the/way", cofre.Discard) },
		"a script": func(root string) error {
			return export.File(root+"/out.sql", func(w io.Writer) error { return export.SQL(ctx, c.Tree, logical.Filter{}, w, cofre.Discard) })
		},
		"rows": func(root string) error {
			return export.File(root+"/out.csv", func(w io.Writer) error {
				_, err := export.CSV(ctx, c.Tree, export.CSVOptions{Table: "one"}, w, cofre.Discard)
				return err
			})
		},
	}
}

func TestAnExportSurvivesACrash(t *testing.T) {
	t.Parallel()
	for name, do := range exports(t) {
		root := t.TempDir()
		lost, err := durabletest.Lost(root, func() error { return do(root) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, what := range lost {
			t.Errorf("%s: a crash takes %s", name, strings.ReplaceAll(what, root, ""))
		}
		durabletest.EachStepFails(t, func() (string, func() error) {
			root := t.TempDir()
			return root, func() error { return do(root) }
		})
	}
}

// TestTheTableOfContentsComesLast: an archive that has one has everything else on the disk, names included.
func TestTheTableOfContentsComesLast(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	do := exports(t)["a directory"]
	var steps []string
	stop := durable.Watch(func(s durable.Step) error {
		if strings.HasPrefix(s.Path, dir) {
			steps = append(steps, string(s.Op)+" "+strings.TrimPrefix(s.Path, dir))
		}
		return nil
	})
	err := do(dir)
	stop()
	if err != nil {
		t.Fatal(err)
	}
	toc := slices.Index(steps, "sync /archive/toc.dat")
	if want := []string{"sync-dir /archive", "sync-dir ", "sync /archive/toc.dat", "sync-dir /archive"}; toc < 4 || !slices.Equal(steps[toc-2:], want) {
		t.Errorf("steps %q, want at the end %q", steps, want)
	}
}

// TestAFileHasItsNameWhenItIsWhole: whatever ends the export before, a kill too, leaves no script that looks whole.
func TestAFileHasItsNameWhenItIsWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out.sql")
	err := export.File(path, func(w io.Writer) error {
		if _, err := w.Write([]byte("CREATE TABLE a ();\n")); err != nil {
			return err
		}
		if _, err := os.Lstat(path); err == nil {
			t.Error("half a script has its name")
		}
		return io.ErrUnexpectedEOF
	})
	if left, _ := os.ReadDir(dir); !errors.Is(err, io.ErrUnexpectedEOF) || len(left) > 0 {
		t.Errorf("%v; %v is left", err, left)
	}
	if err := export.File(path, func(w io.Writer) error { _, err := w.Write([]byte("whole")); return err }); err != nil {
		t.Fatal(err)
	}
	asked := false
	err = export.File(path, func(io.Writer) error { asked = true; return nil })
	if !errors.Is(err, cofre.ErrExists) || cofre.Hint(err) == "" || asked {
		t.Errorf("over another: %v, and it was begun: %t", err, asked)
	}
	other := filepath.Join(dir, "late.sql")
	err = export.File(other, func(io.Writer) error { return os.WriteFile(other, []byte("of another"), 0o600) })
	if b, _ := os.ReadFile(other); !errors.Is(err, cofre.ErrExists) || !bytes.Equal(b, []byte("of another")) {
		t.Errorf("over one that came meanwhile: %v, %q", err, b)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("%v is left", left)
	}
}
