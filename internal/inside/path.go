package inside

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/shell"
)

// WriteFile makes a file hold what write writes, whole and durable, or what it held before. Its directory is opened as by MakeAs, with
// mode for what is missing of it, and what has the file's name is replaced and never followed.
//
// Errors: those of write; as MakeAs.
func WriteFile(file string, mode, dir fs.FileMode, write func(io.Writer) error) error {
	d, err := MakeAs(filepath.Dir(file), dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Named(durable.WriteFile(d.At(filepath.Base(file)), mode, write)), d.Close())
}

// Named gives an error about a path of At the directory's path in place of the one through which it was opened.
func (d *Dir) Named(err error) error {
	name := func(p *string) {
		if rest, ok := strings.CutPrefix(*p, d.At("")); ok {
			*p = filepath.Join(d.path, rest)
		}
	}
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		name(&pe.Path)
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		name(&le.Old)
		name(&le.New)
	}
	return err
}

// WriteCache is WriteFile for what can be had without: nothing is synced, so that what a crash leaves must be known by what is in it. The
// file and its directory are for this user alone.
//
// Errors: as WriteFile. Most may be passed over.
func WriteCache(file string, b []byte) error {
	d, err := openAs(filepath.Dir(file), making{mode: 0o700})
	if err != nil {
		return err
	}
	defer d.Close() // only searched
	f, err := os.CreateTemp(d.At("."), ".new-*")
	if err != nil {
		return d.Named(err)
	}
	temp := filepath.Base(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(temp, filepath.Base(file))
	}
	if err != nil {
		return errors.Join(err, d.Remove(temp))
	}
	return nil
}

// OpenFile opens a file to be written where it is, as a lock or a log is, for this user alone; flags are those of open(2). Its directory is
// opened as by MakeAs, and nothing is synced. A link is not followed, and what is no file, or has a second name elsewhere, is not written into.
//
// Errors: cofre.ErrRefused for those; as MakeAs.
func OpenFile(file string, flags int) (*os.File, error) {
	d, err := openAs(filepath.Dir(file), making{mode: 0o700})
	if err != nil {
		return nil, err
	}
	defer d.Close() // only searched
	name := filepath.Base(file)
	f, err := d.OpenFile(name, flags|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, noFile(file)
	}
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(d.Wrap("stat", name, err), f.Close())
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink > 1 {
		return nil, errors.Join(noFile(file), f.Close())
	}
	return f, nil
}

// Append opens a file that a person has named to be written at its end, and makes it with mode if there is none; it may be a pipe or a
// terminal. Its directory is opened as by OpenAs, and a link is followed if root or this process's user made it.
//
// Errors: cofre.ErrRefused for a link of somebody else's; as OpenAs.
func Append(file string, mode fs.FileMode) (*os.File, error) {
	for range links {
		if strings.HasPrefix(file, "/proc/") { // its links lead where no path does
			return os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		}
		d, err := OpenAs(filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		name := filepath.Base(file)
		f, err := d.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, uint32(mode.Perm()))
		if errors.Is(err, unix.ELOOP) {
			file, err = d.linked(name)
		}
		if err = errors.Join(err, d.Close()); err != nil || f != nil {
			return f, err
		}
	}
	return nil, &os.PathError{Op: "open", Path: file, Err: unix.ELOOP}
}

// linked is the path that a link of root or of this process's user leads to.
func (d *Dir) linked(name string) (string, error) {
	st, err := d.Stat(name)
	if err != nil {
		return "", err
	}
	to, err := d.Readlink(name)
	if err != nil {
		return "", err
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return "", LedAway(filepath.Join(d.path, name), to)
	}
	if filepath.IsAbs(to) {
		return to, nil
	}
	return filepath.Join(d.path, to), nil
}

func noFile(file string) error {
	return cofre.WithHint(
		cofre.Fail(cofre.Say("inside.no_file", "{{.file}} is no file, or has a second name elsewhere: nothing is written into it", "file", file), cofre.ErrRefused),
		cofre.Say("inside.look_at_file", "look who put it there, and remove it: rm {{.word}}", "word", shell.Quote(file)))
}

// MkdirAll is MakeAs for who needs the directory later, and syncs nothing.
//
// Errors: as MakeAs.
func MkdirAll(dir string, mode fs.FileMode) error {
	d, err := openAs(dir, making{mode: mode})
	if err != nil {
		return err
	}
	return d.Close()
}

// MaxKept bounds what ReadFile reads: what this program keeps on its machine is smaller by far.
const MaxKept = 16 << 20

// ReadFile is the content of a small file, at a path through links of whomever, of which nothing was believed before it is read: a pipe is not waited for, and a device is not read.
//
// Errors: cofre.ErrRefused if it is no file, or larger than MaxKept; those of the operating system.
func ReadFile(file string) ([]byte, error) {
	f, err := os.OpenFile(file, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if err := regular(f); err != nil {
		return nil, err
	}
	return atMost(f, MaxKept)
}
