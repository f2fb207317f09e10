// Package dir keeps buckets in a folder: each sub-folder is a bucket, each regular file below it an object whose
// name is its path. Files that were not written by cofre are objects too, with mode, owner, time and extended attributes.
//
// What a file cannot say, and what a path cannot be, is kept in the sub-folder .cofre of the root: content type,
// cache control and metadata of an object in meta/, the settings of a bucket in buckets/, and in odd/ the bytes of
// objects whose names are no paths (n//x, a trailing slash, an object beside a "folder" of its name, a segment of
// more than 255 bytes). A folder that needs none of this has no .cofre, except while something is written into it.
// Writes are durable: temporary file, fsync, rename, fsync of the folder.
//
// It is no object server: two processes writing one name at the same time leave one of the two objects whole, and
// possibly the other's content type.
package dir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/sparse"
)

// reserved is the sub-folder that is no bucket.
const reserved = ".cofre"

// maxSegment is what Linux file systems take of one name, in bytes.
const maxSegment = 255

// Store is the buckets of one folder.
type Store struct {
	root  string
	place *place

	made   bool // by Lock
	mu     sync.Mutex
	links  map[string]string // see FollowLink
	temps  []string          // see tempAbove
	places map[uint64]*place // by mounts other than the folder's, see placeOf
	locked bool
}

var (
	_ bucket.Store    = (*Store)(nil)
	_ bucket.Strayer  = (*Store)(nil)
	_ bucket.Foldered = (*Store)(nil)
	_ bucket.Keeper   = (*Store)(nil)
	_ bucket.Locker   = (*Store)(nil)
)

// Open opens the folder at root.
//
// Errors: cofre.ErrNotFound if there is none; cofre.ErrConfig if it is no folder; cofre.ErrDenied.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open folder %s: %w", root, err)
	}
	fi, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("open folder %s: %w", root, translate(err))
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("open folder %s: it is no folder: %w", root, cofre.ErrConfig)
	}
	return &Store{root: abs, place: newPlace(abs)}, nil
}

// OpenNew is Open for a restore: a folder that is not there, as on a new machine, is made when something is written.
//
// Errors: those of Open, without cofre.ErrNotFound.
func OpenNew(root string) (*Store, error) {
	s, err := Open(root)
	if !errors.Is(err, cofre.ErrNotFound) {
		return s, err
	}
	abs, absErr := filepath.Abs(root)
	if absErr != nil {
		return nil, fmt.Errorf("open folder %s: %w", root, absErr)
	}
	above := filepath.Dir(abs)
	for _, err := os.Stat(above); errors.Is(err, fs.ErrNotExist) && above != filepath.Dir(above); _, err = os.Stat(above) {
		above = filepath.Dir(above)
	}
	return &Store{root: abs, place: newPlace(above)}, nil
}

// Absent reports whether the folder is still to be made.
func (s *Store) Absent() bool {
	_, err := os.Lstat(s.root)
	return errors.Is(err, fs.ErrNotExist)
}

// Describe says that everything is kept and that only the bytes tell for sure what an object is.
func (s *Store) Describe() bucket.Description {
	return bucket.Description{
		Kind: "dir", URL: s.root, Enumerable: true, Volatile: true,
		Keeps: bucket.Keeps{Settings: bucket.Settings{Public: true, Limits: true, Versions: true}, Files: true},
	}
}

