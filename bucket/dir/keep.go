package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
)

// KeptAt is beside the folder, so that what is in it stays the application's; inside, where it is never captured, if
// nothing can be made beside it or another file system is there.
func (s *Store) KeptAt(mark string) string {
	beside := s.root + "." + mark
	var here, above unix.Stat_t
	if unix.Stat(s.root, &here) != nil || unix.Stat(filepath.Dir(s.root), &above) != nil || here.Dev != above.Dev || across.Mounted(s.root) ||
		unix.Access(filepath.Dir(s.root), unix.W_OK|unix.X_OK) != nil {
		return filepath.Join(s.root, reserved, mark)
	}
	return beside
}

// Keep gives the file, and the record of it, a second name below KeptAt, at the same path: what is kept is itself a
// folder that Open opens.
//
// Errors: cofre.ErrNotFound if there is no such object; cofre.ErrRefused if a symbolic link stands where it would be kept;
// cofre.ErrDenied, cofre.ErrDiskFull, cofre.ErrReadOnly.
func (s *Store) Keep(ctx context.Context, o bucket.Object, mark string) error {
	path, err := s.find(o.Bucket, o.Name)
	if err != nil {
		return err
	}
	kept, err := s.keptRoot(mark)
	if err != nil {
		return translate(err)
	}
	defer kept.Close()
	err = s.link(ctx, kept, s.metaFile(o.Bucket, o.Name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // a file without a record
	}
	if err == nil {
		err = s.link(ctx, kept, path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", o.Path(), translate(err))
	}
	return nil
}

// keptRoot opens what is at KeptAt, making it.
func (s *Store) keptRoot(mark string) (*os.Root, error) {
	at := s.KeptAt(mark)
	if err := s.unlinked(at); err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(s.root, at)
	if err != nil {
		return nil, err
	}
	if !filepath.IsLocal(rel) { // beside the folder, where those who write into it do not
		if err := durable.MkdirAll(at, 0o700); err != nil {
			return nil, err
		}
		return os.OpenRoot(at)
	}
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := errors.Join(makeIn(root, reserved, 0o755), makeIn(root, rel, 0o700)); err != nil {
		return nil, err
	}
	return root.OpenRoot(rel)
}

func (s *Store) link(ctx context.Context, kept *os.Root, path string) error {
	rel, err := filepath.Rel(s.root, path)
	if err != nil {
		return err
	}
	from, base, err := s.within(path, false)
	if err != nil {
		return err
	}
	defer from.Close()
	if fi, err := os.Lstat(from.at(base)); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, notRegular(fi))
	}
	to, err := holdIn(kept, filepath.Dir(rel), true)
	if err != nil {
		return err
	}
	defer to.Close()
	err = os.Link(from.at(base), to.at(base))
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		// A bucket on another disk, a file system without links, or another owner's file (protected_hardlinks in proc(5)): its bytes.
		err = across.Copy(ctx, from.at(base), to.at(base))
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(to.at("."))
}

func notRegular(fi fs.FileInfo) error {
	if fi == nil || fi.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("%s is no file any more: %w", fi.Name(), fs.ErrNotExist)
}
