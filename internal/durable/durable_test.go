package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// watched does something and returns its steps and its error. The steps named failing fail.
func watched(failing durable.Op, err error, do func() error) (steps []durable.Step, _ error) {
	stop := durable.Watch(func(s durable.Step) error {
		if f, err := os.Stat(s.At); s.At != "" && (err != nil || !f.Mode().IsRegular()) {
			return fmt.Errorf("%s is at %s: %w", s.Path, s.At, err)
		}
		steps = append(steps, durable.Step{Op: s.Op, Path: s.Path})
		if s.Op == failing {
			return err
		}
		return nil
	})
	defer stop()
	failed := do()
	return steps, failed
}

func TestTheOrderOfSteps(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(other, "moved")
	for _, c := range []struct {
		name string
		do   func() error
		want []durable.Step
	}{
		{
			"write", func() error { return durable.WriteFile(path, 0o644, text("one")) },
			[]durable.Step{{Op: durable.OpSync, Path: path}, {Op: durable.OpRename, Path: path}, {Op: durable.OpSyncDir, Path: dir}},
		},
		{
			"rename into another directory", func() error { return durable.Rename(path, moved) },
			[]durable.Step{{Op: durable.OpRename, Path: moved}, {Op: durable.OpSyncDir, Path: other}, {Op: durable.OpSyncDir, Path: dir}},
		},
		{
			"remove", func() error { return durable.Remove(moved) },
			[]durable.Step{{Op: durable.OpRemove, Path: moved}, {Op: durable.OpSyncDir, Path: other}},
		},
		{
			"create", func() error {
				f, err := durable.Create(path, 0o600)
				if err != nil {
					return err
				}
				return f.PublishNew()
			},
			[]durable.Step{{Op: durable.OpSync, Path: path}, {Op: durable.OpCreate, Path: path}, {Op: durable.OpSyncDir, Path: dir}},
		},
	} {
		steps, err := watched("", nil, c.do)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !reflect.DeepEqual(steps, c.want) {
			t.Errorf("%s: steps %v, want %v", c.name, steps, c.want)
		}
	}
}

func TestAFailedStepLeavesWhatWasThere(t *testing.T) {
	for _, op := range []durable.Op{durable.OpSync, durable.OpRename} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := durable.WriteFile(path, 0o644, text("old")); err != nil {
			t.Fatal(err)
		}
		steps, err := watched(op, syscall.EIO, func() error { return durable.WriteFile(path, 0o644, text("new")) })
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: %v, want an I/O error", op, err)
		}
		if got := content(t, path); got != "old" {
			t.Errorf("%s fails: the file holds %q, want what it held", op, got)
		}
		if last := steps[len(steps)-1]; last.Op != op {
			t.Errorf("%s fails: %s was done after it", op, last.Op)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s fails: %d files are left, want 1", op, len(left))
		}
	}
}

func TestAnUnsyncedNameIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for name, do := range map[string]func() error{
		"write":  func() error { return durable.WriteFile(path, 0o644, text("x")) },
		"rename": func() error { return durable.Rename(path, path+"2") },
		"remove": func() error { return durable.Remove(path + "2") },
	} {
		_ = os.WriteFile(path, nil, 0o600)
		_ = os.WriteFile(path+"2", nil, 0o600)
		if _, err := watched(durable.OpSyncDir, syscall.EIO, do); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want an I/O error", name, err)
		}
	}
}

func TestPublishNewNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	for i, want := range []error{nil, fs.ErrExist} {
		f, err := durable.Create(path, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, i)
		if err := f.PublishNew(); !errors.Is(err, want) {
			t.Errorf("writer %d: %v, want %v", i, err, want)
		}
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
	}
	if got := content(t, path); got != "0" {
		t.Errorf("the file holds %q, want what the first wrote", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left, want 1", len(left))
	}
}

func TestAWriterThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	err := durable.WriteFile(filepath.Join(dir, "file"), 0o644, func(w io.Writer) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("%v, want the writer's error", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files are left, want none", len(left))
	}
}

func TestModeAndLongNames(t *testing.T) {
	name := ""
	for range 255 {
		name += "n"
	}
	path := filepath.Join(t.TempDir(), name)
	if err := durable.WriteFile(path, 0o600, text("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
}

func TestFull(t *testing.T) {
	for _, c := range []struct{ err, want error }{
		{&fs.PathError{Op: "write", Err: syscall.ENOSPC}, cofre.ErrDiskFull},
		{syscall.EDQUOT, cofre.ErrDiskFull},
		{syscall.EFBIG, cofre.ErrDiskFull},
		{syscall.EROFS, cofre.ErrReadOnly},
	} {
		if got := durable.Full(c.err); !errors.Is(got, c.want) || !errors.Is(got, c.err) {
			t.Errorf("Full(%v) is %v, want it to be %v too", c.err, got, c.want)
		}
	}
	if durable.Full(nil) != nil || durable.Full(syscall.EIO) != syscall.EIO {
		t.Error("other errors do not stay as they are")
	}
}

// TestErrorsNameTheFolder has files written through an open folder, whose errors name it and not the number that it is open under.
func TestErrorsNameTheFolder(t *testing.T) {
	at := t.TempDir()
	folder, err := os.Open(at)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	within := func(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name) }
	closed := func(write func(f *durable.File) error) error {
		f, err := durable.Create(within("closed"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		defer f.Discard()
		return write(f)
	}
	for what, err := range map[string]error{
		"write":  closed(func(f *durable.File) error { _, err := f.Write([]byte("x")); return err }),
		"copy":   closed(func(f *durable.File) error { _, err := io.Copy(f, strings.NewReader("x")); return err }),
		"create": func() error { _, err := durable.CreateAs(within("no/such"), within("x"), 0o600); return err }(),
		"rename": durable.Rename(within("none"), within("other")),
		"sync":   durable.SyncFile(within("none")),
	} {
		if err == nil || strings.Contains(err.Error(), "/proc/") || !strings.Contains(err.Error(), at) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