// Buckets returns the sub-folders. A symbolic link to a folder is one: buckets are moved to larger disks so.
//
// Errors: cofre.ErrNotFound if a bucket that is named is no sub-folder, or cannot be one; cofre.ErrDenied; that the
// settings kept of a bucket cannot be read.
func (s *Store) Buckets(_ context.Context, ids ...string) ([]bucket.Bucket, error) {
	if len(ids) == 0 && s.Absent() {
		return nil, nil
	}
	if len(ids) == 0 {
		entries, err := os.ReadDir(s.root)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s.root, translate(err))
		}
		for _, e := range entries {
			if s.isBucket(e) {
				ids = append(ids, e.Name())
			}
		}
	}
	out := make([]bucket.Bucket, 0, len(ids))
	for _, id := range ids {
		b := bucket.Bucket{ID: id}
		fi, err := os.Stat(s.bucketDir(id))
		if err == nil && !fi.IsDir() {
			err = fs.ErrNotExist
		}
		if err != nil || checkBucket(id) != nil {
			return nil, fmt.Errorf("bucket %s: %w", id, translate(cmpErr(err, fs.ErrNotExist)))
		}
		in, err := s.enter(id)
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", id, translate(err))
		}
		_ = in.Close() // only looked at
		if err := readJSON(s.settingsFile(id), &b); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("settings of bucket %s: %w", id, err)
		}
		b.ID, b.Link = id, s.linkOf(id)
		out = append(out, b)
	}
	return out, nil
}

// linkOf is where the symbolic link that a bucket is leads to, "" if the bucket is none or leads nowhere else.
func (s *Store) linkOf(id string) string {
	fi, err := os.Lstat(s.bucketDir(id))
	if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		return ""
	}
	to, err := filepath.EvalSymlinks(s.bucketDir(id))
	if err != nil || !s.leadsOut(to) {
		return ""
	}
	return to
}

func (s *Store) isBucket(e fs.DirEntry) bool {
	if e.Name() == reserved {
		return false
	}
	if !utf8.ValidString(e.Name()) {
		return false // no component can hold its name
	}
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	fi, err := os.Stat(s.bucketDir(e.Name()))
	return err == nil && fi.IsDir()
}

// Strays names what lies in the folder itself: only what is in a sub-folder is in a bucket.
//
// Errors: cofre.ErrNotFound if the folder is gone; cofre.ErrDenied if it may not be listed.
func (s *Store) Strays(_ context.Context) ([]bucket.Stray, error) {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", s.root, translate(err))
	}
	var strays []bucket.Stray
	for _, e := range entries {
		if e.Name() == reserved || s.isBucket(e) {
			continue
		}
		why := cofre.Say("bucket.stray_file", "a file next to the buckets: only what is in a sub-folder is captured")
		switch {
		case !utf8.ValidString(e.Name()):
			why = notUTF8(e.Name())
		case e.Type()&fs.ModeSymlink != 0:
			why = cofre.Say("bucket.stray_link", "a symbolic link that leads to no folder: no bucket")
		case !e.Type().IsRegular():
			why = cofre.Say("bucket.stray_special", "neither a folder nor a file: no bucket")
		}
		strays = append(strays, bucket.Stray{Name: spelled(e.Name()), Why: why})
	}
	return strays, nil
}

// spelled is a name as text: what is not UTF-8 in it is escaped, so that two names stay two.
func spelled(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	var b strings.Builder
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, `\x%02x`, name[0])
		} else {
			b.WriteString(name[:n])
		}
		name = name[n:]
	}
	return b.String()
}

