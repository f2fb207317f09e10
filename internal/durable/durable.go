// Package durable puts files and names on a disk so that a crash leaves the old state or the new one, whole.
//
// The order is always the same: the bytes are written to a temporary file in the same directory, the file is synced,
// it takes its name in one step, and the directory is synced. Without the first sync a crash can leave a whole name with
// missing bytes; without the second it can leave whole bytes without a name. Nothing is answered before both are done.
//
// File is that order for one file; MkdirAll, Rename, Remove and SyncDir are for names alone; Full turns what a disk says into the
// conditions of package cofre. Read File first.
//
// Every step tells Watch before it is carried out, so that tests see the order and make single steps fail.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

// Op is one kind of step.
type Op string

// The steps, as Watch sees them.
const (
	OpSync    Op = "sync"     // the bytes of a file
	OpSyncDir Op = "sync-dir" // the names in a directory
	OpRename  Op = "rename"   // a file or directory takes its name, and replaces what had it
	OpCreate  Op = "create"   // a file takes its name if nothing has it
	OpRemove  Op = "remove"   // a name goes
)

// Step is one step, before it is carried out. Path is the file or directory it acts on: of a rename, the new name. At is
// where a file stands that is on its way to Path; empty if it has that name.
type Step struct {
	Op   Op
	Path string
	At   string
}

// watchers are the functions of Watch. It is nil in a program.
var watchers atomic.Pointer[[]*func(Step) error]

// Watch has fn called before each step of this process, until stop is called. If fn returns an error, the step is not
// carried out and fails with it. It is for tests; fn sees the steps of tests that run beside it, and knows its own by the
// path.
func Watch(fn func(Step) error) (stop func()) {
	swap(func(all []*func(Step) error) []*func(Step) error { return append(all, &fn) })
	return func() {
		swap(func(all []*func(Step) error) []*func(Step) error {
			return slices.DeleteFunc(all, func(w *func(Step) error) bool { return w == &fn })
		})
	}
}

func swap(change func([]*func(Step) error) []*func(Step) error) {
	for {
		old := watchers.Load()
		var all []*func(Step) error
		if old != nil {
			all = slices.Clone(*old)
		}
		if all = change(all); len(all) == 0 {
			if watchers.CompareAndSwap(old, nil) {
				return
			}
		} else if watchers.CompareAndSwap(old, &all) {
			return
		}
	}
}

func step(op Op, path string, do func() error) error { return stepAt(op, "", path, do) }

func stepAt(op Op, at, path string, do func() error) error {
	if all := watchers.Load(); all != nil {
		s := Step{Op: op, Path: named(path), At: named(at)}
		for _, fn := range *all {
			if err := (*fn)(s); err != nil {
				return err
			}
		}
	}
	return told(do())
}

// told gives an error about a path through an open folder the folder's name: a number that this process gave it helps nobody.
func told(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return &fs.PathError{Op: e.Op, Path: named(e.Path), Err: e.Err}
	case *os.LinkError:
		return &os.LinkError{Op: e.Op, Old: named(e.Old), New: named(e.New), Err: e.Err}
	}
	return err
}

// named gives a path through an open folder (/proc/self/fd) the folder's name.
func named(path string) string {
	rest, ok := strings.CutPrefix(path, "/proc/self/fd/")
	fd, base, _ := strings.Cut(rest, "/")
	folder, err := os.Readlink("/proc/self/fd/" + fd)
	if !ok || err != nil {
		return path
	}
	return filepath.Join(folder, base)
}

// File is a file on its way to a name. It is written as any file, and then published or discarded.
type File struct {
	*os.File
	path string
	done bool
}

// Create begins a file that will be at path. Until it is published it stands in the same directory, under a name that
// begins with a dot and ends in ".tmp", which nobody else has. Its mode is mode, less the umask.
//
// Errors: those of the operating system; fs.ErrNotExist if the directory is missing.
func Create(path string, mode fs.FileMode) (*File, error) {
	for range 100 {
		temp := fmt.Sprintf(".%.100s.%08x.tmp", filepath.Base(path), rand.Uint32())
		f, err := CreateAs(filepath.Join(filepath.Dir(path), temp), path, mode)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("create a temporary file for %s: %w", path, fs.ErrExist)
}

// CreateAs is Create with a temporary name of the caller's, on the same file system.
//
// Errors: fs.ErrExist if something has that name; otherwise as Create.
func CreateAs(temp, path string, mode fs.FileMode) (*File, error) {
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, told(err)
	}
	return &File{File: f, path: path}, nil
}

