package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/pkg/xattr"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/durable"
)

// Folders yields a bucket's folder and those in it, a folder before what is in it. One that may not be looked at or listed
// ends nothing here: List names it.
//
// Errors: those of looking at the bucket's folder, and the error of ctx; each ends the list. A bucket that is not there has no folders.
func (s *Store) Folders(ctx context.Context, id string) iter.Seq2[bucket.Folder, error] {
	return func(yield func(bucket.Folder, error) bool) {
		if id == "" {
			s.itself(yield)
			return
		}
		in, err := s.enter(id)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(bucket.Folder{}, fmt.Errorf("list the folders of bucket %s: %w", id, translate(err)))
			return
		}
		defer in.Close() // only searched
		base := filepath.Clean(in.At("."))
		stopped := errors.New("stopped")
		err = filepath.WalkDir(base+"/", func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if d != nil && d.IsDir() && (err != nil || isOwnTemp(strings.TrimPrefix(path, base+"/"), path)) {
				return fs.SkipDir
			}
			if err != nil || !d.IsDir() {
				return err
			}
			if !utf8.ValidString(d.Name()) {
				return fs.SkipDir // named by List
			}
			f, err := s.folder(id, base, path)
			if err != nil && path != base+"/" {
				return fs.SkipDir // it is gone, or List names it, as nothing in it can be read either
			}
			if !yield(f, err) {
				return stopped
			}
			return err
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(bucket.Folder{}, fmt.Errorf("list the folders of bucket %s: %w", id, translate(bare(err))))
		}
	}
}

// itself yields the store's own folder. Its time is left out: whatever is done to a bucket changes it.
func (s *Store) itself(yield func(bucket.Folder, error) bool) {
	if s.Absent() {
		return
	}
	f, err := s.folder("", s.root, s.root+"/.")
	if err != nil {
		err = fmt.Errorf("look at %s: %w", s.root, translate(err))
	}
	f.Name, f.ModifiedAt = "", time.Time{}
	yield(f, err)
}

// folder describes the folder at a path, which is that of the bucket, base, or one in it.
func (s *Store) folder(id, base, path string) (bucket.Folder, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return bucket.Folder{}, err
	}
	rel, err := filepath.Rel(base, path)
	if err != nil {
		return bucket.Folder{}, err
	}
	if rel == "." {
		rel = ""
	}
	a, err := s.attributes(fi, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // List names what cannot be read
		a, err = s.place.read(fi, func() ([]string, error) { return nil, nil }, nil)
	}
	return bucket.Folder{Bucket: id, Name: filepath.ToSlash(rel), ModifiedAt: fi.ModTime().UTC(), Attributes: a}, err
}

func (s *Store) attributes(fi fs.FileInfo, path string) (*bucket.Attributes, error) {
	return s.place.read(fi, func() ([]string, error) { return xattr.LList(path) },
		func(name string) ([]byte, error) { return xattr.LGet(path, name) })
}

// FitFolder says what of a captured folder can be had here.
func (s *Store) FitFolder(f bucket.Folder) (bucket.Folder, []cofre.Message) {
	in := s.placeOf(f.Bucket, filepath.Join(s.folderPath(f), "any"))
	a, lost := in.fit(f.Attributes)
	at, kept := in.fitTime(f.ModifiedAt)
	f.Attributes, f.ModifiedAt = a, at
	return f, append(lost, kept...)
}

