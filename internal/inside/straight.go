package inside

import (
	"errors"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenStraight opens the file or directory at an absolute path none of whose steps is a link: what somebody has put there since the path was
// walked is not what was seen, and is not followed.
//
// Errors: syscall.ELOOP, or syscall.ENOTDIR, if a step is a link; those of the operating system.
func OpenStraight(p string, flags int) (*os.File, error) {
	return openStraight(unix.AT_FDCWD, p, p, flags, func() (*Dir, error) { return Open("/") })
}

// OpenStraight is OpenStraight for a relative path below the directory, out of which it does not lead.
//
// Errors: as OpenStraight.
func (d *Dir) OpenStraight(rel string, flags int) (*os.File, error) {
	return openStraight(d.FD(), rel, path.Join(d.path, rel), flags, func() (*Dir, error) { return d.Sub(".") })
}

func openStraight(fd int, p, full string, flags int, top func() (*Dir, error)) (*os.File, error) {
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_SYMLINKS}
	if !path.IsAbs(p) {
		how.Resolve |= unix.RESOLVE_BENEATH
	}
	opened := -1
	err := Do("open", full, func() (err error) {
		for {
			opened, err = unix.Openat2(fd, p, &how)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
	switch {
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAGAIN):
		return stepByStep(p, flags, top) // before Linux 5.6, in a container that forbids the call, or beside a rename
	case err != nil:
		var st unix.Stat_t
		if errors.Is(err, unix.ENOTDIR) && unix.Fstatat(fd, p, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP // so that it is named
		}
		return nil, &os.PathError{Op: "open", Path: full, Err: named(err)}
	}
	return os.NewFile(uintptr(opened), full), nil
}

// stepByStep opens a path by a call for each of its steps.
func stepByStep(p string, flags int, top func() (*Dir, error)) (*os.File, error) {
	at, err := top()
	if err != nil {
		return nil, err
	}
	defer at.Close() // only searched
	in, err := at.Descend(strings.TrimPrefix(path.Dir(path.Clean(p)), "/"), nil)
	if err != nil {
		return nil, err
	}
	defer in.Close() // only searched
	return in.OpenFile(path.Base(path.Clean(p)), flags, 0)
}

// ReadlinkStraight is where the link at an absolute path leads, none of whose other steps is one.
//
// Errors: as OpenStraight.
func ReadlinkStraight(p string) (string, error) {
	f, err := OpenStraight(path.Dir(p), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	d := &Dir{f, path.Dir(p)}
	to, err := d.Readlink(path.Base(p))
	return to, errors.Join(err, d.Close())
}

// Listed is one name in a directory, with what it is or why that cannot be said.
type Listed struct {
	Name string
	Info os.FileInfo
	Err  error
}

// List is what is in the directory at an absolute path none of whose steps is a link, by name.
//
// Errors: as OpenStraight.
func List(p string) ([]Listed, error) {
	f, err := OpenStraight(p, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	d := &Dir{f, p}
	defer d.Close() // only read
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	list := make([]Listed, len(names))
	for i, name := range names {
		info, err := os.Lstat(d.At(name))
		list[i] = Listed{name, info, d.Named(err)}
	}
	return list, nil
}
