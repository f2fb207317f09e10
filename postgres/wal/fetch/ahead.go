package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

func (f *Fetcher) spoolDir(system cofre.SystemID) string {
	return filepath.Join(f.Spool, "fetched", system.String())
}

// deliverSpooled moves a segment out of the spool, if it is there. Its content was checked and synced when it was put
// there; that the file is the segment of its name is looked at again, because others may write to the folder.
func (f *Fetcher) deliverSpooled(system cofre.SystemID, name pgdata.WALName, path string) (bool, error) {
	spooled := filepath.Join(f.spoolDir(system), name.String())
	if !isSegment(spooled, system, name) {
		return false, nil
	}
	if len(f.Edits) > 0 {
		content, err := os.ReadFile(spooled)
		if err != nil {
			return false, err
		}
		return true, f.deliver(name, content, path)
	}
	err := os.Rename(spooled, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EXDEV) {
		return false, nil // removed meanwhile, or on another disk: fetched again, which is slower and right
	}
	if err != nil {
		return false, err
	}
	return true, durable.SyncDir(filepath.Dir(path))
}

// isSegment reports whether a file is there and begins as the segment of the given name.
func isSegment(path string, system cofre.SystemID, name pgdata.WALName) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	first := make([]byte, pgdata.WALPageSize)
	info, err := file.Stat()
	if err == nil {
		_, err = io.ReadFull(file, first)
	}
	if err != nil {
		return false
	}
	page, err := pgdata.CheckSegment(name, first)
	return err == nil && page.SystemID == system && page.SegmentSize == info.Size()
}

// cameFrom says how a segment was delivered.
type cameFrom bool

const (
	fromStore cameFrom = false
	fromSpool cameFrom = true
)

// ahead brings the segments after name, here or in the background. Its errors are told when the segment they
// are about is asked for.
func (f *Fetcher) ahead(ctx context.Context, system cofre.SystemID, name pgdata.WALName, from cameFrom) {
	if f.Background != nil {
		if !f.supplied(system, name) {
			_ = f.Background(name.String())
		}
		return
	}
	// Every call would wait for one segment; waiting once for many is as slow in sum and keeps the CPUs busy.
	if from == fromStore {
		_ = f.prefetch(ctx, system, name)
	}
}

// supplied reports whether the spool needs nobody now: another fills it, or it is half full of what comes after name. A
// process costs more than asking does.
func (f *Fetcher) supplied(system cofre.SystemID, name pgdata.WALName) bool {
	dir := f.spoolDir(system)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	ready := 0
	for _, e := range entries {
		if follows(e.Name(), name) {
			ready++
		}
	}
	if ready >= f.prefetchN()/2 {
		return true
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer durable.Unlock(lock) // or whoever fills the spool would be held off
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// follows reports whether a file of the spool is a segment that comes after name on its timeline.
func follows(file string, name pgdata.WALName) bool {
	n, err := pgdata.ParseWALName(file)
	return err == nil && n.Kind == pgdata.WALSegment && n.Timeline == name.Timeline && file > name.String()
}

// prefetchN is how many segments lie ready in the spool.
func (f *Fetcher) prefetchN() int {
	if f.Prefetch > 0 {
		return f.Prefetch
	}
	return 16
}

// PrefetchAfter fills the spool with the segments that follow name on its timeline, until Prefetch of them lie
// there unread or one is not archived whole. Of several processes that do this for one spool, one works and the
// others return at once. Segments before name are removed: recovery has passed them.
//
// Errors: one that quotes a name that is no segment's; the store's; cofre.ErrCorrupt. All that it has spooled is of use.
func (f *Fetcher) PrefetchAfter(ctx context.Context, name string) error {
	after, err := pgdata.ParseWALName(name)
	if err != nil {
		return err
	}
	system, err := f.system()
	if err != nil {
		return err
	}
	return f.prefetch(ctx, system, after)
}

func (f *Fetcher) prefetch(ctx context.Context, system cofre.SystemID, name pgdata.WALName) error {
	dir := f.spoolDir(system)
	lock, err := inside.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	defer durable.Unlock(lock)
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil // another is at it
	}
	there, err := sweep(dir, name)
	if err != nil {
		return err
	}
	size, err := f.first().segmentSize(ctx, system, name.Timeline)
	if err != nil {
		return err
	}
	seg, err := name.Segment(size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for range f.prefetchN() {
		seg = seg.Next()
		next := seg.File(size)
		if there[next.String()] {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := f.spoolOne(ctx, system, dir, next); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, cofre.ErrNotFound) {
		return fmt.Errorf("prefetch after %s: %w", name, err)
	}
	return nil
}

// sweep lists what lies in the spool and comes after name, and removes everything else: what recovery has passed, what is
// of another timeline, and what a killed process left half written.
func sweep(dir string, name pgdata.WALName) (there map[string]bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	there = map[string]bool{}
	for _, e := range entries {
		switch base := e.Name(); {
		case base == "lock":
		case follows(base, name):
			there[base] = true
		default:
			_ = os.Remove(filepath.Join(dir, base))
		}
	}
	return there, nil
}

// spoolOne brings a segment into the spool, whole ones only: a beginning would be older than what is there when
// recovery comes to it.
func (f *Fetcher) spoolOne(ctx context.Context, system cofre.SystemID, dir string, name pgdata.WALName) error {
	content, err := f.whole(ctx, system, name)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name.String()), content)
}

// Forget removes what fetching left in a spool: segments, and the identities that KeepIdentity kept there. To be
// called when a recovery has ended.
//
// Errors: the file system's.
func Forget(spool string) error {
	errs := []error{os.RemoveAll(filepath.Join(spool, "fetched")), removeIfThere(IdentityFile(spool))}
	beside, err := filepath.Glob(IdentityFile(spool) + ".*") // of copies, and of whom they believe
	for _, path := range beside {
		errs = append(errs, removeIfThere(path))
	}
	return errors.Join(append(errs, err)...)
}

// IdentityFile is where KeepIdentity keeps the identity of a recovery that uses a spool.
func IdentityFile(spool string) string { return filepath.Join(spool, "wal.identity") }

// CopyIdentityFile is IdentityFile for the n-th copy, from 1.
func CopyIdentityFile(spool string, n int) string {
	return fmt.Sprintf("%s.copy%d", IdentityFile(spool), n)
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
