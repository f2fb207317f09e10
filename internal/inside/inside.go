// Package inside reads and writes below a directory into which others may write too, without leaving it: a process that runs as root
// does there what its plan says, and nowhere else, whatever somebody puts in the place of a name meanwhile.
//
// A Dir is an open directory, and what is done by its methods takes one name in it and follows no symbolic link. Open takes a path as
// an operator gives it; OpenAs refuses to be led by a link of one user to what is another's; Descend goes down step by step. WriteFile, WriteCache and OpenFile do that for
// one file at a path, such as those of a state directory, and Own says whether what lies at a path may be believed. Read Dir first.
package inside

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// Dir is an open directory. Every name of its methods is a single one, and none is followed if it is a link: what is
// written stays where the plan said, whoever else may write into these directories.
type Dir struct {
	f    *os.File // opened with O_PATH: to search it is enough to be allowed to pass
	path string   // for people
}

// Open opens the directory at a path that the operator named; links in that path are the operator's own.
//
// Errors: those of the operating system.
func Open(p string) (*Dir, error) {
	var f *os.File
	if err := Do("open", p, func() (err error) {
		f, err = os.OpenFile(p, unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	}); err != nil {
		return nil, err
	}
	return &Dir{f, p}, nil
}

// FD is the open directory, for calls that take one. It can search and name, and not list.
func (d *Dir) FD() int { return int(d.f.Fd()) }

// Path is the directory's path as it was opened, for people.
func (d *Dir) Path() string { return d.path }

// Close closes it.
func (d *Dir) Close() error { return d.f.Close() }

// At is a path of a name in the directory, for what takes only paths: whatever becomes of the directory's own path, this one leads
// into the directory that was opened. Its last step is followed if it is a link, unless whatever takes it does not.
func (d *Dir) At(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", d.FD(), name) }

// Wrap gives an error of a call the name that it was about.
func (d *Dir) Wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path.Join(d.path, name), Err: named(err)}
}

// linkError is what syscall.ELOOP says to a person: of a path that was walked without links, or of one that is not followed, "too many levels" is not the cause.
type linkError struct{}

func (linkError) Error() string { return linkError{}.Message().Text }

// Message is the error for a person.
func (linkError) Message() cofre.Message {
	return cofre.Say("inside.link", "it is a symbolic link, or one is on the way to it, where none was looked for: it is not followed")
}

func (linkError) Unwrap() error { return unix.ELOOP }

// named is err, with a cause and a way on if a link is in the way.
func named(err error) error {
	if !errors.Is(err, unix.ELOOP) {
		return err
	}
	return cofre.WithHint(linkError{}, cofre.Say("inside.look_link", "look who put the link there, and remove it; what it leads to is not touched"))
}

// failing is asked before each call on a file or a directory, and may make it fail. It is nil in a program.
var failing func(op, path string) error

// Fail has fn asked before each call, until stop is called. If fn returns an error, the call is not made and fails with it. It is for
// tests that do nothing else meanwhile.
func Fail(fn func(op, path string) error) (stop func()) {
	failing = fn
	return func() { failing = nil }
}

// Do makes a call on what is at a path.
func Do(op, path string, call func() error) error {
	if failing != nil {
		if err := failing(op, path); err != nil {
			return err
		}
	}
	return call()
}

// Do makes a call on something in the directory, and gives its error the name that it was about.
func (d *Dir) Do(op, name string, call func() error) error {
	return d.Wrap(op, name, Do(op, path.Join(d.path, name), call))
}

