package store

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

func (f *folder) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return f.list(ctx, prefix, nil)
}

// list lists what begins with prefix. What is in known of an object is not asked for.
func (f *folder) list(ctx context.Context, prefix string, known *sizes) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		if _, err := os.Stat(f.root); err != nil {
			// An empty answer would say that everything is gone.
			yield(cofre.StoredObject{}, f.explain("list", f.root, err))
			return
		}
		l := &lister{ctx: ctx, root: f.root, prefix: prefix, yield: yield, known: known}
		if _, err := l.walk(""); err != nil {
			yield(cofre.StoredObject{}, f.explain("list", f.root, err))
		}
	}
}

// lister is one listing of a folder under way.
type lister struct {
	ctx    context.Context //nolint:containedctx // of one call of list
	root   string
	prefix string
	yield  func(cofre.StoredObject, error) bool
	known  *sizes // nil asks for everything
}

// walk visits dir, which is empty or ends with a slash, in byte order of whole names: a directory sorts as its
// name and a slash. It returns false when the caller has seen enough.
func (l *lister) walk(dir string) (bool, error) {
	if err := l.ctx.Err(); err != nil {
		return false, err
	}
	d, err := os.Open(filepath.Join(l.root, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // removed since its parent was read
	}
	if err != nil {
		return false, err
	}
	defer d.Close()
	at := place{d, dir, l.known.enter(dir)}
	entries, err := readDir(d, at.known.expected())
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		more, err := l.entry(at, e)
		if err != nil || !more {
			return more, err
		}
	}
	at.known.leave()
	return true, nil
}

// place is a directory that is being listed.
type place struct {
	*os.File
	dir   string
	known *remembered
}

// entry yields an object, or what is below a directory.
func (l *lister) entry(at place, e dirEntry) (bool, error) {
	name := at.dir + e.name
	switch {
	case strings.HasPrefix(e.name, tempPrefix):
		sweep(filepath.Join(l.root, name))
		return true, nil
	case e.kind == unix.S_IFDIR:
		below := name + "/"
		if !strings.HasPrefix(below, l.prefix) && !strings.HasPrefix(l.prefix, below) {
			return true, nil
		}
		return l.walk(below)
	case !strings.HasPrefix(name, l.prefix) || e.kind != unix.S_IFREG:
		return true, nil
	}
	if o, ok := at.known.recall(e); ok {
		return l.yield(cofre.StoredObject{Name: name, Size: o.size, ModifiedAt: time.Unix(0, o.at).UTC()}, nil), nil
	}
	var st unix.Stat_t
	err := lookAt(at.File, e.name, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	at.known.learn(sized{e.name, e.inode, st.Size, st.Mtim.Nano()})
	return l.yield(cofre.StoredObject{
		Name: name, Size: st.Size, ModifiedAt: time.Unix(st.Mtim.Unix()).UTC(), ChangedAt: time.Unix(st.Ctim.Unix()).UTC(), Version: strconv.FormatInt(st.Ctim.Nano(), 36),
	}, nil), nil
}

// dirEntry is a name in a directory.
type dirEntry struct {
	name  string
	inode uint64 // as the directory says
	kind  uint32 // of unix.S_IFMT
}

// compare sorts a directory as its name and a slash.
func (e dirEntry) compare(other dirEntry) int {
	if e.kind != unix.S_IFDIR && other.kind != unix.S_IFDIR {
		return strings.Compare(e.name, other.name)
	}
	key := func(e dirEntry) string {
		if e.kind == unix.S_IFDIR {
			return e.name + "/"
		}
		return e.name
	}
	return strings.Compare(key(e), key(other))
}

// readDir reads a directory with about as many entries as expected, in the order of a listing. The kernel gives the number of the inode with each name, which os.ReadDir keeps to itself.
//
// Source: getdents64(2), struct linux_dirent64.
func readDir(d *os.File, expected int) ([]dirEntry, error) {
	all := make([]dirEntry, 0, expected)
	buffer := make([]byte, 64<<10)
	for {
		n, err := retried(func() (int, error) { return unix.Getdents(int(d.Fd()), buffer) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: d.Name(), Err: err}
		}
		if n == 0 {
			break
		}
		names := string(buffer[:n])
		for at := 0; at < n; {
			record := buffer[at:n]
			length := int(binary.NativeEndian.Uint16(record[16:]))
			name, _, _ := strings.Cut(names[at+19:at+length], "\x00")
			e := dirEntry{name: name, inode: binary.NativeEndian.Uint64(record), kind: uint32(record[18]) << 12} // DT_ is S_IF without its twelve bits
			at += length
			if name == "." || name == ".." || e.inode == 0 {
				continue
			}
			if e.kind == 0 { // the file system does not say
				var st unix.Stat_t
				if err := lookAt(d, name, &st); errors.Is(err, fs.ErrNotExist) {
					continue
				} else if err != nil {
					return nil, err
				}
				e.kind = st.Mode & unix.S_IFMT
			}
			all = append(all, e)
		}
	}
	slices.SortFunc(all, dirEntry.compare)
	return all, nil
}

func lookAt(d *os.File, name string, st *unix.Stat_t) error {
	_, err := retried(func() (int, error) { return 0, unix.Fstatat(int(d.Fd()), name, st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return &fs.PathError{Op: "lstat", Path: filepath.Join(d.Name(), name), Err: err}
	}
	return nil
}

// retried asks again if a signal came in between, as package os does.
func retried(ask func() (int, error)) (int, error) {
	for {
		n, err := ask()
		if err != unix.EINTR {
			return n, err
		}
	}
}