func notUTF8(name string) cofre.Message {
	return cofre.Say("bucket.name_encoding", "its name {{.name}} is not UTF-8", "name", fmt.Sprintf("%q", name))
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Fit holds everything but what the file system or this user does not. A name that is no path is named.
func (s *Store) Fit(o bucket.Object) (bucket.Object, []cofre.Message) {
	in := s.placeOf(o.Bucket, s.plainFile(o.Bucket, o.Name))
	a, lost := in.fit(o.Attributes)
	if o.Attributes != nil { // otherwise the time is that of the upload
		at, kept := in.fitTime(o.ModifiedAt)
		o.ModifiedAt, lost = at, append(lost, kept...)
	}
	o.Tags = nil // named by the restore for all objects together
	o.Attributes = a
	if !s.plain(o.Bucket, o.Name) {
		lost = append(lost, cofre.Say("bucket.lost_path", "a path of its name, which cannot be one: its bytes will be below {{.folder}}", "folder", reserved+"/odd"))
	}
	return o, lost
}

// special reports whether a bucket has settings, which a folder alone cannot tell.
func special(b bucket.Bucket) bool {
	return b.Public || b.MaxSize != nil || len(b.Types) > 0 || b.Versions || b.Owner != "" || b.Name != "" ||
		b.Type != "" && b.Type != "STANDARD"
}

// Ensure makes the sub-folder and keeps the settings, if there are any, below .cofre.
//
// Errors: cofre.ErrRefused if the name cannot be a folder's, or a symbolic link leads out of the store; cofre.ErrNotFound
// if a file has the name; cofre.ErrDenied, cofre.ErrDiskFull, cofre.ErrReadOnly.
func (s *Store) Ensure(_ context.Context, b bucket.Bucket) error {
	if err := checkBucket(b.ID); err != nil {
		return err
	}
	if err := s.makeBucket(b.ID); err != nil {
		return fmt.Errorf("make bucket %s: %w", b.ID, translate(err))
	}
	b.Link = ""
	var err error
	if special(b) {
		err = s.writeJSON(s.settingsFile(b.ID), b)
	} else {
		err = s.remove(s.settingsFile(b.ID))
	}
	if err != nil {
		return fmt.Errorf("keep settings of bucket %s: %w", b.ID, translate(err))
	}
	return durable.SyncDir(s.root)
}

// makeBucket makes the sub-folder, if nothing that may be written into is there.
func (s *Store) makeBucket(id string) error {
	if err := durable.MkdirAll(s.root, 0o755); err != nil {
		return err
	}
	root, err := s.open()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(id, 0o755); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := s.bucketRoot(id)
	if err != nil {
		return err
	}
	return there.Close()
}

// remove removes what is at a path, if anything is.
func (s *Store) remove(path string) error {
	h, base, err := s.within(path, false)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	return durable.Remove(h.at(base))
}

func checkBucket(id string) error {
	if id == "" || id == "." || id == ".." || id == reserved || strings.ContainsAny(id, "/\x00") || len(id) > maxSegment {
		return fmt.Errorf("bucket name %q cannot be a folder: %w", id, cofre.ErrRefused)
	}
	return nil
}

// List yields the regular files of a bucket, and those of odd names. Symbolic links and special files are named
// as unreadable: a bucket does not hold such things. So is a folder in it that cannot be read, its name with a slash.
//
// Errors: *bucket.UnreadableError for each of these, which does not end the list; cofre.ErrNotFound if there is no such
// bucket; cofre.ErrDenied if it may not be listed itself; the error of ctx.
func (s *Store) List(ctx context.Context, id, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		if _, err := s.Buckets(ctx, id); err != nil {
			yield(bucket.Object{}, err)
			return
		}
		visit := func(name, path string, d fs.DirEntry, err error) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if d != nil && d.IsDir() && err == nil {
				return send(yield, s.unreadable(id, name+"/", notUTF8(name)))
			}
			if err != nil {
				return send(yield, s.unreadable(id, name+"/", cofre.Say("bucket.folder_unreadable", "the folder, and what is in it, cannot be read: {{.cause}}", "cause", err)))
			}
			if !strings.HasPrefix(name, prefix) {
				return nil
			}
			o, err := s.describe(id, name, path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil // deleted since the folder was read
			case !utf8.ValidString(name):
				return send(yield, s.unreadable(id, name, notUTF8(name)))
			case err != nil:
				return send(yield, s.unreadable(id, name, cofre.SayError(err)))
			case !d.Type().IsRegular():
				return send(yield, s.unreadable(id, name, cofre.Say("bucket.special", "not a regular file: a bucket holds no others")))
			case !yield(o, nil):
				return errStopped
			}
			return nil
		}
		err := s.walk(id, prefix, visit)
		if err != nil && !errors.Is(err, errStopped) {
			yield(bucket.Object{}, fmt.Errorf("list bucket %s: %w", id, translate(err)))
		}
	}
}

// errStopped says that whoever is listing wants no more.
var errStopped = errors.New("stopped")

func send(yield func(bucket.Object, error) bool, about *bucket.UnreadableError) error {
	if !yield(about.Object, about) {
		return errStopped
	}
	return nil
}

