package basebackup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// maxBadPages is how many bad pages the facts name. More are counted.
const maxBadPages = 100

// files captures a data directory that this process sees.
func (k *capture) files(ctx context.Context, dir string, control *pgdata.Control) (err error) {
	k.facts.Method, k.facts.DataDirectory = physical.MethodFiles, dir
	k.facts.DataChecksums = control.DataChecksumVersion != 0
	k.walDir = k.seen.At(path.Join(k.seen.There, "pg_wal"))
	if err := k.proveHistory(ctx); err != nil {
		return err
	}
	if err := errors.Join(k.proveReadable(ctx), k.mend(ctx)); err != nil {
		return err
	}
	keepWAL := k.cfg.Archive == nil || k.facts.FromStandby || k.foreign != "" || k.unreadable
	label := "cofre " + time.Now().UTC().Format(time.RFC3339)
	k.note(cofre.Say("cluster.checkpoint", "waiting for the checkpoint that the backup begins with"))
	r, slotErr, err := beginBackup(ctx, k.conn, k.facts.Major, label, !k.cfg.SpreadCheckpoint, keepWAL)
	if err != nil {
		return err
	}
	if slotErr != nil {
		k.warn(cofre.Say("cluster.no_slot", "without a temporary slot the WAL that the backup needs may be recycled before it ends: {{.error}}", "error", slotErr))
	}
	k.facts.StartLSN, k.facts.StartedAt = r.start, time.Now().UTC()
	if err := k.findDrops(ctx); err != nil {
		return err
	}
	watched, release := r.watch(ctx)
	defer release()
	if err := k.read(watched, dir, control); err != nil {
		return errors.Join(err, lossOf(watched, ctx))
	}
	// pg_control last, and before the backup ends: on a standby it says up to where WAL must be replayed, which
	// must not be less than any page read, nor more than the end that the server is about to name.
	//
	// Source: PostgreSQL, src/backend/backup/basebackup.c, perform_base_backup, which has the same order.
	if control, err = k.putControl(watched, dir); err != nil {
		return errors.Join(err, lossOf(watched, ctx))
	}
	k.note(cofre.Say("cluster.ending", "waiting for the server to end the backup"))
	end, err := r.stop(ctx)
	if err != nil {
		return err
	}
	if err := k.ended(ctx, end, control, k.walDir); err != nil {
		return err
	}
	if keepWAL {
		return k.includeWAL(ctx, k.walDir)
	}
	return k.proveWAL(ctx, func(ctx context.Context) error { return k.includeWAL(ctx, k.walDir) })
}

// lossOf is why a watched context ended if its parent has not: the session was lost.
func lossOf(watched, parent context.Context) error {
	if parent.Err() == nil && watched.Err() != nil {
		return context.Cause(watched)
	}
	return nil
}

// reading is the files of one capture on their way into the session.
type reading struct {
	k        *capture
	verify   *pages
	previous *previous
	total    int64

	mu       sync.Mutex // of what follows
	files    []physical.FileFacts
	suspects map[string][]suspect // by file
	bad      []physical.BadPage
	badCount int
	reused   int

	done atomic.Int64
}

// read brings everything but pg_control into the session, several files at once.
func (k *capture) read(ctx context.Context, dir string, control *pgdata.Control) error {
	r := &reading{k: k, suspects: map[string][]suspect{}}
	if k.facts.DataChecksums {
		r.verify = &pages{control.BlockSize, k.facts.StartLSN}
	}
	// Before the first file is looked at, and after the server has written its dirty pages for the checkpoint. It has
	// then written pg_control, whose time is by the clock of the file system, as are the times to be compared with it.
	k.facts.CapturedAt = time.Now().UTC()
	info, err := os.Stat(filepath.Join(dir, pgdata.ControlFile))
	if err != nil {
		return err
	}
	if at := info.ModTime().UTC(); at.Before(k.facts.CapturedAt) {
		k.facts.CapturedAt = at
	}
	if r.previous, err = k.previous(ctx); err != nil {
		return err
	}
	s, err := scan(ctx, k.seen, control.BlocksPerSegment)
	if err != nil {
		return err
	}
	s.files = slices.DeleteFunc(s.files, func(f found) bool { return k.replaced(f.entry.Path) })
	k.facts.Tablespaces = s.spaces
	for _, left := range s.left {
		k.warn(left)
	}
	k.findings = append(k.findings, s.unreadable...)
	for _, o := range s.others {
		if err := k.given.Session.Add(ctx, o.entry); err != nil {
			return err
		}
	}
	r.total = s.bytes
	obs := k.given.Observer
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Total: r.total, Unit: cofre.UnitBytes}.Doing(readTask()))
	err = r.all(ctx, s.files)
	obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: r.done.Load(), Total: r.total, Unit: cofre.UnitBytes, Err: err}.Doing(readTask()))
	if err != nil {
		return err
	}
	k.facts.Files = append(k.facts.Files, r.files...)
	k.facts.ReusedCount = r.reused
	k.suspects, k.facts.BadPages, k.facts.BadPageCount = r.suspects, r.bad, r.badCount
	return nil
}

