package physical

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// syncers is how many files are synced at once. They wait for the disk, not for a processor, and a file system's
// journal takes several in one commit.
const syncers = 8

// replaceFile puts b at path so that a crash leaves the old file or the new one, whole.
func replaceFile(path string, b []byte, own func(string) error) error {
	temp := path + ".cofre"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = own(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, os.RemoveAll(temp)))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error { return syncPath(path, os.O_RDONLY) }

func syncPath(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// syncAll makes files and directories durable. Where writeback has begun already, most of it is done.
//
// Errors: every failed fsync: what a restore could not make durable it has not restored.
func syncAll(files, dirs []string) error {
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, f := range files {
		g.Go(func() error { return syncPath(f, os.O_RDWR) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range dirs {
		g.Go(func() error { return syncDir(d) })
	}
	return g.Wait()
}

// beginWriteback asks the kernel to write what a file holds, without waiting: the fsync that follows later then
// finds little to do. An error of it is that fsync's to report.
func beginWriteback(f *os.File, offset, length int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}

// freeBytes is what can still be stored below path, of which the last parts may not exist yet, and the device
// that it is on.
func freeBytes(path string) (free int64, device uint64, err error) {
	path = existing(path)
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(fs.Bavail) * fs.Bsize, st.Dev, nil
}

// existing is the longest beginning of an absolute path that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