func (s *Store) unreadable(id, name string, why cofre.Message) *bucket.UnreadableError {
	return &bucket.UnreadableError{
		Object: bucket.Object{Bucket: id, Name: spelled(name), Size: -1}, Why: why,
	}
}

// walk visits the files of plain names, then those of odd ones, with an error the folders that cannot be read, and without
// one a folder whose name is not UTF-8, into which it does not go.
func (s *Store) walk(id, prefix string, visit func(name, path string, d fs.DirEntry, err error) error) error {
	in, err := s.enter(id)
	if err != nil {
		return err
	}
	defer in.Close() // only searched
	// What is listed is what was entered, whatever the bucket's link is exchanged for.
	base := in.At(".")
	start := base
	if i := strings.LastIndexByte(prefix, '/'); i > 0 && s.plain(id, prefix[:i]) {
		start = filepath.Join(base, filepath.FromSlash(prefix[:i]))
	}
	err = filepath.WalkDir(start+"/", func(path string, d fs.DirEntry, err error) error {
		err = bare(err)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil // deleted meanwhile, or a prefix that is no folder
		}
		rel, relErr := filepath.Rel(base, path)
		if relErr != nil {
			return relErr
		}
		switch {
		case d != nil && d.IsDir() && isOwnTemp(rel, path):
			return fs.SkipDir
		case err != nil && (d == nil || rel == "."):
			return err // of the bucket itself
		case err == nil && d.IsDir() && !utf8.ValidString(d.Name()):
			// With what is in it, also if that is nothing.
			if err := visit(filepath.ToSlash(rel), path, d, nil); err != nil {
				return err
			}
			return fs.SkipDir
		case err == nil && d.IsDir():
			return nil
		}
		return visit(filepath.ToSlash(rel), path, d, err)
	})
	if err != nil {
		return err
	}
	odd, err := os.ReadDir(s.oddDir(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range odd {
		var m record
		if err := readJSON(filepath.Join(s.metaDir(id), d.Name()+".json"), &m); err != nil {
			// The record is written before the bytes, so bytes without one are no object of ours.
			continue
		}
		if err := visit(m.Name, filepath.Join(s.oddDir(id), d.Name()), d, nil); err != nil {
			return err
		}
	}
	return nil
}

// record is what is kept beside an object.
type record struct {
	bucket.Object
	// Written is the file's modification time when this was written, so that a record is not believed of a file
	// that another program has replaced since.
	Written int64 `json:"written,omitempty"`
}

// needed reports whether a record says more of an object than its file does.
func (m record) needed() bool {
	return m.ContentType != "" || m.CacheControl != "" || m.Robots != "" || m.Encoding != "" || m.Disposition != "" ||
		m.Language != "" || m.Row != nil || string(bucket.CanonicalMetadata(m.Metadata)) != "{}"
}

// describe returns what is known of the file at path as an object.
func (s *Store) describe(id, name, path string) (bucket.Object, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return bucket.Object{}, err
	}
	o, err := s.describeFile(id, name, fi)
	if err == nil && fi.Mode().IsRegular() {
		o.Attributes, err = s.attributes(fi, path)
	}
	return o, err
}

func (s *Store) describeFile(id, name string, fi fs.FileInfo) (bucket.Object, error) {
	o := bucket.Object{Bucket: id, Name: name}
	var m record
	switch err := readJSON(s.metaFile(id, name), &m); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return o, fmt.Errorf("record of %s: %w", o.Path(), err)
	case m.Written == fi.ModTime().UnixNano() && m.Size == fi.Size():
		o = m.Object
		o.Bucket, o.Name = id, name
	}
	o.Version, o.Attributes = "", nil
	o.Size, o.ModifiedAt = fi.Size(), fi.ModTime()
	o.ETag = fmt.Sprintf("%x-%x", fi.ModTime().UnixNano(), fi.Size())
	if at := changed(fi); at != 0 {
		// The change time tells of a write whose modification time was set back.
		o.ETag = fmt.Sprintf("%s-%x", o.ETag, at)
	}
	return o, nil
}