func (r *reading) all(ctx context.Context, files []found) error {
	g, ctx := guard.WithContext(ctx)
	work := make(chan found)
	g.Go(func() error {
		defer close(work)
		for _, f := range files {
			select {
			case work <- f:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range r.k.jobs() {
		g.Go(func() error {
			for f := range work {
				if err := r.file(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// file captures one file, from the previous component if nothing was written to it since.
func (r *reading) file(ctx context.Context, f found) error {
	if facts, entry, ok, err := r.previous.find(ctx, f); err != nil {
		return err
	} else if ok {
		switch err := r.k.given.Session.Reuse(ctx, entry); {
		case err == nil:
			r.reuse(facts)
			return nil
		case !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt):
			return err
		default: // the repository has lost it, but it is here
			r.k.note(cofre.Say("cluster.read_again", "{{.file}} is read again: {{.error}}", "file", physical.ServerPath(facts.Path), "error", err))
		}
	}
	in, err := r.k.seen.Open(f.abs, f.as)
	if gone(err) {
		return nil
	}
	if err != nil {
		return r.cannotRead(f, err)
	}
	defer in.Close()
	// Before the first byte is read: a write that comes later leaves another time.
	info, err := in.Stat()
	if err != nil {
		return err
	}
	f.entry.Size, f.entry.ModTime, f.inode = info.Size(), info.ModTime(), inodeOf(info)
	reader := &fileReader{f: in, left: info.Size(), block: f.block}
	if f.relation {
		reader.verify = r.verify
	}
	entry := f.entry
	entry.Size = -1 // it may be truncated while it is read
	was, known := r.previous.facts(f.entry.Path)
	size := was.PieceSize
	if !known && f.relation {
		if size, err = bestPieceSize(in, info.Size()); err != nil {
			return err
		}
	}
	entry.Layout = layoutOf(size)
	if _, err := r.k.given.Session.Put(ctx, entry, &counted{Reader: reader, r: r, name: f.entry.Path}); err != nil {
		return r.cannotRead(f, err)
	}
	if size == widePiece && scattered(was.Hashes, reader.hashes) {
		size = 0
	}
	r.add(f, reader, size)
	return nil
}

// cannotRead goes on without a file that somebody left in the data directory, a core dump say, and names it. An error that
// is not of the file itself stays one.
func (r *reading) cannotRead(f found, err error) error {
	var pe *fs.PathError
	if f.own || !errors.As(err, &pe) || pe.Path != f.abs {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.k.findings = append(r.k.findings, unreadable(f.entry.Path, err))
	return nil
}

func (r *reading) reuse(facts physical.FileFacts) {
	r.progress(facts.Path, facts.Size)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, facts)
	r.reused++
}

func (r *reading) add(f found, reader *fileReader, pieceSize int64) {
	facts := physical.FileFacts{
		Path: f.entry.Path, Size: reader.size, ModifiedNS: f.entry.ModTime.UnixNano(), Inode: f.inode,
		CRC32C: reader.crc, Hashes: reader.hashes, Bad: len(reader.bad) > 0, PieceSize: pieceSize,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.files = append(r.files, facts)
	if len(reader.suspects) > 0 {
		r.suspects[facts.Path] = reader.suspects
	}
	r.badCount += len(reader.bad)
	for _, b := range reader.bad {
		if len(r.bad) < maxBadPages {
			r.bad = append(r.bad, physical.BadPage{File: physical.ServerPath(facts.Path), Block: b})
		}
	}
}

func (r *reading) progress(name string, n int64) {
	done := r.done.Add(n)
	r.k.given.Observer.Observe(cofre.Event{
		Type: cofre.TypeTaskProgress, Item: physical.ServerPath(name), Done: done, Total: r.total, Unit: cofre.UnitBytes,
	}.Doing(readTask()))
}

// counted tells the observer what passes, not more often than every tellEvery bytes.
type counted struct {
	io.Reader
	r    *reading
	name string
	n    int64
}

const tellEvery = 4 << 20

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	if c.n >= tellEvery || err != nil {
		c.r.progress(c.name, c.n)
		c.n = 0
	}
	return n, err
}

// previous finds files of the previous component. A nil one finds nothing.
type previous struct {
	tree       cofre.Tree
	capturedAt time.Time
	files      map[string]physical.FileFacts

	mu   sync.Mutex
	dirs map[string]map[string]cofre.Entry
}

// previous opens the previous component, if modification times and inodes in it can be compared with what is
// here: the same cluster, read from the same directory. The machine may have another name, as a container does each
// time: a copy of a file system's blocks is as good as the original until it is written to.
func (k *capture) previous(ctx context.Context) (*previous, error) {
	c := k.given
	if c.Previous == nil || c.PreviousTree == nil || k.cfg.ReadEverything {
		return nil, nil
	}
	facts, err := physical.ReadFacts(ctx, c.PreviousTree)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		k.note(cofre.Say("cluster.read_all", "every file is read, because the facts of the previous component cannot be: {{.error}}", "error", err))
		return nil, nil
	}
	now := k.facts
	if facts.Method != physical.MethodFiles || facts.SystemID != now.SystemID || facts.DataDirectory != now.DataDirectory ||
		facts.DataChecksums != now.DataChecksums {
		return nil, nil
	}
	p := &previous{tree: c.PreviousTree, capturedAt: facts.CapturedAt, files: map[string]physical.FileFacts{}, dirs: map[string]map[string]cofre.Entry{}}
	for _, f := range facts.Files {
		p.files[f.Path] = f
	}
	return p, nil
}

// facts are what the previous component says about a file.
func (p *previous) facts(name string) (physical.FileFacts, bool) {
	if p == nil {
		return physical.FileFacts{}, false
	}
	f, ok := p.files[name]
	return f, ok
}

// find returns the facts of a file and the entry that takes it over, if nothing was written to it since the
// previous capture.
func (p *previous) find(ctx context.Context, f found) (physical.FileFacts, cofre.Entry, bool, error) {
	was, ok := p.facts(f.entry.Path)
	if !ok || !unchanged(f, was, p.capturedAt) {
		return physical.FileFacts{}, cofre.Entry{}, false, nil
	}
	dir, err := p.dir(ctx, path.Dir(f.entry.Path))
	if err != nil {
		return physical.FileFacts{}, cofre.Entry{}, false, err
	}
	old, ok := dir[f.entry.Path]
	if !ok || old.Size != was.Size {
		return physical.FileFacts{}, cofre.Entry{}, false, nil
	}
	entry := f.entry
	entry.Object = old.Object
	return was, entry, true, nil
}

// dir lists a directory of the previous component once.
func (p *previous) dir(ctx context.Context, name string) (map[string]cofre.Entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d, ok := p.dirs[name]; ok {
		return d, nil
	}
	d := map[string]cofre.Entry{}
	for e, err := range p.tree.List(ctx, name) {
		if errors.Is(err, cofre.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list %s of the previous component: %w", name, err)
		}
		d[e.Path] = e
	}
	p.dirs[name] = d
	return d, nil
}

// put stores bytes of our own as a file of the component.
func (k *capture) put(ctx context.Context, name string, b []byte) (physical.FileFacts, error) {
	var d digest
	d.add(b)
	e := cofre.Entry{Path: name, Layout: cofre.LayoutFacts, Mode: 0o600, ModTime: time.Now().UTC(), Size: int64(len(b)), UID: k.uid, GID: k.gid}
	if _, err := k.given.Session.Put(ctx, e, bytes.NewReader(b)); err != nil {
		return physical.FileFacts{}, err
	}
	return physical.FileFacts{Path: name, Size: d.size, CRC32C: d.crc, Hashes: d.hashes}, nil
}

// putData stores a file of the data directory that was not read from it.
func (k *capture) putData(ctx context.Context, name string, b []byte) error {
	f, err := k.put(ctx, path.Join(physical.DataDir, name), b)
	k.facts.Files = append(k.facts.Files, f)
	return err
}

func (k *capture) putControl(ctx context.Context, dir string) (*pgdata.Control, error) {
	info, err := os.Stat(filepath.Join(dir, pgdata.ControlFile))
	if err != nil {
		return nil, err
	}
	e := entryOf(path.Join(physical.DataDir, pgdata.ControlFile), info)
	k.uid, k.gid = e.UID, e.GID
	b, c, err := datadir.ReadControlFile(ctx, dir)
	if err != nil {
		return nil, err
	}
	return c, k.putData(ctx, pgdata.ControlFile, b)
}

// ended records what the server said at the end of the backup.
func (k *capture) ended(ctx context.Context, end stopped, control *pgdata.Control, walDir string) error {
	label, err := pgdata.ParseBackupLabel(end.label)
	if err != nil {
		return err
	}
	if label.Start != k.facts.StartLSN {
		return fmt.Errorf("backup_label begins at %s, the backup at %s: %w", label.Start, k.facts.StartLSN, cofre.ErrCorrupt)
	}
	k.facts.Timeline, k.facts.StopTimeline = label.StartTimeline, label.StartTimeline
	k.facts.StopLSN, k.facts.StoppedAt = end.lsn, time.Now().UTC()
	if k.facts.FromStandby && control.MinRecoveryTimeline != 0 {
		k.facts.StopTimeline = control.MinRecoveryTimeline
	}
	k.judge()
	if err := k.putData(ctx, pgdata.BackupLabelFile, end.label); err != nil {
		return err
	}
	if len(end.spaceMap) > 0 {
		// Beside the data directory, not in it: the server would make the links of the original again from it.
		if _, err := k.put(ctx, pgdata.TablespaceMapFile, end.spaceMap); err != nil {
			return err
		}
	}
	return k.findBranches(walDir)
}

// judge decides about the pages that did not match their checksum but claimed to have been changed after the
// backup began. Their change is in the WAL up to the backup's end, which writes them whole; an LSN beyond that
// is not of a change.
func (k *capture) judge() {
	for i := range k.facts.Files {
		f := &k.facts.Files[i]
		for _, s := range k.suspects[f.Path] {
			if s.lsn <= k.facts.StopLSN {
				continue
			}
			f.Bad = true
			k.facts.BadPageCount++
			if len(k.facts.BadPages) < maxBadPages {
				k.facts.BadPages = append(k.facts.BadPages, physical.BadPage{File: physical.ServerPath(f.Path), Block: s.block})
			}
		}
	}
	slices.SortFunc(k.facts.BadPages, func(a, b physical.BadPage) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return int(a.Block - b.Block)
	})
}

// findBranches works out along which timelines the WAL of the backup lies.
func (k *capture) findBranches(walDir string) (err error) {
	k.history = pgdata.History{Timeline: k.facts.StopTimeline}
	if k.facts.StopTimeline != k.facts.Timeline {
		b, err := datadir.Read(filepath.Join(walDir, pgdata.HistoryName(k.facts.StopTimeline)))
		if err != nil {
			return fmt.Errorf("read the history of timeline %d: %w", k.facts.StopTimeline, err)
		}
		if k.history, err = pgdata.ParseHistory(k.facts.StopTimeline, b); err != nil {
			return err
		}
	}
	// A standby without traffic may end where it began; the checkpoint's record is there to be read all the same.
	stop := max(k.facts.StopLSN, k.facts.StartLSN+1)
	k.branches, err = branches(k.history, k.facts.Timeline, k.facts.StartLSN, stop)
	return err
}

// putManifest writes PostgreSQL's own list of the component, which pg_verifybackup accepts.
func (k *capture) putManifest(ctx context.Context) error {
	if slices.ContainsFunc(k.facts.Files, func(f physical.FileFacts) bool {
		return f.Path == path.Join(physical.DataDir, pgdata.BackupManifestFile)
	}) {
		return nil // the server's own
	}
	m := pgdata.Manifest{Version: 1}
	if k.facts.Major >= 17 {
		m.Version, m.SystemID = 2, k.facts.SystemID
	}
	slices.SortFunc(k.facts.Files, func(a, b physical.FileFacts) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range k.facts.Files {
		name := physical.ServerPath(f.Path)
		if strings.HasPrefix(name, "pg_wal/") {
			continue
		}
		at := k.facts.CapturedAt
		if f.ModifiedNS != 0 {
			at = time.Unix(0, f.ModifiedNS)
		}
		m.Files = append(m.Files, pgdata.ManifestFile{
			Path: name, Size: f.Size, ModifiedAt: at, Algorithm: "CRC32C", Checksum: binary.LittleEndian.AppendUint32(nil, f.CRC32C),
		})
	}
	for _, b := range slices.Backward(k.branches) {
		m.Ranges = append(m.Ranges, pgdata.ManifestRange{Timeline: b.Timeline, Start: b.From, End: b.To})
	}
	return k.putData(ctx, pgdata.BackupManifestFile, m.Encode())
}

func readTask() cofre.Message { return cofre.Say("cluster.task_read", "read cluster") }
