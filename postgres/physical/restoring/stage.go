package restoring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// pieceSize is how much of one file a worker restores at a time: small enough that the last large file is shared
// among all of them. chunkSize is how much it reads and writes at once: little enough that the kernel copies it from
// the processor's cache, which with 1 MiB took twice the time. Multiples of BlockSize both.
const (
	pieceSize = 64 << 20
	chunkSize = physical.BlockSize
)

type piece struct {
	file        *staged
	from, until int64
}

// staged is one file of the restore.
type staged struct {
	entry cofre.Entry
	facts *physical.FileFacts

	once    sync.Once
	err     error
	before  int64        // bytes that were there already
	pending atomic.Int32 // pieces
}

// stage carries a plan out. It alone writes, in the directory that it has claimed.
type stage struct {
	*plan

	work    []*staged    // the files, largest first
	touched bool         // the directory is claimed, and what is in it ours to discard
	unlock  func() error // of the directory, while it is touched
	kept    []cofre.Kept // where what stood in the way is now
	result  stageResult
	rooms   rooms
}

// stageResult is what was done, for the proof.
type stageResult struct {
	files   atomic.Int64
	bytes   atomic.Int64 // of blocks found equal to their hash, written or not
	fetched atomic.Int64 // of them, brought from the repository
	blocks  atomic.Int64
}

func newStage(p *plan) *stage {
	s := &stage{plan: p}
	for _, f := range p.files {
		s.work = append(s.work, &staged{entry: f.entry, facts: f.facts})
	}
	slices.SortStableFunc(s.work, func(a, b *staged) int { return cmp.Compare(b.entry.Size, a.entry.Size) })
	return s
}

// run does everything that Stage promises.
func (s *stage) run(ctx context.Context, obs cofre.Observer) error {
	if err := ctx.Err(); err != nil {
		return err // before a delta deletes anything
	}
	if err := s.claim(); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.makeDirs(); err != nil {
		return err
	}
	if s.inPlace {
		if err := s.removeExtras(); err != nil {
			return err
		}
	}
	if err := s.makeSpaces(); err != nil {
		return err
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Total: s.bytes, Unit: cofre.UnitBytes}.Doing(filesTask()))
	err := s.writeFiles(ctx, obs)
	if err == nil {
		err = s.mend(ctx)
	}
	if err == nil {
		err = diskFull(s.sync(ctx)) // allocation that was delayed comes to light here
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: s.result.bytes.Load(), Total: s.bytes, Unit: cofre.UnitBytes, Err: err}.Doing(filesTask()))
	if err != nil {
		return err
	}
	if err := s.editOwnWAL(); err != nil {
		return err
	}
	data, err := s.data()
	if err != nil {
		return err
	}
	if err := s.recovery().Write(data.At("."), s.facts.Summary, s.control, s.own); err != nil {
		return err
	}
	return s.within(path.Join(physical.DataDir, controlStaged), func(in *inside.Dir, name string) error {
		return datadir.Replace(in.At(name), s.raw, s.own)
	})
}