// MakeFolder makes a folder with its attributes, so that nobody sees it more open than it is to be. Its owner may write
// into it until SetFolder.
//
// Errors: cofre.ErrRefused if the bucket's name cannot be a folder's, or a symbolic link leads out of the store;
// syscall.ENOTDIR if something else has the name, cofre.ErrNotFound if something else is above it; cofre.ErrDenied,
// cofre.ErrDiskFull, cofre.ErrReadOnly.
func (s *Store) MakeFolder(_ context.Context, f bucket.Folder) (bool, error) {
	if f.Bucket == "" {
		return s.makeItself(f)
	}
	if err := checkBucket(f.Bucket); err != nil {
		return false, err
	}
	if err := durable.MkdirAll(s.root, 0o755); err != nil {
		return false, translate(err)
	}
	h, base, err := s.within(s.folderPath(f), true)
	if err != nil {
		return false, translate(err)
	}
	defer h.Close()
	if fi, err := os.Stat(h.at(base)); err == nil { // a bucket may be a link, which was looked at
		if !fi.IsDir() {
			return false, fmt.Errorf("%s is no folder: %w", s.folderPath(f), syscall.ENOTDIR)
		}
		return false, nil
	}
	temp, err := s.tempFor(f.Bucket, s.folderPath(f))
	if err != nil {
		return false, translate(err)
	}
	defer temp.Close()
	made, err := os.MkdirTemp(temp.at("."), "folder-*")
	if err != nil {
		return false, translate(err)
	}
	open := *f.Attributes
	open.Mode = fmt.Sprintf("%04o", modeOf(open.Mode)|0o700)
	if err := dressPath(made, &open, time.Time{}); err != nil {
		return false, translate(errors.Join(err, os.Remove(made)))
	}
	if err := durable.Rename(made, h.at(base)); err != nil {
		if rmErr := os.Remove(made); !errors.Is(rmErr, fs.ErrNotExist) { // it has its name if only that could not be synced
			err = errors.Join(err, rmErr)
		}
		return false, translate(err)
	}
	return true, nil
}

// Lock locks the folder itself, making it: whoever else restores into it sees that, with whatever state directory and, if
// the file system knows of locks, from whatever machine.
//
// Errors: cofre.ErrLocked while another restore into the folder runs; cofre.ErrDenied, cofre.ErrDiskFull or
// cofre.ErrReadOnly if it cannot be made or opened.
func (s *Store) Lock() (func() error, error) {
	if s.Absent() {
		if err := durable.MkdirAll(s.root, 0o755); err != nil {
			return nil, translate(err)
		}
		s.made = true
	}
	root, err := s.open()
	if err != nil {
		return nil, translate(err)
	}
	if err := root.Close(); err != nil {
		return nil, err
	}
	unlock, err := durable.LockDir(s.root)
	if errors.Is(err, cofre.ErrLocked) {
		return nil, cofre.WithHint(fmt.Errorf("another restore into %s runs: %w", s.root, err), cofre.Say("bucket.busy_folder", "wait until it has ended, or restore into another folder"))
	}
	if err == nil {
		s.tryTraits()
	}
	return unlock, translate(err)
}

// makeItself makes the store's own folder. Its owner may write into it until SetFolder.
func (s *Store) makeItself(f bucket.Folder) (bool, error) {
	if !s.made {
		return false, nil // Lock makes it
	}
	open := *f.Attributes
	open.Mode = fmt.Sprintf("%04o", modeOf(open.Mode)|0o700)
	return true, translate(errors.Join(dressPath(s.root, &open, time.Time{}), durable.SyncDir(filepath.Dir(s.root))))
}

// SetFolder gives a folder its attributes and time.
//
// Errors: cofre.ErrNotFound if it is not there, or no folder; cofre.ErrRefused if its bucket is a symbolic link that leads
// out of the store; cofre.ErrDenied if the user may not give it this owner or mode; cofre.ErrReadOnly.
func (s *Store) SetFolder(_ context.Context, f bucket.Folder) error {
	if f.Bucket == "" {
		return translate(dressPath(s.root+"/.", f.Attributes, f.ModifiedAt))
	}
	if f.Name == "" {
		root, err := s.bucketRoot(f.Bucket)
		if err != nil {
			return translate(err)
		}
		defer root.Close()
		h, err := holdIn(root, ".", false)
		if err != nil {
			return translate(err)
		}
		defer h.Close()
		return translate(errors.Join(dress(h.File, f.Attributes, f.ModifiedAt), durable.Sync(h.File)))
	}
	h, base, err := s.within(s.folderPath(f), false)
	if err != nil {
		return translate(err)
	}
	defer h.Close()
	return translate(dressPath(h.at(base), f.Attributes, f.ModifiedAt))
}