// changed is the change time of a file, in nanoseconds, or 0.
func changed(fi fs.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ctim.Nano()
	}
	return 0
}

// Stat describes one object.
//
// Errors: cofre.ErrNotFound; cofre.ErrRefused if the bucket's name cannot be a folder's; cofre.ErrDenied; that the record
// of the object cannot be read.
func (s *Store) Stat(_ context.Context, id, name string) (bucket.Object, error) {
	path, err := s.find(id, name)
	if err != nil {
		return bucket.Object{}, err
	}
	o, err := s.describe(id, name, path)
	if err != nil {
		return bucket.Object{}, fmt.Errorf("stat %s/%s: %w", id, name, translate(err))
	}
	return o, nil
}

// find returns the file that holds an object.
func (s *Store) find(id, name string) (string, error) {
	if err := checkBucket(id); err != nil {
		return "", err
	}
	if s.plain(id, name) {
		path := s.plainFile(id, name)
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() {
			return path, nil
		}
	}
	path := s.oddFile(id, name)
	if _, err := os.Lstat(path); err != nil {
		return "", fmt.Errorf("object %s/%s: %w", id, name, translate(err))
	}
	return path, nil
}

// Open reads one object. A file that is written to while it is read is an error worth another attempt.
//
// Errors: those of Stat; from reads, that of the file that was written to, which is Retryable.
func (s *Store) Open(_ context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	path, err := s.find(o.Bucket, o.Name)
	if err != nil {
		return bucket.Object{}, nil, err
	}
	f, err := s.openFile(o.Bucket, path)
	if err != nil {
		return bucket.Object{}, nil, fmt.Errorf("open %s: %w", o.Path(), translate(err))
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("open %s: it is no file any more: %w", o.Path(), cofre.ErrNotFound)
	}
	if err != nil {
		return bucket.Object{}, nil, errors.Join(err, f.Close())
	}
	got, err := s.describeFile(o.Bucket, o.Name, fi)
	if err == nil {
		got.Attributes, err = s.place.read(fi, func() ([]string, error) { return xattr.FList(f) },
			func(name string) ([]byte, error) { return xattr.FGet(f, name) })
	}
	if err != nil {
		return bucket.Object{}, nil, errors.Join(err, f.Close())
	}
	return got, &steady{file: f, was: fi, path: o.Path()}, nil
}

// openFile opens the file of an object to be read. Whatever is put in the place of a folder on the way to it, what is read is in the bucket, or in
// what the store keeps beside it; and nobody waits for the other end of a pipe.
func (s *Store) openFile(id, path string) (*os.File, error) {
	top := s.bucketDir(id)
	rel, err := filepath.Rel(top, path)
	if err != nil || !filepath.IsLocal(rel) {
		top = s.root // of an odd name
		rel, err = filepath.Rel(top, path)
	}
	if err != nil {
		return nil, err
	}
	enter := func() (*inside.Dir, error) { return s.enter(id) }
	if top == s.root {
		enter = func() (*inside.Dir, error) { return inside.Open(top) }
	}
	in, err := enter()
	if err != nil {
		return nil, err
	}
	defer in.Close() // only searched
	root, err := os.OpenRoot(in.At("."))
	if err != nil {
		return nil, err
	}
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return f, errors.Join(err, root.Close())
}

// steady is a file that must not change while it is read.
//
// It embeds no os.File, whose WriteTo would let io.Copy pass by Read.
type steady struct {
	file *os.File
	was  fs.FileInfo
	path string
}

func (f *steady) Read(p []byte) (int, error) {
	n, err := f.file.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	now, statErr := f.file.Stat()
	if statErr != nil {
		return n, statErr
	}
	// The change time tells of a write after which the modification time was set back.
	if now.Size() != f.was.Size() || !now.ModTime().Equal(f.was.ModTime()) || changed(now) != changed(f.was) {
		return n, &changedError{f.path}
	}
	return n, io.EOF
}

func (f *steady) Close() error { return f.file.Close() }

