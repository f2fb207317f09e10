// Package across moves and copies files from one file system to another, which no rename does, and knows what is mounted.
package across

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/sparse"
)

// MountedError says that something is mounted at a path: it cannot be renamed, and moving what is in it would empty what is mounted.
type MountedError struct{ Path string }

func (e *MountedError) Error() string { return filepath.Base(e.Path) + " is a mount point" }

// Mounted reports whether something is mounted at a path, a part of the same file system included.
func Mounted(path string) bool {
	var x unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &x)
	if err == nil && x.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return x.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	var at, above unix.Stat_t // before Linux 5.8
	return unix.Lstat(path, &at) == nil && unix.Lstat(filepath.Dir(path), &above) == nil && at.Dev != above.Dev
}

// Mount identifies the mount that a path lies in: within one, a rename works.
//
// Errors: those of statx(2).
func Mount(path string) (uint64, error) {
	var x unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &x)
	if err == nil && x.Mask&unix.STATX_MNT_ID == 0 { // before Linux 5.8
		return unix.Mkdev(x.Dev_major, x.Dev_minor), nil
	}
	return x.Mnt_id, err
}

// Move gives a file, a folder with everything in it, or anything else a new place on another file system: a copy is made, read back,
// compared and synced, gets its name, and only then what was copied is removed, file by file, if it is still what it was. A crash before the
// copy has its name leaves what was there whole, and beside to a folder that begins with ".moving-"; a later one leaves both.
//
// Errors: *MountedError if something is mounted at from or below it; that something of it changed meanwhile, or cannot be kept in the new
// place: an owner, an extended attribute; those of the operating system. The name to is taken only by a whole copy.
func Move(ctx context.Context, from, to string) error {
	m := move{ctx: ctx, name: filepath.Base(from)}
	var err error
	if m.from, err = os.OpenRoot(filepath.Dir(from)); err != nil {
		return err
	}
	defer m.from.Close() // nothing is written by it
	m.at = filepath.Dir(from)
	into, err := os.MkdirTemp(filepath.Dir(to), ".moving-*")
	if err != nil {
		return err
	}
	err = m.copy(m.name, filepath.Join(into, m.name))
	if err == nil {
		err = durable.Rename(filepath.Join(into, m.name), to)
	}
	if err = errors.Join(err, os.RemoveAll(into)); err != nil {
		return err
	}
	if err := m.remove(); err != nil {
		return fmt.Errorf("it was copied to its new place, and could not be removed from the old one: %w", err)
	}
	return nil
}

// Copy makes a regular file at to of the one at from, with its owner, mode, time and extended attributes, read back, compared and synced.
//
// Errors: those of Move; that from is no regular file; syscall.EEXIST if to is taken.
func Copy(ctx context.Context, from, to string) error {
	root, err := os.OpenRoot(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer root.Close() // nothing is written by it
	m := move{ctx: ctx, from: root, at: filepath.Dir(from)}
	fi, err := root.Lstat(filepath.Base(from))
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", filepath.Base(from), fs.ErrInvalid)
	}
	if err != nil {
		return err
	}
	into, err := os.MkdirTemp(filepath.Dir(to), ".moving-*")
	if err != nil {
		return err
	}
	temp := filepath.Join(into, filepath.Base(to))
	err = m.copy(filepath.Base(from), temp)
	if err == nil {
		err = os.Link(temp, to)
	}
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) { // a file system without links
		err = durable.Rename(temp, to)
	}
	return errors.Join(err, os.RemoveAll(into), durable.SyncDir(filepath.Dir(to)))
}

type move struct {
	ctx  context.Context
	from *os.Root
	at   string // the path of from
	name string
	done []done // a folder before what is in it
}

// done is what was copied, as it was.
type done struct {
	rel string
	st  syscall.Stat_t
}