// Sub opens a directory in it.
//
// Errors: syscall.ENOTDIR if that is something else, also a link to a directory.
func (d *Dir) Sub(name string) (*Dir, error) {
	var fd int
	if err := d.Do("open", name, func() (err error) {
		fd, err = unix.Openat(d.FD(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	}); err != nil {
		return nil, err
	}
	full := path.Join(d.path, name)
	return &Dir{os.NewFile(uintptr(fd), full), full}, nil
}

// Descend opens the directory at a relative path below d. missing is called for a directory that does not
// exist, with the directory that it is to be in; nil leaves that an error.
func (d *Dir) Descend(rel string, missing func(in *Dir, name string) error) (*Dir, error) {
	return d.descend(rel, func(in *Dir, name string) (*Dir, error) {
		next, err := in.Sub(name)
		if errors.Is(err, os.ErrNotExist) && missing != nil {
			if err = missing(in, name); err == nil {
				next, err = in.Sub(name)
			}
		}
		return next, err
	})
}

// DescendAs is Descend through links that Follow follows for a user.
func (d *Dir) DescendAs(rel string, uid int) (*Dir, error) {
	return d.descend(rel, func(in *Dir, name string) (*Dir, error) {
		next, err := in.Sub(name)
		if errors.Is(err, unix.ENOTDIR) {
			return in.Follow(name, uid)
		}
		return next, err
	})
}

func (d *Dir) descend(rel string, step func(in *Dir, name string) (*Dir, error)) (*Dir, error) {
	at, err := d.Sub(".")
	if err != nil {
		return nil, err
	}
	if rel == "." || rel == "" {
		return at, nil
	}
	for _, name := range strings.Split(rel, "/") {
		next, err := step(at, name)
		if err != nil {
			return nil, errors.Join(err, at.Close())
		}
		if err := at.Close(); err != nil {
			return nil, errors.Join(err, next.Close())
		}
		at = next
	}
	return at, nil
}

// Mkdir makes a directory that only its owner may enter.
func (d *Dir) Mkdir(name string) error { return d.mkdir(name, 0o700) }

func (d *Dir) mkdir(name string, mode uint32) error {
	return d.Do("mkdir", name, func() error { return unix.Mkdirat(d.FD(), name, mode) })
}

// Create makes a new file that only its owner may read, and fails if the name is taken.
func (d *Dir) Create(name string) (*os.File, error) {
	return d.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
}

// Open opens what has a name for reading, also a directory.
func (d *Dir) Open(name string) (*os.File, error) {
	return d.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// OpenFile opens a name as open(2) does.
//
// Errors: syscall.ELOOP if it is a link.
func (d *Dir) OpenFile(name string, flags int, mode uint32) (*os.File, error) {
	var fd int
	if err := d.Do("open", name, func() (err error) {
		fd, err = unix.Openat(d.FD(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	}); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path.Join(d.path, name)), nil
}

// ReadFile is the content of a regular file, of which there may be limit bytes.
//
// Errors: syscall.ELOOP if it is a link; cofre.ErrRefused if it is something else that is no file, or larger.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if err := regular(f); err != nil {
		return nil, err
	}
	return atMost(f, limit)
}

func atMost(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes: %w", f.Name(), limit, cofre.ErrRefused)
	}
	return b, err
}

// regular refuses what is open and is no file.
func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: %w", f.Name(), cofre.ErrRefused)
	}
	return err
}

// ReadDir lists the directory, by name.
func (d *Dir) ReadDir() ([]fs.DirEntry, error) {
	f, err := d.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return f.ReadDir(-1)
}

