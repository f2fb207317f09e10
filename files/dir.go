package files

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/durable"
)

// dir is an open directory. Every name below is a single one, and none is followed if it is a link: what a
// restore writes stays where its plan said, whoever else may write into these directories.
type dir struct {
	f    *os.File // opened with O_PATH: to search it is enough to be allowed to pass
	path string   // for people
}

// openDir opens the directory at a path that the operator named; links in that path are the operator's own.
func openDir(p string) (*dir, error) {
	var f *os.File
	if err := do("open", p, func() (err error) {
		f, err = os.OpenFile(p, unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	}); err != nil {
		return nil, err
	}
	return &dir{f, p}, nil
}

func (d *dir) fd() int      { return int(d.f.Fd()) }
func (d *dir) close() error { return d.f.Close() }

func (d *dir) wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path.Join(d.path, name), Err: err}
}

// failing is asked before each call on a file or a directory, and may make it fail. It is nil in a program.
var failing func(op, path string) error

// do makes a call on what is at a path.
func do(op, path string, call func() error) error {
	if failing != nil {
		if err := failing(op, path); err != nil {
			return err
		}
	}
	return call()
}

// do makes a call on something in the directory.
func (d *dir) do(op, name string, call func() error) error {
	return d.wrap(op, name, do(op, path.Join(d.path, name), call))
}

func (d *dir) sub(name string) (*dir, error) {
	var fd int
	if err := d.do("open", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	}); err != nil {
		return nil, err
	}
	full := path.Join(d.path, name)
	return &dir{os.NewFile(uintptr(fd), full), full}, nil
}

// descend opens the directory at a relative path below d. missing is called for a directory that does not
// exist, with the directory that it is to be in; nil leaves that an error.
func (d *dir) descend(rel string, missing func(in *dir, name string) error) (*dir, error) {
	at, err := d.sub(".")
	if err != nil {
		return nil, err
	}
	if rel == "." || rel == "" {
		return at, nil
	}
	for _, name := range strings.Split(rel, "/") {
		next, err := at.sub(name)
		if errors.Is(err, os.ErrNotExist) && missing != nil {
			if err = missing(at, name); err == nil {
				next, err = at.sub(name)
			}
		}
		if err != nil {
			return nil, errors.Join(err, at.close())
		}
		if err := at.close(); err != nil {
			return nil, errors.Join(err, next.close())
		}
		at = next
	}
	return at, nil
}

func (d *dir) mkdir(name string) error {
	return d.do("mkdir", name, func() error { return unix.Mkdirat(d.fd(), name, 0o700) })
}

// create makes a new file that only its owner may read, and fails if the name is taken.
func (d *dir) create(name string) (*os.File, error) {
	return d.openAs(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
}

func (d *dir) open(name string) (*os.File, error) {
	return d.openAs(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

func (d *dir) openAs(name string, flags int, mode uint32) (*os.File, error) {
	var fd int
	if err := d.do("open", name, func() (err error) {
		fd, err = unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	}); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(d.path, name)), nil
}

func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = d.do("stat", name, func() error { return unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

func (d *dir) readlink(name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	var n int
	if err := d.do("readlink", name, func() (err error) {
		n, err = unix.Readlinkat(d.fd(), name, buffer)
		return err
	}); err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

func (d *dir) symlink(target, name string) error {
	return d.do("symlink", name, func() error { return unix.Symlinkat(target, d.fd(), name) })
}

func (d *dir) rename(from, to string) error {
	return d.do("rename", from, func() error { return unix.Renameat(d.fd(), from, d.fd(), to) })
}

func (d *dir) link(from, to string) error {
	return d.do("link", from, func() error { return unix.Linkat(d.fd(), from, d.fd(), to, 0) })
}

func (d *dir) remove(name string) error {
	return d.do("remove", name, func() error { return unix.Unlinkat(d.fd(), name, 0) })
}

func (d *dir) rmdir(name string) error {
	return d.do("rmdir", name, func() error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) })
}

// sync makes what was created, renamed and removed in the directory durable.
func (d *dir) sync() error {
	f, err := d.open(".")
	if err != nil {
		return err
	}
	return errors.Join(durable.Sync(f), f.Close())
}

// exists reports whether the name is taken, by whatever it may be.
func (d *dir) exists(name string) (bool, error) {
	_, err := d.stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// free returns the bytes that can be written below the directory by this user.
func (d *dir) free() (int64, error) {
	var st unix.Statfs_t
	f, err := d.open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close() // only asked
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
