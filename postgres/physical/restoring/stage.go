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
	"os/user"
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

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

// pieceSize is how much of one file a worker restores at a time: small enough that the last large file is shared
// among all of them. chunkSize is how much it reads and writes at once: little enough that the kernel copies it from
// the processor's cache, which with 1 MiB took twice the time. Multiples of BlockSize both.
const (
	pieceSize = 64 << 20
	chunkSize = physical.BlockSize
)

// staged is one file of the restore.
type staged struct {
	entry cofre.Entry
	facts *physical.FileFacts

	once    sync.Once
	err     error
	before  int64        // bytes that were there already
	pending atomic.Int32 // pieces
}

type piece struct {
	file        *staged
	from, until int64
}

// stageResult is what Stage did, for the proof.
type stageResult struct {
	files   atomic.Int64
	bytes   atomic.Int64 // of blocks found equal to their hash, written or not
	fetched atomic.Int64 // of them, brought from the repository
	blocks  atomic.Int64
}

// Stage brings every file but pg_control to the directory, several at once, compares each block with the hash
// that was recorded when it was captured, and syncs everything. What is there already and has the right hash is
// not brought again.
//
// Errors: cofre.ErrCorrupt where the repository yields other bytes than were captured; cofre.ErrLocked and cofre.ErrRefused where the
// directory is another restore's, or is not what was planned for, and nothing was touched.
func (t *Target) Stage(ctx context.Context, obs cofre.Observer) error {
	if err := ctx.Err(); err != nil {
		return err // before a delta deletes anything
	}
	if err := t.claim(); err != nil {
		return err
	}
	if err := t.begin(); err != nil {
		return err
	}
	if err := t.makeDirs(); err != nil {
		return err
	}
	if t.inPlace {
		if err := t.removeExtras(); err != nil {
			return err
		}
	}
	if err := t.makeSpaces(); err != nil {
		return err
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Task: "restore files", Total: t.bytes, Unit: cofre.UnitBytes})
	err := t.writeFiles(ctx, obs)
	if err == nil {
		err = diskFull(t.sync(ctx)) // allocation that was delayed comes to light here
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Task: "restore files", Done: t.result.bytes.Load(), Total: t.bytes, Unit: cofre.UnitBytes, Err: err})
	if err != nil {
		return err
	}
	if err := t.editOwnWAL(); err != nil {
		return err
	}
	if err := t.recovery().Write(t.stage, t.facts.Summary, t.control, t.own); err != nil {
		return err
	}
	return datadir.Replace(filepath.Join(t.stage, controlStaged), t.raw, t.own)
}