// changedError is worth another attempt.
type changedError struct{ path string }

func (e *changedError) Error() string   { return e.path + " was written to while it was read" }
func (e *changedError) Retryable() bool { return true }

// Put writes one object durably.
//
// Errors: cofre.ErrNotFound if there is no such bucket; cofre.ErrRefused if the object has no name, or a symbolic link
// is on its path, or its bucket is one that leads out of the store; io.ErrUnexpectedEOF if r is not as long as o.Size says;
// that of r; cofre.ErrDiskFull, cofre.ErrReadOnly, cofre.ErrDenied.
func (s *Store) Put(_ context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	if _, err := s.Buckets(context.Background(), o.Bucket); err != nil {
		return bucket.Object{}, err
	}
	if o.Name == "" {
		return bucket.Object{}, fmt.Errorf("an object without a name: %w", cofre.ErrRefused)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return bucket.Object{}, err
	}
	path, err := s.pathFor(o)
	if err != nil {
		return bucket.Object{}, fmt.Errorf("write %s: %w", o.Path(), translate(err))
	}
	if o.Attributes == nil {
		o.Attributes, o.ModifiedAt = s.before(path), time.Time{}
	}
	temp, err := s.tempFor(o.Bucket, path)
	if err != nil {
		return bucket.Object{}, fmt.Errorf("write %s: %w", o.Path(), translate(err))
	}
	defer temp.Close()
	name, err := writeTemp(temp, o, r)
	if err != nil {
		return bucket.Object{}, fmt.Errorf("write %s: %w", o.Path(), translate(err))
	}
	defer os.Remove(temp.at(name)) // gone already if all went well
	if err := s.publish(o, temp.at(name), path); err != nil {
		return bucket.Object{}, fmt.Errorf("write %s: %w", o.Path(), translate(err))
	}
	return s.Stat(context.Background(), o.Bucket, o.Name)
}

// before are mode and owner of the file that is replaced by an object of which none were captured, nil if there is none.
func (s *Store) before(path string) *bucket.Attributes {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	a, err := s.place.read(fi, func() ([]string, error) { return nil, nil }, nil)
	if err != nil {
		return nil
	}
	a, _ = s.place.fit(a)
	return a
}

// pathFor makes the folders on an object's path, and returns it, or its place among the odd ones.
func (s *Store) pathFor(o bucket.Object) (string, error) {
	if s.plain(o.Bucket, o.Name) {
		to := s.plainFile(o.Bucket, o.Name)
		if err := s.refuseLinks(o); err != nil {
			return "", err
		}
		h, base, err := s.within(to, true)
		taken := false
		if err == nil {
			at, statErr := os.Lstat(h.at(base))
			taken = statErr == nil && at.IsDir()
			err = h.Close()
		}
		switch {
		case err == nil && !taken:
			return to, nil
		case taken, errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
			// An object beside a "folder" of its name: one of the two cannot be a path.
		default:
			return "", err
		}
	}
	path := s.oddFile(o.Bucket, o.Name)
	if err := s.unlinked(path); err != nil {
		return "", err
	}
	h, _, err := s.within(path, true)
	if err != nil {
		return "", err
	}
	return path, h.Close()
}

// refuseLinks keeps what is written from leaving the bucket: whoever may write into the folder could lead root anywhere.
func (s *Store) refuseLinks(o bucket.Object) error {
	for p := path.Dir(o.Name); p != "."; p = path.Dir(p) {
		at := s.plainFile(o.Bucket, p)
		if fi, err := os.Lstat(at); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a symbolic link on its path: %w", at, cofre.ErrRefused)
		}
	}
	return nil
}