// begin makes the directory one that no server can start on and that says what it is becoming.
func (s *stage) begin() error {
	data, err := s.data()
	if err != nil {
		return err
	}
	if err := s.give(data, "."); err != nil {
		return err
	}
	b, err := json.Marshal(marker{s.root, s.now})
	if err != nil {
		return err
	}
	// The marker first: a crash after pg_control is gone must leave a directory that says why.
	if err := datadir.Replace(data.At(datadir.MarkerFile), b, s.own); err != nil {
		return err
	}
	if err := durable.SyncDir(data.At("..")); err != nil {
		return err
	}
	if !s.inPlace {
		return nil
	}
	err = s.within(path.Join(physical.DataDir, pgdata.ControlFile), func(in *inside.Dir, name string) error { return durable.Remove(in.At(name)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.o.Delta {
		return s.keepWAL()
	}
	return nil
}

// keepWAL moves the WAL of the cluster that is about to be overwritten out of the way: its last segments may
// never have been archived, and are then the only copy of the newest transactions.
func (s *stage) keepWAL() error {
	data, err := s.data()
	if err != nil {
		return err
	}
	d, err := data.Follow("pg_wal", s.maker())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close() // only searched
	names, err := d.ReadDir()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(d fs.DirEntry) bool { return pgdata.IsSegmentName(d.Name()) }) {
		return nil
	}
	if err := s.keepDir(d, names); err != nil {
		return fmt.Errorf("keep the WAL in %s: %w", filepath.Join(s.built, "pg_wal"), err)
	}
	return nil
}

// keepDir gives the directory with the WAL another name, beside the data directory or beside itself, and makes it again: if pg_wal is a
// link, what that leads to must be there.
func (s *stage) keepDir(d *inside.Dir, names []fs.DirEntry) error {
	wal, err := d.Real()
	if err != nil {
		return err
	}
	above, err := inside.OpenAs(filepath.Dir(wal))
	if err != nil {
		return err
	}
	defer above.Close() // only searched
	name := filepath.Base(wal)
	if !sameDir(above, name, d) {
		return s.changed()
	}
	for _, to := range []string{s.aside(s.o.Dir + ".pg_wal"), s.aside(wal)} {
		beside, err := inside.OpenAs(filepath.Dir(to))
		if err != nil {
			return err
		}
		err = errors.Join(durable.Rename(above.At(name), beside.At(filepath.Base(to))), beside.Close())
		if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EBUSY) {
			continue
		}
		if err != nil {
			return err
		}
		s.keptWAL(wal, to)
		if err := above.Mkdir(name); err != nil {
			return err
		}
		return errors.Join(s.give(above, name), above.Sync())
	}
	return s.keepWALInside(wal, d, names)
}

// sameDir reports whether a name is that of an open directory.
func sameDir(in *inside.Dir, name string, d *inside.Dir) bool {
	named, err := in.Stat(name)
	if err != nil {
		return false
	}
	here, err := d.Stat(".")
	return err == nil && named.Dev == here.Dev && named.Ino == here.Ino
}

func (s *stage) keptWAL(wal, to string) {
	s.keep(cofre.ThingWAL, wal, to, cofre.Say("cluster.kept_wal", "the WAL that was there: {{.to}}", "to", to))
}

// keptInside begins the name of a folder in pg_wal with the WAL that was there, if a disk of its own is mounted at it: a mount cannot be
// renamed. PostgreSQL passes it over, as its name is none of WAL, and so does a later delta.
const keptInside = "cofre-kept."

func (s *stage) keepWALInside(wal string, d *inside.Dir, names []fs.DirEntry) error {
	name := s.aside(keptInside + "pg_wal")
	if err := d.Mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	to, err := d.Sub(name)
	if err != nil {
		return err
	}
	defer to.Close() // only searched
	if err := s.give(to, "."); err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), keptInside) || n.Name() == "lost+found" {
			continue
		}
		if err := d.RenameTo(n.Name(), to, n.Name()); err != nil {
			return err
		}
	}
	s.keptWAL(wal, filepath.Join(wal, name))
	return errors.Join(to.Sync(), d.Sync())
}

// makeDirs makes the directories, parents first, and the links of the tablespaces.
func (s *stage) makeDirs() error {
	for _, d := range s.dirs {
		if d.Path == physical.TablespacesDir {
			continue
		}
		if err := s.makeDir(d); err != nil {
			return err
		}
	}
	for _, l := range s.links {
		to := l.Link
		if oid, err := strconv.ParseUint(path.Base(l.Path), 10, 32); err == nil && path.Dir(l.Path) == physical.DataDir+"/pg_tblspc" {
			to = cmp.Or(s.spaces[uint32(oid)], to)
		}
		if err := s.within(l.Path, func(in *inside.Dir, name string) error { return s.makeLink(in, name, to) }); err != nil {
			return err
		}
	}
	return nil
}

// removeExtras deletes what a delta finds and the component does not hold.
func (s *stage) removeExtras() error {
	wanted := map[string]bool{filepath.Join(s.built, datadir.MarkerFile): true}
	roots := []string{physical.DataDir}
	for _, e := range s.dirs {
		wanted[s.path(e.Path)] = true
		if strings.HasPrefix(e.Path, physical.TablespacesDir+"/") && strings.Count(e.Path, "/") == 2 {
			roots = append(roots, e.Path)
		}
	}
	for _, e := range s.links {
		wanted[s.path(e.Path)] = true
	}
	for _, f := range s.files {
		wanted[s.path(f.entry.Path)] = true
	}
	for _, root := range roots {
		err := s.within(root, func(in *inside.Dir, name string) error {
			d, err := in.Sub(name)
			if err != nil {
				return err
			}
			return errors.Join(s.removeBelow(d, s.path(root), wanted), d.Close())
		})
		if err != nil {
			return fmt.Errorf("delete what is not in the component: %w", err)
		}
	}
	return nil
}

