package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/pkg/xattr"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
)

// attempts is how often a file that changes while it is read is read again.
const attempts = 3

// inMemory is the size up to which a file is read before it is stored. Most configuration files are.
const inMemory = 4 << 20

// errUnreadable marks what is wrong with a file of the source, not with the repository.
var errUnreadable = errors.New("unreadable")

// file stores one file as it was at one moment. A file that changes while it is read is read again; one that
// still changes is stored as last read, and reported.
func (w *writing) file(ctx context.Context, e *Fact) error {
	name := string(e.Path)
	for attempt := 1; ; attempt++ {
		r, err := read(ctx, w.capture.Session, name)
		if errors.Is(err, fs.ErrNotExist) {
			w.missing(name, cofre.Say("files.deleted", "was deleted during the backup"))
			return nil
		}
		if errors.Is(err, errUnreadable) {
			w.missing(name, cofre.SayError(cause(err)))
			return nil
		}
		if err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		if r.changed && attempt < attempts {
			continue
		}
		r.describe(e)
		if err := r.put(ctx, w.capture.Session, w.treeEntry(e)); err != nil {
			return fmt.Errorf("store %s: %w", name, err)
		}
		if r.changed {
			e.Changed = true
			w.mu.Lock()
			w.found.warnings = append(w.found.warnings, cofre.Say("files.changing", "{{.path}} changed while it was read, {{.times}} times in a row: what is stored may mix old and new", "path", name, "times", attempts))
			w.mu.Unlock()
		}
		w.add(*e)
		return nil
	}
}

// reading is a file that was read once.
type reading struct {
	stat    syscall.Stat_t
	sum     string
	size    int64
	bytes   []byte           // of a small file
	parts   []cofre.ObjectID // of a large one
	xattrs  map[string][]byte
	changed bool
}

func (r *reading) describe(e *Fact) {
	e.Mode, e.UID, e.GID = UnixMode(r.stat.Mode&0o7777), r.stat.Uid, r.stat.Gid
	e.ModTime, e.Size, e.SHA256, e.Xattrs = timeOf(r.stat.Mtim), r.size, r.sum, r.xattrs
}

func (r *reading) put(ctx context.Context, s cofre.Session, e cofre.Entry) error {
	e.Size = r.size
	if r.parts != nil {
		_, err := s.Concat(ctx, e, r.parts)
		return err
	}
	_, err := s.Put(ctx, e, bytes.NewReader(r.bytes))
	return err
}

// read reads a file and says whether it changed meanwhile. What the file refuses is errUnreadable.
func read(ctx context.Context, s cofre.Session, name string) (*reading, error) {
	// Without following a link that took the place of the file, or of a directory on the way to it, and without waiting for the other end
	// of a pipe that did.
	f, err := inside.OpenStraight(name, os.O_RDONLY|syscall.O_NONBLOCK)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	defer f.Close() // only read
	r := &reading{}
	if err := fstat(f, &r.stat); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if r.stat.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return nil, fmt.Errorf("%w: %w", errUnreadable, &fs.PathError{Op: "read", Path: name, Err: errors.New("is no file any more")})
	}
	if r.xattrs, err = attributes(f); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	hash := sha256.New()
	content := &sourceReader{r: io.TeeReader(f, hash)}
	if r.stat.Size <= inMemory {
		r.bytes, err = io.ReadAll(io.LimitReader(content, inMemory+1))
		r.size = int64(len(r.bytes))
	} else {
		var id cofre.ObjectID
		id, r.size, err = s.Store(ctx, cofre.LayoutStream, content)
		r.parts = []cofre.ObjectID{id}
	}
	if content.err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, content.err)
	}
	if err != nil {
		return nil, err
	}
	r.sum = hex.EncodeToString(hash.Sum(nil))
	var after syscall.Stat_t
	if err := fstat(f, &after); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	// The change time moves with every write, whatever a program does to the modification time.
	r.changed = after.Ctim != r.stat.Ctim || after.Mtim != r.stat.Mtim || after.Size != r.stat.Size || r.size != after.Size
	return r, nil
}

// sourceReader remembers the error of the file, to tell it from one of the repository.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func fstat(f *os.File, st *syscall.Stat_t) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = syscall.Fstat(int(fd), st) }); err != nil {
		return err
	}
	return inner
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// attributes reads the extended attributes of an open file or directory. A file system without any has none.
func attributes(f *os.File) (map[string][]byte, error) {
	names, err := xattr.FList(f)
	if noAttributes(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	for _, name := range names {
		value, err := xattr.FGet(f, name)
		if errors.Is(err, xattr.ENOATTR) || noAttributes(err) {
			continue // removed since, or one that the kernel lists and does not give out
		}
		if err != nil {
			return nil, err
		}
		found[name] = value
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found, nil
}

func noAttributes(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EOPNOTSUPP)
}

func (w *writing) attributes(name string, e *Fact) error {
	f, err := inside.OpenStraight(name, os.O_RDONLY|syscall.O_DIRECTORY)
	if err != nil {
		if e.Parent {
			return nil // a directory that cofre may pass and not list is no part of the backup
		}
		return err
	}
	defer f.Close() // only read
	e.Xattrs, err = attributes(f)
	return err
}