// publish moves a finished file to where its object belongs. A record goes first: it names the modification time of the
// file it belongs to, so a crash in between leaves the old object with a record that is not believed. One that says
// nothing is removed last.
func (s *Store) publish(o bucket.Object, tmp, path string) error {
	fi, err := os.Lstat(tmp)
	if err != nil {
		return err
	}
	m := record{Object: o, Written: fi.ModTime().UnixNano()}
	m.Size, m.Attributes = fi.Size(), nil
	record := s.metaFile(o.Bucket, o.Name)
	keeps := m.needed() || path != s.plainFile(o.Bucket, o.Name)
	if keeps {
		if err := s.writeJSON(record, m); err != nil {
			return err
		}
	}
	h, base, err := s.within(path, false)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := durable.Rename(tmp, h.at(base)); err != nil {
		return err
	}
	if path == s.plainFile(o.Bucket, o.Name) {
		// What another restore put there while something else was in the way.
		if err := s.remove(s.oddFile(o.Bucket, o.Name)); err != nil {
			return err
		}
	}
	if keeps {
		return nil
	}
	return s.remove(record)
}

// ownTemp is what takes the place of .cofre/tmp in a bucket that is on another disk, and in a folder of one at which another is mounted.
const ownTemp = ".cofre-tmp"

func isOwnTemp(rel, path string) bool {
	return rel == ownTemp || filepath.Base(rel) == ownTemp && across.Mounted(filepath.Dir(path))
}

// tempFor opens the folder in which a file is written before it has a name that is a path of a bucket: of the same mount, so that a rename
// gives it that.
func (s *Store) tempFor(id, path string) (hold, error) {
	in, _, err := s.within(path, false)
	if err != nil {
		return hold{}, err
	}
	defer in.Close()
	here, err := across.Mount(in.at("."))
	if err != nil {
		return hold{}, err
	}
	for _, of := range []string{id, ""} { // the second for what is no path, which is below the store's folder
		temp, err := s.tempDir(of)
		if err != nil {
			return hold{}, err
		}
		if there, err := across.Mount(temp.at(".")); err != nil || there == here {
			return temp, err
		}
		if err := temp.Close(); err != nil {
			return hold{}, err
		}
	}
	return s.tempAbove(in, path, here)
}