func (m *move) copy(rel, to string) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	fi, err := m.from.Lstat(rel)
	if err != nil {
		return err
	}
	if Mounted(filepath.Join(m.at, rel)) {
		return &MountedError{rel}
	}
	st := *fi.Sys().(*syscall.Stat_t)
	m.done = append(m.done, done{rel, st})
	switch mode := fi.Mode(); {
	case mode.IsDir():
		err = m.copyFolder(rel, to, st)
	case mode.IsRegular():
		err = m.copyFile(rel, to, st)
	case mode&fs.ModeSymlink != 0:
		err = m.copyLink(rel, to)
	default:
		err = unix.Mknod(to, st.Mode, int(st.Rdev))
	}
	if err == nil && !fi.IsDir() && !fi.Mode().IsRegular() {
		err = errors.Join(os.Lchown(to, int(st.Uid), int(st.Gid)), setTimes(to, st))
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", rel, err)
	}
	return nil
}

func (m *move) copyLink(rel, to string) error {
	target, err := m.from.Readlink(rel)
	if err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func (m *move) copyFolder(rel, to string, st syscall.Stat_t) error {
	f, err := m.from.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for {
		names, err := f.Readdirnames(1000)
		for _, name := range names {
			if err := m.copy(filepath.Join(rel, name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	made, err := os.Open(to)
	if err != nil {
		return err
	}
	return errors.Join(dress(made, f, st), durable.Sync(made), made.Close())
}

func (m *move) copyFile(rel, to string, st syscall.Stat_t) error {
	f, err := m.from.OpenFile(rel, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	made, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	read, out := sha256.New(), sparse.NewWriter(made, st.Blocks*512 < st.Size)
	// Not by copy_file_range: what is compared must be what was read.
	_, err = io.Copy(io.MultiWriter(read, out), struct{ io.Reader }{f})
	if err = errors.Join(err, m.ctx.Err()); err == nil {
		err = errors.Join(out.Finish(), dress(made, f, st), durable.Sync(made))
	}
	if err != nil {
		return errors.Join(err, made.Close())
	}
	back := sha256.New()
	_, err = made.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(back, made)
	}
	if err == nil && string(back.Sum(nil)) != string(read.Sum(nil)) {
		err = errors.New("the copy holds other bytes")
	}
	return errors.Join(err, made.Close())
}

// dress gives a copy owner, extended attributes, mode and times, in this order: a new owner takes away set-id bits and capabilities, and
// access lists shape the mode.
func dress(made, f *os.File, st syscall.Stat_t) error {
	if err := made.Chown(int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	names, err := xattr.FList(f)
	if err != nil && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	for _, name := range names {
		if name == "security.selinux" {
			continue // of the place
		}
		value, err := xattr.FGet(f, name)
		if errors.Is(err, xattr.ENOATTR) || errors.Is(err, syscall.ENOTSUP) {
			continue // removed since, or one that the kernel lists and does not give out
		}
		if err == nil {
			err = xattr.FSet(made, name, value)
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return errors.Join(unix.Fchmod(int(made.Fd()), st.Mode&0o7777), setTimes(fmt.Sprintf("/proc/self/fd/%d/.", made.Fd()), st))
}

func setTimes(path string, st syscall.Stat_t) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		path, flags = filepath.Clean(path), 0 // through the name of an open file
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{unix.Timespec(st.Atim), unix.Timespec(st.Mtim)}, flags)
}

// remove removes what was copied, what is in a folder first. What is not as it was copied stays.
func (m *move) remove() error {
	for i := len(m.done) - 1; i >= 0; i-- {
		d := m.done[i]
		fi, err := m.from.Lstat(d.rel)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		now := *fi.Sys().(*syscall.Stat_t)
		same := now.Ino == d.st.Ino && now.Dev == d.st.Dev && now.Mode == d.st.Mode
		if !fi.IsDir() {
			same = same && now.Size == d.st.Size && now.Mtim == d.st.Mtim
		}
		if !same {
			return fmt.Errorf("%s changed meanwhile, at %s", d.rel, time.Unix(now.Mtim.Unix()).UTC().Format(time.RFC3339))
		}
		if err := m.from.Remove(d.rel); err != nil {
			return err
		}
	}
	return durable.SyncDir(m.at)
}
