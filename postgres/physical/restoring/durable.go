package restoring

import (
	"errors"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// syncers is how many files are synced at once. They wait for the disk, not for a processor, and a file system's
// journal takes several in one commit.
const syncers = 8

// syncAll makes files and directories durable. If writeback has begun already, most of it is done.
//
// Errors: every failed fsync: what a restore could not make durable it has not restored.
func (s *stage) syncAll(files, dirs []string) error {
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, f := range files {
		g.Go(func() error {
			out, err := s.openOurs(f)
			if err != nil {
				return err
			}
			return errors.Join(durable.Sync(out), out.Close())
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, d := range dirs {
		g.Go(func() error {
			return s.within(d, func(in *inside.Dir, name string) error {
				at, err := in.Follow(name, s.maker())
				if err != nil {
					return err
				}
				return errors.Join(at.Sync(), at.Close())
			})
		})
	}
	return g.Wait()
}

// beginWriteback asks the kernel to write what a file holds, without waiting: the fsync that follows later then
// finds little to do. An error of it is that fsync's to report.
func beginWriteback(f *os.File, offset, length int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, length, unix.SYNC_FILE_RANGE_WRITE)
}
