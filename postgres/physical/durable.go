package physical

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/durable"
)

// syncers is how many files are synced at once. They wait for the disk, not for a processor, and a file system's
// journal takes several in one commit.
const syncers = 8

// replaceFile puts b at path so that a crash leaves the old file or the new one, whole. own makes it its owner's.
func replaceFile(path string, b []byte, own func(string) error) error {
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := own(f.Name()); err != nil {
		return err
	}
	return f.Publish()
}

// syncAll makes files and directories durable. Where writeback has begun already, most of it is done.
//
// Errors: every failed fsync: what a restore could not make durable it has not restored.
func syncAll(files, dirs []string) error {
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, f := range files {
		g.Go(func() error { return durable.SyncFile(f) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range dirs {
		g.Go(func() error { return durable.SyncDir(d) })
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
