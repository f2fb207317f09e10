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

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/durable"
)

// Folders yields a bucket's folder and those in it, a folder before what is in it. One that may not be listed ends
// nothing here: List names it.
func (s *Store) Folders(ctx context.Context, id string) iter.Seq2[bucket.Folder, error] {
	return func(yield func(bucket.Folder, error) bool) {
		base := s.bucketDir(id)
		stopped := errors.New("stopped")
		// With the slash, a bucket that is a symbolic link is entered.
		err := filepath.WalkDir(base+"/", func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if d != nil && d.IsDir() && (err != nil || path == filepath.Join(base, ownTemp)) {
				return fs.SkipDir
			}
			if err != nil || !d.IsDir() {
				return err
			}
			f, err := s.folder(id, path)
			if errors.Is(err, fs.ErrNotExist) || err == nil && !utf8.ValidString(f.Name) {
				return nil
			}
			if !yield(f, err) {
				return stopped
			}
			return err
		})
		if err != nil && !errors.Is(err, stopped) {
			yield(bucket.Folder{}, fmt.Errorf("list the folders of bucket %s: %w", id, translate(err)))
		}
	}
}

func (s *Store) folder(id, path string) (bucket.Folder, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return bucket.Folder{}, err
	}
	rel, err := filepath.Rel(s.bucketDir(id), path)
	if err != nil {
		return bucket.Folder{}, err
	}
	if rel == "." {
		rel = ""
	}
	a, err := s.attributes(fi, path)
	if errors.Is(err, fs.ErrPermission) { // List names what cannot be read
		a, err = s.place.read(fi, func() ([]string, error) { return nil, nil }, nil)
	}
	return bucket.Folder{Bucket: id, Name: filepath.ToSlash(rel), ModifiedAt: fi.ModTime().UTC(), Attributes: a}, err
}

func (s *Store) attributes(fi fs.FileInfo, path string) (*bucket.Attributes, error) {
	return s.place.read(fi, func() ([]string, error) { return xattr.LList(path) },
		func(name string) ([]byte, error) { return xattr.LGet(path, name) })
}

// FitFolder says what of a captured folder can be had here.
func (s *Store) FitFolder(f bucket.Folder) (bucket.Folder, []string) {
	a, lost := s.place.fit(f.Attributes)
	f.Attributes = a
	return f, lost
}

// MakeFolder makes a folder with its attributes, so that nobody sees it more open than it is to be. Its owner may write
// into it until SetFolder.
func (s *Store) MakeFolder(_ context.Context, f bucket.Folder) (bool, error) {
	if err := checkBucket(f.Bucket); err != nil {
		return false, err
	}
	to := s.folderPath(f)
	if fi, err := os.Lstat(to); err == nil {
		if !fi.IsDir() {
			return false, fmt.Errorf("%s is no folder: %w", to, syscall.ENOTDIR)
		}
		return false, nil
	}
	temp, err := s.tempDir(f.Bucket)
	if err != nil {
		return false, translate(err)
	}
	made, err := os.MkdirTemp(temp, "folder-*")
	if err != nil {
		return false, translate(err)
	}
	open := *f.Attributes
	open.Mode = fmt.Sprintf("%04o", modeOf(open.Mode)|0o700)
	if err := dressPath(made, &open, time.Time{}); err != nil {
		return false, translate(errors.Join(err, os.Remove(made)))
	}
	if err := durable.Rename(made, to); err != nil {
		return false, translate(errors.Join(err, os.Remove(made)))
	}
	return true, nil
}

// SetFolder gives a folder its attributes and time.
func (s *Store) SetFolder(_ context.Context, f bucket.Folder) error {
	return translate(dressPath(s.folderPath(f), f.Attributes, f.ModifiedAt))
}

func (s *Store) folderPath(f bucket.Folder) string {
	if f.Name == "" {
		return s.bucketDir(f.Bucket) + "/" // through a bucket that is a symbolic link
	}
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
			if err := os.RemoveAll(filepath.Join(s.bucketDir(e.Name()), ownTemp)); err != nil {
				return fmt.Errorf("clean bucket %s: %w", e.Name(), translate(err))
			}
		}
	}
	own := filepath.Join(s.root, reserved)
	if fi, err := os.Lstat(own); errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() {
		return nil // nothing of cofre's; behind a symbolic link somebody else's files are
	}
	if err := os.RemoveAll(filepath.Join(own, "tmp")); err != nil {
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
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("clean %s: %w", own, translate(err))
	}
	for i := len(folders) - 1; i >= 0; i-- {
		_ = os.Remove(folders[i]) // one that is not empty stays
	}
	return nil
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
