package wal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// maxSegment is the size of the largest segment that PostgreSQL can be told to use, in bytes.
const maxSegment = 1 << 30

// ErrAbsent says that a repository was reached, is the right one, and does not hold a file, nor anything that
// would have to come after it. Only this error may be told to PostgreSQL as the end of WAL; see FetchExit.
var ErrAbsent error = absent{}

type absent struct{}

func (absent) Error() string { return "not archived" }
func (absent) Unwrap() error { return cofre.ErrNotFound }

// errNoWAL is the condition of a repository that holds no WAL of a system at all: another's, or one that is new.
var errNoWAL error = noWAL{}

type noWAL struct{}

func (noWAL) Error() string { return cofre.ErrNoRepo.Error() }
func (noWAL) Unwrap() error { return cofre.ErrNoRepo }

// Fetcher brings archived files back, as restore_command asks for them.
type Fetcher struct {
	Store    cofre.Store
	Identity Identity
	// Unusable is why Store could not be opened, where that is so; then there are Copies.
	Unusable error
	// Copies are asked for what Store does not have or cannot give: where it cannot be reached, or what it holds is
	// damaged. None is opened before it is needed.
	Copies []*Copy
	// Warn, where set, is told why something had to come from a copy.
	Warn func(text string)

	// System is the cluster that is recovered; zero takes what pg_control of the data directory says.
	System cofre.SystemID

	// Spool is a folder of the host for segments that are fetched before they are asked for; empty fetches only
	// what is asked for. It must be on the file system of the data directory, so that delivering is a rename.
	Spool string
	// Prefetch is how many segments may lie in Spool; 0 takes 16.
	Prefetch int
	// Background, where set, is called once a segment was delivered and starts a process that calls
	// f.PrefetchAfter(name); without it Fetch brings the next segments itself, before it returns.
	Background func(name string) error
	// Claim is the timeline that is recovered to, where its number is given: a history above it is asked for to find a
	// number for the timeline that begins, which is then reserved. Used is a number up to which all are used, whatever is
	// archived: there are base backups of it.
	Claim, Used cofre.Timeline
	// Edits are made to what is delivered; see pgdata.Edit.
	Edits []pgdata.Edit
	// Whole refuses segments that are not whole. Without it the streamed beginning of a segment, or the last
	// one of a timeline that ended, is delivered in its place, filled up with zeros: recovery ends in it.
	Whole bool
}

// FetchExit is the exit status of restore_command for an error of Fetch. PostgreSQL takes 0 as delivered, any
// of 1 to 125 as the end of WAL, at which it promotes, and more than 125, or a signal, as a reason to stop. So
// that no failure is taken for the end, only ErrAbsent is 1; all else is 126.
//
// lenient is for standbys alone, which ask again: there every failure is 1, for otherwise a repository that is
// down for a minute would end the standby.
//
// Source: PostgreSQL, src/backend/access/transam/xlogarchive.c, RestoreArchivedFile.
func FetchExit(err error, lenient bool) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrAbsent) || lenient:
		return 1
	}
	return 126
}

// Fetch delivers the archived file of the given name at path, as restore_command asks with %f and %p: relative to
// the data directory, in which the command runs. The file appears at path whole and durable, or not at all.
//
// Errors: ErrAbsent; *cofre.GapError where the file is missing and later segments of its timeline are there;
// cofre.ErrNoRepo where the store is reached and holds no repository, or no WAL of this system;
// cofre.ErrWrongKey; cofre.ErrCorrupt; the store's.
func (f *Fetcher) Fetch(ctx context.Context, name, path string) error {
	fail := func(err error) error { return fmt.Errorf("fetch %s: %w", name, err) }
	kind, err := pgdata.ParseWALName(name)
	if err != nil {
		return fail(err)
	}
	system := f.System
	if system == 0 {
		c, err := readControl(pgdata.ControlFile)
		if err != nil {
			return cofre.WithHint(fail(fmt.Errorf("find out which cluster it is of: %w", err)), "restore_command = 'cofre wal fetch %%f %%p' runs in the data directory")
		}
		system = c.SystemID
	}
	if kind.Kind == pgdata.WALSegment && f.Spool != "" {
		if spooled, err := f.deliver(system, name, path); err == nil && spooled && len(f.Edits) > 0 {
			if err := f.editFile(name, path); err != nil {
				return fail(errors.Join(err, os.Remove(path)))
			}
			f.ahead(ctx, system, name, true)
			return nil
		} else if err != nil {
			return fail(err)
		} else if spooled {
			f.ahead(ctx, system, name, true)
			return nil
		}
	}
	content, err := f.content(ctx, system, kind, name, path)
	if err != nil {
		return fail(err)
	}
	if err := f.edit(name, content); err != nil {
		return fail(err)
	}
	if err := writeFile(path, content); err != nil {
		return fail(err)
	}
	if kind.Kind == pgdata.WALSegment && f.Spool != "" {
		f.ahead(ctx, system, name, false)
	}
	return nil
}