// begin makes the directory one that no server can start on and that says what it is becoming.
func (t *Target) begin() error {
	if err := os.MkdirAll(t.stage, 0o700); err != nil {
		return err
	}
	if err := t.own(t.stage); err != nil {
		return err
	}
	b, err := json.Marshal(marker{t.root, t.now})
	if err != nil {
		return err
	}
	// The marker first: a crash after pg_control is gone must leave a directory that says why.
	if err := datadir.Replace(filepath.Join(t.stage, datadir.MarkerFile), b, t.own); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(t.stage)); err != nil {
		return err
	}
	if !t.inPlace {
		return nil
	}
	if err := durable.Remove(filepath.Join(t.stage, pgdata.ControlFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.o.Delta {
		return t.keepWAL()
	}
	return nil
}

// keepWAL moves the WAL of the cluster that is about to be overwritten out of the way: its last segments may
// never have been archived, and are then the only copy of the newest transactions.
func (t *Target) keepWAL() error {
	wal, err := filepath.EvalSymlinks(filepath.Join(t.stage, "pg_wal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := os.ReadDir(wal)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(d fs.DirEntry) bool { return pgdata.IsSegmentName(d.Name()) }) {
		return nil
	}
	to := t.aside(t.o.Dir + ".pg_wal")
	if err := os.Rename(wal, to); errors.Is(err, syscall.EXDEV) {
		to = t.aside(wal)
		err = os.Rename(wal, to)
		if err != nil {
			return fmt.Errorf("keep the WAL in %s: %w", wal, err)
		}
	} else if err != nil {
		return fmt.Errorf("keep the WAL in %s: %w", wal, err)
	}
	t.kept = append(t.kept, "the WAL that was there: "+to)
	// Where pg_wal is a link, what it leads to must be there again.
	return os.MkdirAll(wal, 0o700)
}

// makeDirs makes the directories, parents first, and the links of the tablespaces.
func (t *Target) makeDirs() error {
	for _, d := range t.dirs {
		if d.Path == physical.TablespacesDir {
			continue
		}
		at := t.path(d.Path)
		if info, err := os.Lstat(at); err == nil && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
			if err := os.Remove(at); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
		// A tablespace's own directory may have been made by the administrator, with a mode that has a reason.
		if path.Dir(d.Path) != physical.TablespacesDir {
			if err := os.Chmod(at, d.Mode.Perm()); err != nil {
				return err
			}
		}
		if err := t.own(at); err != nil {
			return err
		}
	}
	for _, l := range t.links {
		at, to := t.path(l.Path), l.Link
		if oid, err := strconv.ParseUint(path.Base(l.Path), 10, 32); err == nil && path.Dir(l.Path) == physical.DataDir+"/pg_tblspc" {
			to = cmp.Or(t.spaces[uint32(oid)], to)
		}
		if err := os.RemoveAll(at); err != nil {
			return err
		}
		if err := os.Symlink(to, at); err != nil {
			return err
		}
		if t.owner != nil {
			if err := os.Lchown(at, t.owner.uid, t.owner.gid); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeExtras deletes what a delta finds and the component does not hold.
func (t *Target) removeExtras() error {
	wanted := map[string]bool{filepath.Join(t.stage, datadir.MarkerFile): true}
	roots := []string{t.stage}
	for _, e := range t.dirs {
		wanted[t.path(e.Path)] = true
		if strings.HasPrefix(e.Path, physical.TablespacesDir+"/") && strings.Count(e.Path, "/") == 2 {
			roots = append(roots, t.path(e.Path))
		}
	}
	for _, e := range t.links {
		wanted[t.path(e.Path)] = true
	}
	for _, f := range t.files {
		wanted[t.path(f.entry.Path)] = true
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil || at == root || wanted[at] || d.Name() == "lost+found" {
				return err
			}
			if err := os.RemoveAll(at); err != nil {
				return err
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("delete what is not in the component: %w", err)
		}
	}
	return nil
}

func (t *Target) writeFiles(ctx context.Context, obs cofre.Observer) error {
	slices.SortStableFunc(t.files, func(a, b *staged) int { return cmp.Compare(b.entry.Size, a.entry.Size) })
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan piece)
	g.Go(func() error {
		defer close(work)
		for _, f := range t.files {
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
	for range t.o.Jobs {
		g.Go(func() error {
			w := worker{t: t, obs: obs, buf: make([]byte, chunkSize)}
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
	t   *Target
	obs cofre.Observer
	buf []byte
}

// prepare makes the file with its full size, so that its pieces can be written in any order and the file system
// can lay it out at once.
func (w *worker) prepare(f *staged) error {
	f.once.Do(func() { f.err = w.t.create(f) })
	return f.err
}

func (t *Target) create(f *staged) error {
	at := t.path(f.entry.Path)
	if info, err := os.Lstat(at); err == nil {
		if info.Mode().IsRegular() {
			f.before = info.Size()
		} else if err := os.RemoveAll(at); err != nil {
			return err
		}
	}
	out, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(out.Truncate(f.entry.Size), out.Chmod(f.entry.Mode.Perm()))
	if t.owner != nil {
		err = errors.Join(err, out.Chown(t.owner.uid, t.owner.gid))
	}
	return errors.Join(err, out.Close())
}

func (w *worker) piece(ctx context.Context, p piece) (err error) {
	if err := w.prepare(p.file); err != nil {
		return err
	}
	out, err := os.OpenFile(w.t.path(p.file.entry.Path), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	in := source{ctx: ctx, tree: w.t.tree, path: p.file.entry.Path}
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
		done := w.t.result.bytes.Add(n)
		w.obs.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Task: "restore files", Item: physical.ServerPath(p.file.entry.Path), Done: done, Total: w.t.bytes, Unit: cofre.UnitBytes})
	}
	if written {
		beginWriteback(out, p.from, p.until-p.from)
	}
	if p.file.pending.Add(-1) == 0 {
		w.t.result.files.Add(1)
	}
	return nil
}

// chunk makes b's length of the file at an offset equal to what was captured.
func (w *worker) chunk(in *source, out *os.File, f *staged, at int64, b []byte) (wrote bool, err error) {
	hashes := f.facts.Hashes[at/physical.BlockSize:]
	count := physical.Blocks(int64(len(b)))
	there := f.before > at
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
		if err := in.read(part, offset); err != nil {
			return wrote, err
		}
		for ; i < j; i++ {
			if xxh3.Hash(physical.Block(b, i)) != hashes[i] {
				return wrote, fmt.Errorf("block %d of %d KiB is not what was captured: %w", at/physical.BlockSize+int64(i), physical.BlockSize>>10, cofre.ErrCorrupt)
			}
		}
		if _, err := out.WriteAt(part, offset); err != nil {
			return wrote, err
		}
		w.t.result.fetched.Add(int64(len(part)))
		wrote = true
	}
	w.t.result.blocks.Add(int64(count))
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
func (t *Target) sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	files := make([]string, len(t.files))
	for i, f := range t.files {
		files[i] = t.path(f.entry.Path)
	}
	var dirs []string
	for _, d := range t.dirs {
		if d.Path != physical.TablespacesDir {
			dirs = append(dirs, t.path(d.Path))
		}
	}
	return syncAll(files, dirs)
}

// Check says what was compared: the size of every file on disk, every block's hash as it was written or found,
// and, if asked, what pg_verifybackup says.
//
// Errors: *cofre.ToolError from pg_verifybackup; cofre.ErrNotFound where it was asked for and is not installed.
func (t *Target) Check(ctx context.Context, _ cofre.Observer) (*cofre.Proof, error) {
	var wantBlocks, rightSize int64
	for _, f := range t.files {
		wantBlocks += int64(len(f.facts.Hashes))
		info, err := os.Stat(t.path(f.entry.Path))
		if err != nil {
			return nil, err
		}
		if info.Size() == f.entry.Size || f.entry.Path == path.Join(physical.DataDir, datadir.AutoConf) {
			rightSize++
		}
	}
	p := &cofre.Proof{}
	count := func(what string, want, got int64) {
		p.Checks = append(p.Checks, cofre.Checked{What: what, Want: strconv.FormatInt(want, 10), Got: strconv.FormatInt(got, 10), OK: want == got})
	}
	count("files restored", int64(len(t.files)), t.result.files.Load())
	count("files of their size", int64(len(t.files)), rightSize)
	count("blocks of 128 KiB equal to those captured", wantBlocks, t.result.blocks.Load())
	if t.o.VerifyBackup {
		if err := t.verifyBackup(ctx); err != nil {
			return nil, err
		}
		p.Checks = append(p.Checks, cofre.Checked{What: "pg_verifybackup", Want: "backup successfully verified", Got: "backup successfully verified", OK: true})
	}
	return p, nil
}

// verifyBackup runs PostgreSQL's own check. pg_control is not in its place yet, so it is left out; the tool
// ignores postgresql.auto.conf and the signal file by itself.
func (t *Target) verifyBackup(ctx context.Context) error {
	bin, err := postgres.BinDir(t.facts.Major)
	if err != nil {
		return err
	}
	args := []string{"-n", "-q", "-i", pgdata.ControlFile, "-i", controlStaged, "-i", datadir.RecoveryFile, "-i", datadir.MarkerFile}
	if t.facts.Method == physical.MethodProtocol { // the manifest is the server's, which does not know of them
		for _, name := range t.facts.Configuration {
			args = append(args, "-i", name)
		}
	}
	return process.Run(ctx, process.Command{
		Path: filepath.Join(bin, "pg_verifybackup"),
		Args: append(args, t.stage),
		Env:  process.BaseEnv(), Dir: "/",
	})
}

// Publish gives the directory its name where it was built beside another, and then pg_control its own: the last
// act, so that a crash anywhere before leaves a directory that no server starts on.
func (t *Target) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !t.touched {
		return nil, fmt.Errorf("publish %s: %w: nothing is staged", t.o.Dir, cofre.ErrRefused)
	}
	if t.stage != t.o.Dir {
		if err := t.swap(); err != nil {
			return nil, err
		}
	}
	dir := t.o.Dir
	if err := durable.Rename(filepath.Join(dir, controlStaged), filepath.Join(dir, pgdata.ControlFile)); err != nil {
		return nil, err
	}
	// A crash here leaves the marker in a whole cluster, where it disturbs nobody.
	if err := durable.Remove(filepath.Join(dir, datadir.MarkerFile)); err != nil {
		return nil, err
	}
	t.touched = false
	t.release()
	next, err := t.Next(false)
	return &cofre.Outcome{Restored: dir, Kept: t.kept, Next: next}, err
}

// Next are the commands for a cluster that was published, each at the end of its line; promoted says that it has been
// recovered, and takes writes.
func (t *Target) Next(promoted bool) ([]string, error) {
	dir := t.o.Dir
	conf, err := os.ReadFile(filepath.Join(dir, "postgresql.conf"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	start := "to start it: "
	if promoted {
		start = "it is recovered, and takes writes; " + start
	}
	next := []string{start + datadir.StartCommand(dir, conf)}
	if r := t.recovery(); !promoted && r.Signals() && r.Then() == string(settings.ActionPause) {
		// The lock of a DROP TABLE is replayed before its commit, and others may have committed in between.
		next = append(next, "it pauses at the target, read-only, and tables that a transaction which was open there had locked cannot be read until it is promoted; to let it take writes: "+
			t.psql()+" -c 'SELECT pg_promote()' template1")
	}
	if t.o.KeepArchiving {
		return append(next, "it archives; to take a base backup at once: cofre backup cluster"), nil
	}
	return append(next, "to look, with nobody else there: "+t.psql(), "when it is to be the original: cofre adopt "+shell.Quote(dir)), nil
}

// psql is how the cluster is reached: a copy in quarantine through the socket in its directory.
func (t *Target) psql() string {
	s, command := t.facts.Summary, "psql"
	if !t.o.KeepArchiving {
		command += " -h " + shell.Quote(t.o.Dir)
	}
	return fmt.Sprintf("%s -p %s -U %s", command, shell.Quote(cmp.Or(s.Settings["port"], "5432")), shell.Quote(cmp.Or(s.Superuser, "postgres")))
}

// swap moves what stands in the way aside and what was staged to its place. A crash in between leaves the
// original under its other name, and what was staged whole beside it.
func (t *Target) swap() error {
	type move struct{ from, to string }
	var moves []move
	for oid, dir := range t.spaces {
		for _, v := range t.versions(oid) {
			at := filepath.Join(dir, v)
			if _, err := os.Lstat(at); err == nil {
				moves = append(moves, move{at, t.aside(at)})
				t.kept = append(t.kept, t.aside(at))
			}
			moves = append(moves, move{filepath.Join(dir, t.version(v)), at})
		}
	}
	moves = append(moves, move{t.o.Dir, t.aside(t.o.Dir)}, move{t.stage, t.o.Dir})
	t.kept = append(t.kept, t.aside(t.o.Dir))
	for _, m := range moves {
		if err := durable.Rename(m.from, m.to); err != nil {
			return err
		}
	}
	t.stage = t.o.Dir
	return nil
}

// owner is whose the restored files are.
type owner struct{ uid, gid int }

// findOwner decides whose the files become: nobody else's unless this process is root; then the user named,
// whoever owns the directory that is there, whoever owned the files, or postgres.
func (t *Target) findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if t.o.Owner != "" {
		u, err := user.Lookup(t.o.Owner)
		if err != nil {
			return nil, err
		}
		return ownerOf(u)
	}
	if info, err := os.Stat(t.o.Dir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return &owner{int(st.Uid), int(st.Gid)}, nil
		}
	}
	root := t.dirs[0]
	if root.UID != 0 {
		if _, err := user.LookupId(strconv.Itoa(int(root.UID))); err == nil {
			return &owner{int(root.UID), int(root.GID)}, nil
		}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("no user postgres to own the files: %w", err)
	}
	return ownerOf(u)
}

func ownerOf(u *user.User) (*owner, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &owner{uid, gid}, errors.Join(err1, err2)
}

func (t *Target) own(path string) error {
	if t.owner == nil {
		return nil
	}
	return os.Chown(path, t.owner.uid, t.owner.gid)
}

// Summary is what the component says about itself; Plan has read it.
func (t *Target) Summary() physical.Summary { return t.facts.Summary }
