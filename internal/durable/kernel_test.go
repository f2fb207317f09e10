package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// pipe is an open file that the kernel refuses to sync: a sync that is said to be done and is not leaves no error.
func pipe(t *testing.T, name string) *os.File {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "the other end"), os.NewFile(uintptr(fds[1]), name)
	t.Cleanup(func() { r.Close(); w.Close() })
	return w
}

// The steps that Watch sees are carried out: the kernel's own answer comes back.
func TestTheKernelIsAskedToSync(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Sync":     func() error { return durable.Sync(pipe(t, "pipe")) },
		"SyncFile": func() error { return durable.SyncFile(fifo) },
		"SyncDir":  func() error { return durable.SyncDir("/proc") },
	} {
		if err := do(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s of what cannot be synced: %v, want the kernel's EINVAL", name, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for name, do := range map[string]func() error{
		"SyncFile":  func() error { return durable.SyncFile(missing) },
		"SyncDir":   func() error { return durable.SyncDir(missing) },
		"Rename":    func() error { return durable.Rename(missing, missing+"2") },
		"WriteFile": func() error { return durable.WriteFile(filepath.Join(missing, "file"), 0o600, text("x")) },
	} {
		if err := do(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v, want that", name, err)
		}
	}
}

func TestPublishSyncsTheFileItself(t *testing.T) {
	for name, publish := range map[string]func(*durable.File) error{
		"Publish": (*durable.File).Publish, "PublishNew": (*durable.File).PublishNew,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		f, err := durable.Create(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		temp := f.File
		defer temp.Close()
		f.File = pipe(t, temp.Name()) // it has the name of the temporary file, which could be renamed
		if err := publish(f); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s of a file that cannot be synced: %v, want the kernel's EINVAL", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s of a file that cannot be synced left %v", name, left)
		}
	}
}