// content is what is delivered under a name. path is where to.
func (f *Fetcher) content(ctx context.Context, system cofre.SystemID, kind pgdata.WALName, name, path string) ([]byte, error) {
	if kind.Kind == pgdata.WALHistory && f.Claim != 0 && kind.Timeline > f.Claim {
		return f.probed(ctx, system, kind.Timeline)
	}
	content, err := f.fromAny(ctx, system, name)
	if kind.Kind != pgdata.WALHistory || kind.Timeline == 1 || !errors.Is(err, ErrAbsent) {
		return content, err
	}
	if _, lerr := os.Stat(filepath.Join(filepath.Dir(path), name)); lerr == nil {
		return content, err // the server has it, and takes that
	}
	// A recovery that is told there is no such timeline would take its number, or pass over what it holds.
	if f.Unusable != nil {
		return nil, err
	}
	there, lerr := hasSegments(ctx, f.Store, system, kind.Timeline)
	if lerr != nil || !there {
		return nil, cmp.Or(lerr, err)
	}
	// The history may have been archived a moment ago, and the segments after it.
	if content, err = f.fromAny(ctx, system, name); errors.Is(err, ErrAbsent) {
		err = ErrNoHistory(kind.Timeline)
	}
	return content, err
}

// edit makes the edits that fall into a segment. Other files are left as they are.
func (f *Fetcher) edit(name string, content []byte) error {
	if len(f.Edits) == 0 || !pgdata.IsSegmentName(name) {
		return nil
	}
	s, err := pgdata.ParseSegment(name, int64(len(content)))
	if err != nil {
		return err
	}
	return pgdata.Apply(f.Edits, s, content)
}

// editFile is edit for a segment that has been delivered.
func (f *Fetcher) editFile(name, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	was := bytes.Clone(content)
	if err := f.edit(name, content); err != nil || bytes.Equal(was, content) {
		return err
	}
	return writeFile(path, content)
}

// read brings a file's content and checks that it is what its name says.
func (f *Fetcher) read(ctx context.Context, system cofre.SystemID, name string) ([]byte, error) {
	object, err := ObjectName(system, name)
	if err != nil {
		return nil, err
	}
	content, err := open(ctx, f.Store, f.Identity, object, maxSegment)
	if errors.Is(err, cofre.ErrNotFound) {
		return f.absent(ctx, system, name)
	}
	if err != nil {
		return nil, err
	}
	return content, checkContent(system, name, content)
}

// absent decides what it means that a file is not there: the beginning of a segment may be, WAL may go on after
// it, or the folder that holds the repository may not be mounted.
func (f *Fetcher) absent(ctx context.Context, system cofre.SystemID, name string) ([]byte, error) {
	if _, err := f.Store.Stat(ctx, RecipientObject); errors.Is(err, cofre.ErrNotFound) {
		return nil, cofre.WithHint(fmt.Errorf("no WAL is kept at %s: %w", f.Store.URL(), cofre.ErrNoRepo), "is the folder mounted, and the address right?")
	} else if err != nil {
		return nil, err
	}
	n, err := pgdata.ParseWALName(name)
	if err != nil {
		return nil, err
	}
	if n.Kind != pgdata.WALSegment {
		return nil, f.known(ctx, system)
	}
	if gap, err := f.lost(ctx, system, name, n.Timeline); err != nil {
		return nil, err
	} else if gap != "" {
		// The next one may have been archived ahead of this one a moment ago.
		object, err := ObjectName(system, name)
		if err != nil {
			return nil, err
		}
		if content, err := open(ctx, f.Store, f.Identity, object, maxSegment); err == nil {
			return content, checkContent(system, name, content)
		}
		return nil, cofre.WithHint(fmt.Errorf("%s: %w", gap, &cofre.GapError{Timeline: n.Timeline, From: name, To: name}),
			"cofre wal status names the gaps, and up to where recovery is possible")
	}
	if !f.Whole {
		content, err := f.unfinished(ctx, system, name)
		if err != nil || content != nil {
			return content, err
		}
	}
	return nil, f.known(ctx, system)
}