func (s *stage) writeFiles(ctx context.Context, obs cofre.Observer) error {
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan piece)
	g.Go(func() error {
		defer close(work)
		for _, f := range s.work {
			n := max(1, (f.entry.Size+pieceSize-1)/pieceSize)
			f.pending.Store(int32(n))
			for i := range n {
				select {
				case work <- piece{f, i * pieceSize, min((i+1)*pieceSize, f.entry.Size)}:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range s.o.Jobs {
		g.Go(func() error {
			w := worker{s: s, obs: obs, buf: make([]byte, chunkSize)}
			for p := range work {
				if err := w.piece(ctx, p); err != nil {
					return diskFull(fmt.Errorf("restore %s: %w", physical.ServerPath(p.file.entry.Path), err))
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// worker restores one piece after another.
type worker struct {
	s   *stage
	obs cofre.Observer
	buf []byte
}

// prepare makes the file with its full size, so that its pieces can be written in any order and the file system
// can lay it out at once.
func (w *worker) prepare(f *staged) error {
	f.once.Do(func() { f.err = w.s.create(f) })
	return f.err
}

func (s *stage) create(f *staged) error {
	return s.within(f.entry.Path, func(in *inside.Dir, name string) error {
		if st, err := in.Stat(name); err == nil {
			if s.ours(&st) {
				f.before = st.Size
			} else if err := in.RemoveAll(name); err != nil {
				return err
			}
		}
		flags := unix.O_WRONLY
		if f.before == 0 {
			flags |= unix.O_CREAT
		}
		out, err := in.OpenFile(name, flags|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return err
		}
		return errors.Join(s.size(out, f), out.Close())
	})
}

// size gives an open file the size, the mode and the owner that it is to have, if it is one that may be written.
func (s *stage) size(out *os.File, f *staged) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(out.Fd()), &st); err != nil {
		return err
	}
	made := st.Size == 0 && st.Nlink == 1 && int(st.Uid) == os.Geteuid()
	if !made && !s.ours(&st) {
		return fmt.Errorf("%s is not the file that was made: somebody else writes into the directory: %w", out.Name(), cofre.ErrRefused)
	}
	f.before = st.Size
	return errors.Join(out.Truncate(f.entry.Size), out.Chmod(f.entry.Mode.Perm()), s.own(out))
}

func (w *worker) piece(ctx context.Context, p piece) (err error) {
	if err := w.prepare(p.file); err != nil {
		return err
	}
	out, err := w.s.openOurs(p.file.entry.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in := source{ctx: ctx, tree: w.s.tree, path: p.file.entry.Path}
	defer func() { err = errors.Join(err, in.close()) }()
	written := false
	for at := p.from; at < p.until; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(chunkSize, p.until-at)
		wrote, err := w.chunk(&in, out, p.file, at, w.buf[:n])
		if err != nil {
			return err
		}
		written = written || wrote
		at += n
		done := w.s.result.bytes.Add(n)
		w.obs.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Item: physical.ServerPath(p.file.entry.Path), Done: done, Total: w.s.bytes, Unit: cofre.UnitBytes}.Doing(filesTask()))
	}
	if written {
		beginWriteback(out, p.from, p.until-p.from)
	}
	if p.file.pending.Add(-1) == 0 {
		w.s.result.files.Add(1)
	}
	return nil
}

// chunk makes b's length of the file at an offset equal to what was captured.
func (w *worker) chunk(in *source, out *os.File, f *staged, at int64, b []byte) (wrote bool, err error) {
	var hashes []uint64 // none if they are lost
	if !w.s.lost.gone {
		hashes = f.facts.Hashes[at/physical.BlockSize:]
	}
	count := physical.Blocks(int64(len(b)))
	there := f.before > at && hashes != nil
	if there {
		// What is there may be right. Beyond its old end the file is zeros, which a zero page is too.
		if _, err := out.ReadAt(b, at); err != nil {
			return false, fmt.Errorf("read what is there: %w", err)
		}
	}
	for i := 0; i < count; {
		j := count
		if there {
			// Blocks that differ are far apart as a rule: each is fetched alone.
			j = i + 1
			if xxh3.Hash(physical.Block(b, i)) == hashes[i] {
				i = j
				continue
			}
		}
		part, offset := b[i*physical.BlockSize:min(j*physical.BlockSize, len(b))], at+int64(i)*physical.BlockSize
		err := in.read(part, offset)
		whole := err == nil
		if w.s.o.Loss.Without && isLost(err) {
			err = w.fill(in, f, offset, part)
		}
		if err != nil {
			return wrote, err
		}
		for ; i < j; i++ {
			if whole && hashes != nil && xxh3.Hash(physical.Block(b, i)) != hashes[i] {
				return wrote, fmt.Errorf("block %d of %d KiB is not what was captured: %w", at/physical.BlockSize+int64(i), physical.BlockSize>>10, cofre.ErrCorrupt)
			}
		}
		if _, err := out.WriteAt(part, offset); err != nil {
			return wrote, err
		}
		w.s.result.fetched.Add(int64(len(part)))
		wrote = true
	}
	w.s.result.blocks.Add(int64(count))
	return wrote, nil
}

// source reads one file of the component, opened when the first byte is needed.
type source struct {
	ctx  context.Context //nolint:containedctx // it lives as long as one piece
	tree cofre.Tree
	path string
	r    io.ReadSeekCloser
	at   int64
}

func (s *source) read(b []byte, at int64) (err error) {
	if s.r == nil {
		if s.r, err = s.tree.Open(s.ctx, s.path); err != nil {
			return err
		}
	}
	if s.at != at {
		if _, err := s.r.Seek(at, io.SeekStart); err != nil {
			return err
		}
	}
	n, err := io.ReadFull(s.r, b)
	s.at = at + int64(n)
	if err != nil {
		s.at = -1 // where it stands then, nobody says
	}
	return err
}

func (s *source) close() error {
	if s.r == nil {
		return nil
	}
	return s.r.Close()
}

// diskFull adds the condition to an error of a write that says so.
func diskFull(err error) error {
	if err = durable.Full(err); !errors.Is(err, cofre.ErrDiskFull) {
		return err
	}
	return cofre.WithHint(err, cofre.Say("cluster.space", "free some space, or restore elsewhere; with --keep-partial the same command goes on with what is there"))
}

// sync makes everything written durable, files first, then the directories that name them.
func (s *stage) sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var files []string
	for _, f := range s.files {
		if l := s.lost.find(f.entry.Path); l == nil || !l.left {
			files = append(files, f.entry.Path)
		}
	}
	var dirs []string
	for _, d := range s.dirs {
		if d.Path != physical.TablespacesDir {
			dirs = append(dirs, d.Path)
		}
	}
	return s.syncAll(files, dirs)
}

// verifyBackup runs PostgreSQL's own check. pg_control is not in its place yet, so it is left out; the tool
// ignores postgresql.auto.conf and the signal file by itself.
func (s *stage) verifyBackup(ctx context.Context) error {
	bin, err := postgres.BinDir(s.facts.Major)
	if err != nil {
		return err
	}
	args := []string{"-n", "-q", "-i", pgdata.ControlFile, "-i", controlStaged, "-i", datadir.RecoveryFile, "-i", datadir.MarkerFile}
	if s.facts.Method == physical.MethodProtocol { // the manifest is the server's, which does not know of them
		for _, name := range s.facts.Configuration {
			args = append(args, "-i", name)
		}
	}
	return process.Run(ctx, process.Command{
		Path: filepath.Join(bin, "pg_verifybackup"),
		Args: append(args, s.built),
		Env:  process.BaseEnv(), Dir: "/",
	})
}

// swap moves what stands in the way aside and what was staged to its place. A crash in between leaves the
// original under its other name, and what was staged whole beside it.
func (s *stage) swap() error {
	var moves []move
	for oid, dir := range s.spaces {
		for _, v := range s.versions(oid) {
			at := filepath.Join(dir, v)
			if _, err := os.Lstat(at); err == nil {
				moves = append(moves, move{at, s.aside(at)})
				s.keep(cofre.ThingDirectory, at, s.aside(at), cofre.Verbatim(s.aside(at)))
			}
			moves = append(moves, move{filepath.Join(dir, s.version(v)), at})
		}
	}
	moves = append(moves, move{s.o.Dir, s.aside(s.o.Dir)}, move{s.built, s.o.Dir})
	s.keep(cofre.ThingDirectory, s.o.Dir, s.aside(s.o.Dir), cofre.Verbatim(s.aside(s.o.Dir)))
	for _, m := range moves {
		if err := m.do(); err != nil {
			return err
		}
	}
	s.rooms.close() // they have other names
	s.built = s.o.Dir
	return nil
}

// keep notes what is given another name.
func (s *stage) keep(thing cofre.Thing, was, where string, said cofre.Message) {
	s.kept = append(s.kept, cofre.Kept{Thing: thing, Was: was, Where: where, Said: said})
}

// check compares what is on disk, and what was counted, with the component.
func (s *stage) check(ctx context.Context) (*cofre.Proof, error) {
	var wantBlocks, rightSize, sizes int64
	for _, f := range s.files {
		wantBlocks += int64(physical.Blocks(f.entry.Size))
		if s.lost.find(f.entry.Path) != nil {
			continue // named for itself
		}
		sizes++
		var st unix.Stat_t
		err := s.within(f.entry.Path, func(in *inside.Dir, name string) (err error) {
			st, err = in.Stat(name)
			return err
		})
		if err != nil {
			return nil, err
		}
		if st.Size == f.entry.Size || f.entry.Path == path.Join(physical.DataDir, datadir.AutoConf) {
			rightSize++
		}
	}
	p := &cofre.Proof{}
	count := func(what cofre.Message, want, got int64) {
		p.Checks = append(p.Checks, cofre.NewChecked(what, cofre.Verbatim(strconv.FormatInt(want, 10)), cofre.Verbatim(strconv.FormatInt(got, 10)), want == got))
	}
	count(cofre.Say("cluster.check_files", "files restored"), int64(len(s.files)), s.result.files.Load())
	count(cofre.Say("cluster.check_sizes", "files of their size"), sizes, rightSize)
	if losses := s.lost.sorted(); len(losses) == 0 {
		count(cofre.Say("cluster.check_blocks", "blocks of 128 KiB equal to those captured"), wantBlocks, s.result.blocks.Load())
	} else {
		count(cofre.Say("cluster.check_read", "blocks of 128 KiB read, or named"), wantBlocks, s.result.blocks.Load())
		s.checkLosses(p)
		return p, nil // pg_verifybackup would say the same of what is named
	}
	if s.o.VerifyBackup {
		if err := s.verifyBackup(ctx); err != nil {
			return nil, err
		}
		verified := cofre.Verbatim("backup successfully verified") // its own words
		p.Checks = append(p.Checks, cofre.NewChecked(cofre.Verbatim("pg_verifybackup"), verified, verified, true))
	}
	return p, nil
}

// discard removes what the stage has made in a place of its own.
func (s *stage) discard() error {
	defer s.release()
	if s.inPlace && s.o.Delta {
		return fmt.Errorf("%s is neither what it was nor restored: restore it again with --delta", s.built)
	}
	if s.o.KeepPartial {
		return fmt.Errorf("%s holds what was restored so far: the same command goes on with it", s.built)
	}
	var errs []error
	remove := func(dir string, names ...string) {
		d, err := inside.OpenAs(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			errs = append(errs, err)
			return
		}
		for _, n := range names {
			errs = append(errs, d.RemoveAll(n))
		}
		errs = append(errs, d.Close())
	}
	for oid, dir := range s.spaces {
		for _, v := range s.versions(oid) {
			remove(dir, s.version(v))
		}
	}
	if s.existed {
		names, err := os.ReadDir(s.built)
		errs = append(errs, err)
		for _, n := range names {
			if n.Name() != "lost+found" {
				remove(s.built, n.Name())
			}
		}
	} else {
		remove(filepath.Dir(s.built), filepath.Base(s.built))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what was staged: %w", err)
	}
	s.touched = false
	return nil
}

// publish gives the names.
func (s *stage) publish() (*cofre.Outcome, error) {
	if s.built != s.o.Dir {
		if err := s.swap(); err != nil {
			return nil, err
		}
	}
	dir := s.o.Dir
	data, err := s.data()
	if err != nil {
		return nil, err
	}
	err = s.within(path.Join(physical.DataDir, pgdata.ControlFile), func(in *inside.Dir, name string) error {
		return durable.Rename(in.At(path.Base(controlStaged)), in.At(name))
	})
	if err != nil {
		return nil, err
	}
	// A crash here leaves the marker in a whole cluster, where it disturbs nobody.
	if err := durable.Remove(data.At(datadir.MarkerFile)); err != nil {
		return nil, err
	}
	s.touched = false
	s.release()
	next, err := s.next(false)
	return &cofre.Outcome{Restored: dir, Kept: s.kept, Next: next}, err
}

func filesTask() cofre.Message { return cofre.Say("cluster.task_restore", "restore files") }