// Write is that of os.File, whose errors name the file.
func (f *File) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, told(err)
}

// WriteString is that of os.File, whose errors name the file.
func (f *File) WriteString(s string) (int, error) {
	n, err := f.File.WriteString(s)
	return n, told(err)
}

// ReadFrom is that of os.File, whose errors name the file.
func (f *File) ReadFrom(r io.Reader) (int64, error) {
	n, err := f.File.ReadFrom(r)
	return n, told(err)
}

// Publish makes the file durable and gives it its name, in place of what had it. After an error that name is as it was,
// unless only the directory could not be synced.
//
// Errors: those of the operating system. The file is closed in any case, and after an error gone.
func (f *File) Publish() error { return f.publish(OpRename, os.Rename) }

// PublishNew is Publish if nothing has the name yet.
//
// Errors: fs.ErrExist if something has it: of several writers one wins. Otherwise as Publish.
func (f *File) PublishNew() error { return f.publish(OpCreate, renameNew) }

func (f *File) publish(op Op, take func(from, to string) error) error {
	err := errors.Join(stepAt(OpSync, f.Name(), f.path, f.Sync), f.Close())
	if err == nil {
		err = stepAt(op, f.Name(), f.path, func() error { return take(f.Name(), f.path) })
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	f.done = true
	return SyncDir(filepath.Dir(f.path))
}

// Discard removes the file. After Publish it does nothing, so that it can be deferred.
//
// Errors: those of the operating system; a file that is gone is none.
func (f *File) Discard() error {
	if f.done {
		return nil
	}
	f.done = true
	f.Close() // closed already by Publish
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// renameNew is a rename that never replaces.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return linkNew(from, to) // NFS and old kernels do not know it
}

// linkNew is renameNew by a link, which never replaces either; the second name is one too many.
func linkNew(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

// WriteFile makes path hold what write writes, whole, or what it held before.
//
// Errors: those of write and of the operating system.
func WriteFile(path string, mode fs.FileMode, write func(io.Writer) error) error {
	f, err := Create(path, mode)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Publish()
}

// MkdirAll makes a directory and those above it that are missing, each by a name that is durable before anything is put into it.
//
// Errors: those of the operating system.
func MkdirAll(dir string, mode fs.FileMode) error {
	if fi, err := os.Stat(dir); err == nil {
		if !fi.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, mode); errors.Is(err, fs.ErrExist) {
		if fi, statErr := os.Stat(dir); statErr != nil || !fi.IsDir() {
			return err
		}
	} else if err != nil {
		return err
	}
	return SyncDir(parent)
}

// Rename gives a file or directory another name, and makes that durable. What is at to is replaced as by rename(2).
//
// Errors: those of the operating system.
func Rename(from, to string) error {
	if err := stepAt(OpRename, from, to, func() error { return os.Rename(from, to) }); err != nil {
		return err
	}
	err := SyncDir(filepath.Dir(to))
	if filepath.Dir(from) != filepath.Dir(to) {
		err = errors.Join(err, SyncDir(filepath.Dir(from)))
	}
	return err
}

// Remove removes a file or an empty directory, and makes that durable. It is done if nothing is there.
//
// Errors: those of the operating system.
func Remove(path string) error {
	err := step(OpRemove, path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
//
// Errors: those of the operating system.
func SyncDir(dir string) error { return sync(OpSyncDir, dir, os.O_RDONLY) }

// Sync makes the bytes of an open file durable.
//
// Errors: those of the operating system, also of a write that failed in the background.
func Sync(f *os.File) error { return step(OpSync, f.Name(), f.Sync) }

// SyncFile makes the bytes of a file durable that was written and closed.
//
// Errors: those of the operating system, also of a write that failed in the background.
func SyncFile(path string) error { return sync(OpSync, path, os.O_RDWR) }

func sync(op Op, path string, flag int) error {
	return step(op, path, func() error {
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", named(path), err)
		}
		return nil
	})
}

// Full adds the condition to an error that says that a disk takes no more.
//
// Errors: err with cofre.ErrDiskFull if it has no space (or no quota, or the file may not grow), with cofre.ErrReadOnly if it is
// mounted read-only. Other errors, and nil, stay as they are.
func Full(err error) error {
	switch {
	case errors.Is(err, cofre.ErrDiskFull), errors.Is(err, cofre.ErrReadOnly):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", cofre.ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", cofre.ErrReadOnly, err)
	}
	return err
}