// lost says why a segment that is not there must have been: a later one of its timeline is, or a younger timeline
// left it later. To take its absence for the end of WAL would promote a cluster without what came after. It
// returns "" where nothing came.
func (f *Fetcher) lost(ctx context.Context, system cofre.SystemID, name string, tli cofre.Timeline) (string, error) {
	dir := fmt.Sprintf("%s%08X/", prefix(system), uint32(tli))
	for o, err := range f.Store.List(ctx, dir) {
		if err != nil {
			return "", err
		}
		if later := strings.TrimPrefix(o.Name, dir); pgdata.IsSegmentName(later) && later > name {
			return "segment " + later + " is there", nil
		}
	}
	// Timelines are numbered one after the other, as PostgreSQL looks for them.
	for child := tli + 1; ; child++ {
		object, err := ObjectName(system, pgdata.HistoryName(child))
		if err != nil {
			return "", err
		}
		b, err := open(ctx, f.Store, f.Identity, object, 1<<20)
		if errors.Is(err, cofre.ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		h, err := pgdata.ParseHistory(child, b)
		if err != nil {
			return "", err
		}
		for _, fork := range h.Forks {
			if fork.Parent != tli {
				continue
			}
			size, err := f.segmentSize(ctx, system, tli)
			if err != nil {
				return "", err
			}
			// The segment of the fork itself is the child's, too.
			if seg, err := pgdata.ParseSegment(name, size); err == nil && seg.Number < uint64(fork.At)/uint64(size) {
				return fmt.Sprintf("timeline %d left timeline %d at %s", child, tli, fork.At), nil
			}
		}
	}
}

// known is ErrAbsent where the store holds WAL of the system at all.
func (f *Fetcher) known(ctx context.Context, system cofre.SystemID) error {
	for _, err := range f.Store.List(ctx, prefix(system)) {
		if err != nil {
			return err
		}
		return ErrAbsent
	}
	return cofre.WithHint(fmt.Errorf("%s holds no WAL of system %s: %w", f.Store.URL(), system, errNoWAL), "is it the repository of this cluster?")
}

// unfinished puts the beginning of a segment together: what a stream brought of it, or its .partial file. It
// returns nil where there is neither.
func (f *Fetcher) unfinished(ctx context.Context, system cofre.SystemID, name string) ([]byte, error) {
	content, err := joinParts(ctx, f.Store, f.Identity, system, name)
	if err != nil {
		return nil, err
	}
	object, err := ObjectName(system, name+".partial")
	if err != nil {
		return nil, err
	}
	partial, err := open(ctx, f.Store, f.Identity, object, maxSegment)
	switch {
	case errors.Is(err, cofre.ErrNotFound):
		if content == nil {
			return nil, nil
		}
	case err != nil:
		return nil, err
	default:
		if err := checkContent(system, name+".partial", partial); err != nil {
			return nil, err
		}
		// Both are beginnings of the same segment, one followed by whatever: the one whose records go further.
		if content == nil || recordsReach(partial) > recordsReach(content) {
			return partial, nil
		}
	}
	return content, checkContent(system, name, content)
}

// recordsReach is how far the records of a segment that is not whole go.
func recordsReach(content []byte) cofre.LSN {
	if end := recordsEnd("000000010000000000000001", content); end != 0 {
		return end
	}
	return ^cofre.LSN(0)
}

func (f *Fetcher) spoolDir(system cofre.SystemID) string {
	return filepath.Join(f.Spool, "fetched", system.String())
}

// deliver moves a segment out of the spool. It was checked and synced when it was put there.
func (f *Fetcher) deliver(system cofre.SystemID, name, path string) (bool, error) {
	err := os.Rename(filepath.Join(f.spoolDir(system), name), path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, syscall.EXDEV) {
		return false, nil // fetched again, which is slower and right
	}
	if err != nil {
		return false, err
	}
	return true, durable.SyncDir(filepath.Dir(path))
}

// ahead brings the segments after name, here or in the background. Its errors are told when the segment they
// are about is asked for.
func (f *Fetcher) ahead(ctx context.Context, system cofre.SystemID, name string, spooled bool) {
	if f.Background != nil {
		if !f.supplied(system, name) {
			_ = f.Background(name)
		}
		return
	}
	// Every call would wait for one segment; waiting once for many is as slow in sum and keeps the CPUs busy.
	if !spooled {
		_ = f.prefetch(ctx, system, name)
	}
}

// supplied reports whether the spool needs nobody now: another fills it, or it is half full of what comes after name. A
// process costs more than asking does.
func (f *Fetcher) supplied(system cofre.SystemID, name string) bool {
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
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// follows reports whether a file of the spool is a segment that comes after name on its timeline.
func follows(file, name string) bool {
	return pgdata.IsSegmentName(file) && file[:8] == name[:8] && file > name
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
// Errors: the store's; cofre.ErrCorrupt. All that it has spooled is of use.
func (f *Fetcher) PrefetchAfter(ctx context.Context, name string) error {
	system := f.System
	if system == 0 {
		c, err := readControl(pgdata.ControlFile)
		if err != nil {
			return err
		}
		system = c.SystemID
	}
	return f.prefetch(ctx, system, name)
}

func (f *Fetcher) prefetch(ctx context.Context, system cofre.SystemID, name string) error {
	dir := f.spoolDir(system)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil // another is at it
	}
	there := map[string]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch base := e.Name(); {
		case base == "lock":
		case follows(base, name):
			there[base] = true
		default:
			// Passed by, of another timeline, or what a killed process left half written.
			_ = os.Remove(filepath.Join(dir, base))
		}
	}
	kind, err := pgdata.ParseWALName(name)
	if err != nil {
		return err
	}
	size, err := f.segmentSize(ctx, system, kind.Timeline)
	if err != nil {
		return err
	}
	seg, err := pgdata.ParseSegment(name, size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for range f.prefetchN() {
		seg = seg.Next()
		next := seg.Name(size)
		if there[next] {
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

// spoolOne brings a segment into the spool, whole ones only: a beginning would be older than what is there when
// recovery comes to it.
func (f *Fetcher) spoolOne(ctx context.Context, system cofre.SystemID, dir, name string) error {
	object, err := ObjectName(system, name)
	if err != nil {
		return err
	}
	content, err := f.whole(ctx, system, name, object)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, name), content)
}

// segmentSize is the size of the cluster's segments: as pg_control says, or an archived one of the timeline.
func (f *Fetcher) segmentSize(ctx context.Context, system cofre.SystemID, tli cofre.Timeline) (int64, error) {
	if c, err := readControl(pgdata.ControlFile); err == nil && c.SystemID == system {
		return c.WALSegmentSize, nil
	}
	if f.Unusable != nil {
		return 0, f.Unusable
	}
	dir := fmt.Sprintf("%s%08X/", prefix(system), uint32(tli))
	for o, err := range f.Store.List(ctx, dir) {
		if err != nil {
			return 0, err
		}
		if !pgdata.IsSegmentName(strings.TrimPrefix(o.Name, dir)) {
			continue
		}
		content, err := open(ctx, f.Store, f.Identity, o.Name, maxSegment)
		return int64(len(content)), err
	}
	return 16 << 20, nil // no segment of the timeline is there at all
}

// Forget removes what fetching left in a spool: segments, and the identities that KeepIdentity kept there. To be
// called when a recovery has ended.
//
// Errors: the file system's.
func Forget(spool string) error {
	errs := []error{os.RemoveAll(filepath.Join(spool, "fetched")), removeIfThere(IdentityFile(spool))}
	copies, err := filepath.Glob(IdentityFile(spool) + ".copy*")
	for _, path := range copies {
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

// writeFile makes path hold content, whole and durable. A crash before that leaves a file that nobody reads.
func writeFile(path string, content []byte) error {
	return diskFull(durable.WriteFile(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}))
}

func diskFull(err error) error {
	if err = durable.Full(err); errors.Is(err, cofre.ErrDiskFull) {
		return cofre.WithHint(err, "free space on the disk that this is on: df -h")
	}
	return err
}