func TestAFileIsClosedInAnyCase(t *testing.T) {
	for name, end := range map[string]func(*durable.File) error{
		"Publish": (*durable.File).Publish, "PublishNew": (*durable.File).PublishNew, "Discard": (*durable.File).Discard,
	} {
		f, err := durable.Create(filepath.Join(t.TempDir(), "file"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := f.Write([]byte("late")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after %s a write ends with %v, want that the file is closed", name, err)
		}
	}
}

// Discard says what it could not remove, and touches nothing that has come to stand under the name after Publish.
func TestDiscard(t *testing.T) {
	dir := t.TempDir()
	temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "file")
	create := func() *durable.File {
		t.Helper()
		f, err := durable.CreateAs(temp, path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := create()
	if _, err := durable.CreateAs(temp, path, 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of the same temporary name: %v, want that it exists", err)
	}
	if err := f.Publish(); err != nil {
		t.Fatal(err)
	}
	again := create()
	if err := f.Discard(); err != nil {
		t.Errorf("discard after publish: %v", err)
	}
	if _, err := os.Stat(temp); err != nil {
		t.Errorf("discard after publish removed another's file: %v", err)
	}
	if err := errors.Join(again.Discard(), again.Discard()); err != nil {
		t.Errorf("discard twice: %v", err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a discarded file is there: %v", err)
	}
	again = create()
	if err := errors.Join(again.Discard(), os.WriteFile(temp, nil, 0o600), again.Discard()); err != nil {
		t.Errorf("discard twice: %v", err)
	}
	if err := os.Remove(temp); err != nil {
		t.Errorf("the second discard removed another's file: %v", err)
	}
	f = create()
	if err := os.Remove(temp); err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Errorf("discard what another has removed: %v", err)
	}
	f = create()
	if err := errors.Join(os.Remove(temp), os.MkdirAll(filepath.Join(temp, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err == nil {
		t.Error("discard of what cannot be removed succeeded")
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	if steps, err := watched("", nil, func() error { return durable.Remove(filepath.Join(dir, "missing")) }); err != nil || len(steps) != 1 {
		t.Errorf("remove what is not there: %v, %v, want it done by one step", steps, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "full", "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(filepath.Join(dir, "full")); err == nil {
		t.Error("removed a directory that is not empty")
	}
	if _, err := os.Stat(filepath.Join(dir, "full", "child")); err != nil {
		t.Error(err)
	}
}

func TestALinkNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for i, want := range []error{nil, fs.ErrExist} {
		if err := os.WriteFile(from, []byte{byte('a' + i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := durable.LinkNew(from, to); !errors.Is(err, want) {
			t.Errorf("writer %d: %v, want %v", i, err, want)
		}
		if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) != (want == nil) {
			t.Errorf("writer %d: its temporary name: %v", i, err)
		}
	}
	if got := content(t, to); got != "a" {
		t.Errorf("the file holds %q, want what the first wrote", got)
	}
}

func TestWatchersAreToldThePathThroughAFolder(t *testing.T) {
	dir := t.TempDir()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	path := filepath.Join("/proc/self/fd", fmt.Sprint(folder.Fd()), "file")
	steps, err := watched("", nil, func() error { return durable.WriteFile(path, 0o600, text("x")) })
	want := filepath.Join(dir, "file")
	if err != nil || len(steps) != 3 || steps[0].Path != want || steps[1].Path != want || steps[2].Path != dir {
		t.Errorf("%v, %v, want the steps at %s", steps, err, want)
	}
}

func TestTwoWatchersSeeTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var one, two int
	stopOne := durable.Watch(func(durable.Step) error { one++; return nil })
	stopTwo := durable.Watch(func(durable.Step) error { two++; return nil })
	write := func() {
		t.Helper()
		if err := durable.WriteFile(path, 0o600, text("x")); err != nil {
			t.Fatal(err)
		}
	}
	write()
	stopOne()
	write()
	stopTwo()
	write()
	if one != 3 || two != 6 {
		t.Errorf("the first saw %d steps and the second %d, want 3 and 6", one, two)
	}
}

func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	unlock, err := durable.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := durable.LockDir(dir); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("locked twice: %v, want cofre.ErrLocked", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	unlock, err = durable.LockDir(dir)
	if err != nil {
		t.Fatalf("after it was unlocked: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if _, err := durable.LockDir(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v, want that", err)
	}
}

func TestMkdirAll(t *testing.T) {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, name) }
	steps, err := watched("", nil, func() error { return durable.MkdirAll(at("a/b"), 0o700) })
	if want := []durable.Step{{Op: durable.OpSyncDir, Path: root}, {Op: durable.OpSyncDir, Path: at("a")}}; err != nil || !slices.Equal(steps, want) {
		t.Errorf("%v, %v, want %v", steps, err, want)
	}
	if steps, err := watched("", nil, func() error { return durable.MkdirAll(at("a/b"), 0o700) }); err != nil || len(steps) != 0 {
		t.Errorf("what is there: %v, %v, want nothing done", steps, err)
	}
	if _, err := watched(durable.OpSyncDir, syscall.EIO, func() error { return durable.MkdirAll(at("c"), 0o700) }); !errors.Is(err, syscall.EIO) {
		t.Errorf("a name that is not durable: %v, want an I/O error", err)
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", at("link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "file/below", "link", "link/below"} {
		if err := durable.MkdirAll(at(name), 0o700); err == nil {
			t.Errorf("%s: a folder was made in the place of something else", name)
		}
	}
}

func TestNothingStaysOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	open := func() int {
		t.Helper()
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := open()
	for range 20 {
		err := errors.Join(durable.WriteFile(path, 0o600, text("x")), durable.SyncFile(path), durable.SyncDir(dir))
		if unlock, lockErr := durable.LockDir(dir); lockErr != nil {
			err = errors.Join(err, lockErr)
		} else {
			_, second := durable.LockDir(dir)
			if !errors.Is(second, cofre.ErrLocked) {
				t.Fatalf("locked twice: %v", second)
			}
			err = errors.Join(err, unlock())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if after := open(); after > before+5 {
		t.Errorf("%d files were open, and %d are", before, after)
	}
}

// Whoever locks a directory has the one that bears the name, also while others remove it and make it again.
func TestOneHoldsADirectoryThatComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	var g sync.WaitGroup
	for n := range 4 {
		g.Go(func() {
			for i := range 1000 {
				// It is there when it is made, and may have been renamed when that is looked at.
				if err := os.MkdirAll(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
					t.Error(err)
					return
				}
				unlock, err := durable.LockDir(dir)
				if errors.Is(err, cofre.ErrLocked) || errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				gone := fmt.Sprintf("%s.%d.%d", dir, n, i)
				err = errors.Join(os.Mkdir(filepath.Join(dir, "mine"), 0o700), os.Rename(dir, gone), unlock(), os.RemoveAll(gone))
				if err != nil {
					t.Errorf("two held the directory: %v", err)
					return
				}
			}
		})
	}
	g.Wait()
}