// Stat looks at a name, and at a link itself.
func (d *Dir) Stat(name string) (st unix.Stat_t, err error) {
	err = d.Do("stat", name, func() error { return unix.Fstatat(d.FD(), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// Readlink is where a link leads.
func (d *Dir) Readlink(name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	var n int
	if err := d.Do("readlink", name, func() (err error) {
		n, err = unix.Readlinkat(d.FD(), name, buffer)
		return err
	}); err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// Symlink makes a link.
func (d *Dir) Symlink(target, name string) error {
	return d.Do("symlink", name, func() error { return unix.Symlinkat(target, d.FD(), name) })
}

// Chown gives a name to a user, of a link the link itself.
func (d *Dir) Chown(name string, uid, gid int) error {
	return d.Do("chown", name, func() error { return unix.Fchownat(d.FD(), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) })
}

// Rename gives a name in the directory another one in it, in place of what has that.
func (d *Dir) Rename(from, to string) error {
	return d.Do("rename", from, func() error { return unix.Renameat(d.FD(), from, d.FD(), to) })
}

// RenameTo gives a name a new one in another directory.
func (d *Dir) RenameTo(from string, in *Dir, to string) error {
	return d.Do("rename", from, func() error { return unix.Renameat(d.FD(), from, in.FD(), to) })
}

// Link gives a file a second name.
func (d *Dir) Link(from, to string) error {
	return d.Do("link", from, func() error { return unix.Linkat(d.FD(), from, d.FD(), to, 0) })
}

// Remove removes a name that is no directory's.
func (d *Dir) Remove(name string) error {
	return d.Do("remove", name, func() error { return unix.Unlinkat(d.FD(), name, 0) })
}

// Rmdir removes an empty directory.
func (d *Dir) Rmdir(name string) error {
	return d.Do("rmdir", name, func() error { return unix.Unlinkat(d.FD(), name, unix.AT_REMOVEDIR) })
}

// RemoveAll removes a name with everything below it, links themselves and not what they lead to. Nothing there is no error.
func (d *Dir) RemoveAll(name string) error {
	root, err := os.OpenRoot(d.At("."))
	if err != nil {
		return d.Wrap("open", ".", err)
	}
	return errors.Join(root.RemoveAll(name), root.Close())
}

// Sync makes what was created, renamed and removed in the directory durable.
func (d *Dir) Sync() error { return durable.SyncDir(d.At(".")) }

// Exists reports whether the name is taken, by whatever it may be.
func (d *Dir) Exists(name string) (bool, error) {
	_, err := d.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Free returns the bytes that can be written below the directory by this user.
func (d *Dir) Free() (int64, error) {
	var st unix.Statfs_t
	f, err := d.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close() // only asked
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.path, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Anyone is the user as whom Follow follows every link: what is found there, this process may do anyway.
const Anyone = -1

// Follow opens the directory that a link in d leads to if that belongs to the user uid:
// whoever else could have put the link there gains nothing by it that it had not. What is no link is opened by Sub.
//
// Errors: cofre.ErrRefused if it leads to what is another's; those of the operating system.
func (d *Dir) Follow(name string, uid int) (*Dir, error) {
	link, err := d.Stat(name)
	if err != nil {
		return nil, err
	}
	if link.Mode&unix.S_IFMT != unix.S_IFLNK {
		return d.Sub(name)
	}
	fd, err := unix.Openat(d.FD(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, d.Wrap("open", name, err)
	}
	full := path.Join(d.path, name)
	to := &Dir{os.NewFile(uintptr(fd), full), full}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(to.Wrap("stat", ".", err), to.Close())
	}
	if uid == Anyone || int(st.Uid) == uid {
		return to, nil
	}
	return nil, errors.Join(to.ledAway(), to.Close())
}

// Real is where the open directory is: its path without links.
func (d *Dir) Real() (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", d.FD()))
}

func (d *Dir) ledAway() error {
	real, err := d.Real()
	if err != nil {
		return err
	}
	return LedAway(d.path, real)
}

// LedAway is the error of a link that leads to what does not belong to whoever may have made it.
//
// Errors: cofre.ErrRefused.
func LedAway(link, to string) error {
	return cofre.WithHint(
		cofre.Fail(cofre.Say("inside.led_away", "{{.link}} is a symbolic link that leads to {{.to}}, which belongs to somebody else", "link", link, "to", to), cofre.ErrRefused),
		cofre.Say("inside.look", "look who made the link, and remove it; or give what it leads to to the owner of the link"))
}

// links is how many links a path may lead through.
const links = 40

// OpenAs opens the directory at a path, step by step. A link that somebody else than root or this process's user made is followed only
// if what the whole path leads to belongs to whoever made it.
//
// Errors: cofre.ErrRefused if a link leads to what is another's; those of the operating system.
func OpenAs(p string) (*Dir, error) { return openAs(p, making{}) }

// MakeAs is OpenAs, and makes what is missing with a mode, each by a name that is durable before anything is put into it.
//
// Errors: as OpenAs.
func MakeAs(p string, mode fs.FileMode) (*Dir, error) {
	return openAs(p, making{mode: mode, durable: true})
}

// making is how what is missing of a path is made. The zero value makes nothing.
type making struct {
	mode    fs.FileMode
	durable bool // each name is, before anything is put into it
}

func openAs(p string, missing making) (*Dir, error) {
	p, err := filepath.Abs(p)
	if err != nil {
		return nil, err
	}
	top, rest := begin(p)
	at, err := Open(top)
	if err != nil {
		return nil, err
	}
	if top != "/" {
		if at.path, err = at.Real(); err != nil { // for people
			return nil, errors.Join(err, at.Close())
		}
	}
	w := walk{at: at, steps: strings.Split(rest, "/"), makers: map[uint32]string{}, making: missing}
	for len(w.steps) > 0 {
		if err := w.step(); err != nil {
			return nil, errors.Join(err, w.at.Close())
		}
	}
	if err := w.led(); err != nil {
		return nil, errors.Join(err, w.at.Close())
	}
	w.at.path = p
	return w.at, nil
}

// begin is where a walk along a path begins: a directory that is open already, as Dir.At has it, is not looked for again by its name.
func begin(p string) (top, rest string) {
	const open = "/proc/self/fd/"
	below, ok := strings.CutPrefix(p, open)
	if !ok {
		return "/", p
	}
	fd, rest, _ := strings.Cut(below, "/")
	return open + fd, rest
}

// walk is a path on the way to what it leads to.
type walk struct {
	at     *Dir
	steps  []string
	links  int
	making making
	makers map[uint32]string // who made links on the way, and one of each
}

// led refuses what links have led to, if it is not theirs who made them.
func (w *walk) led() error {
	var st unix.Stat_t
	if err := unix.Fstat(w.at.FD(), &st); err != nil {
		return w.at.Wrap("stat", ".", err)
	}
	for uid, link := range w.makers {
		if uid != st.Uid {
			real, err := w.at.Real()
			return errors.Join(err, LedAway(link, real))
		}
	}
	return nil
}

func (w *walk) step() error {
	name := w.steps[0]
	w.steps = w.steps[1:]
	if name == "" || name == "." {
		return nil
	}
	next, err := w.at.Sub(name)
	if errors.Is(err, os.ErrNotExist) && w.making.mode != 0 {
		if err = w.led(); err == nil {
			err = w.at.mkdir(name, uint32(w.making.mode.Perm()))
		}
		if err == nil {
			clear(w.makers) // what is in it now nobody else has put there
		}
		if err == nil || errors.Is(err, os.ErrExist) {
			if err = w.sync(); err == nil {
				next, err = w.at.Sub(name)
			}
		}
	}
	if errors.Is(err, unix.ENOTDIR) {
		return w.follow(name, err)
	}
	if err != nil {
		return err
	}
	err = w.at.Close()
	w.at = next
	return err
}

func (w *walk) sync() error {
	if !w.making.durable {
		return nil
	}
	return w.at.Sync()
}

func (w *walk) follow(name string, not error) error {
	st, err := w.at.Stat(name)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return not
	}
	if w.links++; w.links > links {
		return &os.PathError{Op: "open", Path: path.Join(w.at.path, name), Err: unix.ELOOP} // so many are too many
	}
	to, err := w.at.Readlink(name)
	if err != nil {
		return err
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		w.makers[st.Uid] = path.Join(w.at.path, name)
	}
	if strings.HasPrefix(to, "/") {
		top, err := Open("/")
		if err != nil {
			return err
		}
		if err := w.at.Close(); err != nil {
			return errors.Join(err, top.Close())
		}
		w.at = top
	}
	w.steps = append(strings.Split(to, "/"), w.steps...)
	return nil
}