// tempAbove opens the folder for what is written in a folder of a bucket at which something is mounted.
func (s *Store) tempAbove(in hold, path string, mount uint64) (hold, error) {
	at := "."
	for path = filepath.Dir(path); len(path) > len(s.root); path, at = filepath.Dir(path), at+"/.." {
		if above, err := across.Mount(in.at(at + "/..")); err != nil || above != mount {
			break
		}
	}
	top, err := os.OpenRoot(in.at(at))
	if err != nil {
		return hold{}, err
	}
	defer top.Close()
	if err := top.Mkdir(ownTemp, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return hold{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if temp := filepath.Join(path, ownTemp); !slices.Contains(s.temps, temp) {
		s.temps = append(s.temps, temp)
	}
	return holdIn(top, ownTemp, false)
}

// tempDir opens the folder in which files of a bucket are written before they have their name: on its file system.
func (s *Store) tempDir(id string) (hold, error) {
	if err := durable.MkdirAll(s.root, 0o755); err != nil {
		return hold{}, err
	}
	root, rel, err := s.tempRoot(id)
	if err != nil {
		return hold{}, err
	}
	defer root.Close()
	if fi, err := root.Lstat(rel); err == nil && !fi.IsDir() {
		return hold{}, fmt.Errorf("%s is no folder: %w", filepath.Join(root.Name(), rel), cofre.ErrRefused)
	}
	if err := root.MkdirAll(filepath.Dir(rel), 0o755); err != nil {
		return hold{}, err
	}
	if err := root.Mkdir(rel, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return hold{}, err
	}
	return holdIn(root, rel, false)
}

func (s *Store) tempRoot(id string) (*os.Root, string, error) {
	root, rootErr := across.Mount(s.root + "/.")
	base, baseErr := across.Mount(s.bucketDir(id) + "/.")
	if rootErr == nil && baseErr == nil && root != base {
		r, err := s.bucketRoot(id)
		return r, ownTemp, err
	}
	rel := filepath.Join(reserved, "tmp")
	if err := s.unlinked(filepath.Join(s.root, rel)); err != nil {
		return nil, "", err
	}
	r, err := s.open()
	return r, rel, err
}

// writeTemp writes r to a file of temp, with everything that o says of it, and makes it durable.
func writeTemp(temp hold, o bucket.Object, r io.Reader) (string, error) {
	f, err := os.CreateTemp(temp.at("."), "object-*")
	if err != nil {
		return "", err
	}
	out := sparse.NewWriter(f, o.Attributes != nil && o.Attributes.Sparse)
	n, err := io.Copy(out, r)
	if err == nil && o.Size >= 0 && n != o.Size {
		err = fmt.Errorf("%d bytes came, %d were announced: %w", n, o.Size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = out.Finish()
	}
	if err == nil && o.Attributes != nil {
		err = dress(f, o.Attributes, o.ModifiedAt)
	} else if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = durable.Sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return filepath.Base(f.Name()), nil
}

// Delete removes an object, its record, and folders that are empty without it.
//
// Errors: cofre.ErrRefused if the bucket's name cannot be a folder's; cofre.ErrDenied, cofre.ErrReadOnly. An object that is
// not there is none.
func (s *Store) Delete(_ context.Context, id, name string) error {
	path, err := s.find(id, name)
	if errors.Is(err, cofre.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.remove(path); err != nil {
		return fmt.Errorf("delete %s/%s: %w", id, name, translate(err))
	}
	if err := s.remove(s.metaFile(id, name)); err != nil {
		return fmt.Errorf("delete the record of %s/%s: %w", id, name, translate(err))
	}
	for d := filepath.Dir(path); d != s.bucketDir(id) && strings.HasPrefix(d, s.bucketDir(id)); d = filepath.Dir(d) {
		removed, err := s.removeFolder(d)
		if err != nil {
			return fmt.Errorf("delete %s/%s: its empty folder %s: %w", id, name, d, translate(err))
		}
		if !removed {
			break
		}
	}
	return nil
}

// removeFolder removes a folder, unless something is in it or it may not go.
func (s *Store) removeFolder(path string) (removed bool, err error) {
	h, base, err := s.within(path, false)
	if err != nil {
		return false, nil
	}
	defer h.Close()
	if unix.Rmdir(h.at(base)) != nil {
		return false, nil
	}
	return true, durable.SyncDir(h.at("."))
}

// plain reports whether a name can be a path as it stands: whatever is listed by its path has to be found by it.
func (s *Store) plain(id, name string) bool {
	if name == "" || len(s.plainFile(id, name)) >= unix.PathMax || strings.IndexByte(name, 0) >= 0 {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(seg string) bool {
		return seg == "" || seg == "." || seg == ".." || len(seg) > maxSegment
	})
}

func (s *Store) bucketDir(id string) string { return filepath.Join(s.root, id) }
func (s *Store) settingsFile(id string) string {
	return filepath.Join(s.root, reserved, "buckets", id+".json")
}
func (s *Store) metaDir(id string) string { return filepath.Join(s.root, reserved, "meta", id) }
func (s *Store) oddDir(id string) string  { return filepath.Join(s.root, reserved, "odd", id) }
func (s *Store) metaFile(id, name string) string {
	return filepath.Join(s.metaDir(id), nameHash(name)+".json")
}

func (s *Store) oddFile(id, name string) string { return filepath.Join(s.oddDir(id), nameHash(name)) }

func (s *Store) plainFile(id, name string) string {
	return filepath.Join(s.bucketDir(id), filepath.FromSlash(name))
}

func nameHash(name string) string {
	h := sha256.Sum256([]byte(name))
	return hex.EncodeToString(h[:16])
}

func readJSON(path string, into any) error {
	b, err := inside.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func (s *Store) writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.unlinked(path); err != nil {
		return err
	}
	h, base, err := s.within(path, true)
	if err != nil {
		return err
	}
	defer h.Close()
	return durable.WriteFile(h.at(base), 0o644, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// translate gives the conditions of a file system cofre's names.
func translate(err error) error {
	err = bare(err)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", cofre.ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", cofre.ErrDenied, err)
	}
	return durable.Full(err)
}