func (s *Store) folderPath(f bucket.Folder) string {
	return filepath.Join(s.bucketDir(f.Bucket), filepath.FromSlash(f.Name))
}

// dressPath does not follow a link that took the folder's place.
func dressPath(path string, a *bucket.Attributes, at time.Time) error {
	d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(dress(d, a, at), durable.Sync(d), d.Close())
}

// Sweep removes what a restore needed for its own work, what one that was killed left of it, and records of earlier
// versions that say nothing. What is left below .cofre is what files cannot say.
//
// Errors: cofre.ErrDenied or cofre.ErrReadOnly if something may not be removed; the error of ctx.
func (s *Store) Sweep(ctx context.Context) error {
	if s.Absent() {
		return nil // nothing was written
	}
	buckets, err := os.ReadDir(s.root)
	if err != nil {
		return fmt.Errorf("clean %s: %w", s.root, translate(err))
	}
	for _, e := range buckets {
		if s.isBucket(e) {
			if err := s.sweepBucket(e.Name()); err != nil {
				return fmt.Errorf("clean bucket %s: %w", e.Name(), translate(err))
			}
		}
	}
	if err := s.sweepMounts(); err != nil {
		return err
	}
	own := filepath.Join(s.root, reserved)
	if fi, err := os.Lstat(own); errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() {
		return nil // nothing of cofre's; behind a symbolic link somebody else's files are
	}
	root, err := s.open()
	if err != nil {
		return fmt.Errorf("clean %s: %w", own, translate(err))
	}
	defer root.Close()
	if err := root.RemoveAll(filepath.Join(reserved, "tmp")); err != nil {
		return fmt.Errorf("clean %s: %w", own, translate(err))
	}
	var folders []string
	err = filepath.WalkDir(own, func(path string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if d.IsDir() {
			folders = append(folders, path)
			return nil
		}
		if s.saysNothing(path) {
			return s.remove(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clean %s: %w", own, translate(err))
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if _, err := s.removeFolder(folders[i]); err != nil {
			return fmt.Errorf("clean %s: %w", own, translate(err))
		}
	}
	return nil
}

func (s *Store) sweepMounts() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, temp := range s.temps {
		in, base, err := s.within(temp, false)
		if err != nil {
			return fmt.Errorf("clean %s: %w", temp, translate(err))
		}
		root, err := os.OpenRoot(in.at("."))
		if err == nil {
			err = errors.Join(root.RemoveAll(base), root.Close())
		}
		if err = errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("clean %s: %w", temp, translate(err))
		}
	}
	s.temps = nil
	return nil
}

func (s *Store) sweepBucket(id string) error {
	root, err := s.bucketRoot(id)
	if errors.Is(err, cofre.ErrRefused) {
		return nil // nothing was written behind such a link
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(ownTemp)
}

// saysNothing reports whether a file below .cofre is a record of what a file, or a plain folder, says by itself.
func (s *Store) saysNothing(path string) bool {
	rel, err := filepath.Rel(filepath.Join(s.root, reserved), path)
	if err != nil || !strings.HasSuffix(path, ".json") {
		return false
	}
	switch kind, rest, _ := strings.Cut(filepath.ToSlash(rel), "/"); kind {
	case "buckets":
		var b bucket.Bucket
		return readJSON(path, &b) == nil && !special(b)
	case "meta":
		var m record
		id, name, _ := strings.Cut(rest, "/")
		if readJSON(path, &m) != nil || m.needed() {
			return false
		}
		_, err := os.Lstat(filepath.Join(s.oddDir(id), strings.TrimSuffix(name, ".json")))
		return errors.Is(err, fs.ErrNotExist) // it may name an odd object
	}
	return false
}
