package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/durable"
)

// KeptAt is beside the folder, so that what is in it stays the application's; inside, where it is never captured, if
// nothing can be made beside it or another file system is there.
func (s *Store) KeptAt(mark string) string {
	beside := s.root + "." + mark
	var here, above unix.Stat_t
	if unix.Stat(s.root, &here) != nil || unix.Stat(filepath.Dir(s.root), &above) != nil || here.Dev != above.Dev ||
		unix.Access(filepath.Dir(s.root), unix.W_OK|unix.X_OK) != nil {
		return filepath.Join(s.root, reserved, mark)
	}
	return beside
}

// Keep gives the file, and the record of it, a second name below KeptAt, at the same path: what is kept is itself a
// folder that Open opens.
func (s *Store) Keep(_ context.Context, o bucket.Object, mark string) error {
	path, err := s.find(o.Bucket, o.Name)
	if err != nil {
		return err
	}
	root := s.KeptAt(mark)
	if err := s.unlinked(root); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return translate(err)
	}
	err = s.link(root, s.metaFile(o.Bucket, o.Name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // a file without a record
	}
	if err == nil {
		err = s.link(root, path)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", o.Path(), translate(err))
	}
	return nil
}

func (s *Store) link(root, path string) error {
	rel, err := filepath.Rel(s.root, path)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err != nil {
		return err
	}
	to := filepath.Join(root, rel)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err = os.Link(path, to)
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		// A bucket on another disk, a file system without links, or another owner's file (protected_hardlinks in proc(5)): its bytes.
		err = durable.WriteFile(to, 0o600, func(w io.Writer) error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			return errors.Join(err, f.Close())
		})
	}
	if err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(to))
}
