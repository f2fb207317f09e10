package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// line is one call of Archive: the file asked for, and what waits behind it. Workers prepare files side by side (read,
// compress, encrypt), and each stores its own once the one before it in the line is stored.
type line struct {
	*Archiver
	system cofre.SystemID
	order  []file
	jobs   int

	files  []*outgoing
	byName map[pgdata.WALName]*outgoing
	closed atomic.Bool // something was refused: nothing goes past it

	// down are the archives that failed otherwise. What comes behind is not stored there either, for what failed may
	// be refused when it is tried again. Only the file whose turn it is touches it.
	down []bool
}

// outgoing is a file on its way.
type outgoing struct {
	file

	size     int64           // of the file
	known    chan struct{}   // closed when the next three are there, or never will be
	chain    pgdata.Chain    // of a segment
	digests  []sealed.Digest // by archive
	derived  []sealed.Digest // of a history, by archive; see derivedOf
	failed   []error         // by archive: why there is no digest
	passable bool            // whether they are there

	done      chan struct{} // closed when the file behind it may be stored
	stored    int           // in how many archives it is new
	whole     bool          // every archive has it
	sizes     []int64       // by archive: of its object there
	unrelated string
	healed    []string // what was damaged and is stored afresh
	err       error
}

// has reports whether an archive holds the file, as far as this call knows.
func (f *outgoing) has(n int) bool { return n < len(f.sizes) && f.sizes[n] > 0 }

// run returns the file that was asked for, how many were archived ahead, and the error of the one asked for. The error of
// another is told when that is asked for.
func (l *line) run(ctx context.Context) (first *outgoing, ahead int, err error) {
	l.byName, l.down = map[pgdata.WALName]*outgoing{}, make([]bool, len(l.Archives))
	for _, in := range l.order {
		f := &outgoing{file: in, known: make(chan struct{}), done: make(chan struct{})}
		l.files, l.byName[f.name] = append(l.files, f), f
	}
	within := 1
	if len(l.files) == 1 {
		within = l.jobs
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range min(l.jobs, len(l.files)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(l.files) || i > 0 && (l.closed.Load() || ctx.Err() != nil || time.Since(began) >= aheadTime) {
					return
				}
				l.one(ctx, i, within)
			}
		})
	}
	wg.Wait()
	for _, f := range l.files[1:] {
		if f.whole && f.chain.Break == 0 && f.unrelated == "" && l.mark(ctx, f) == nil {
			ahead++
		}
	}
	l.remember(ctx)
	first = l.files[0]
	if first.err != nil {
		err = fmt.Errorf("archive %s: %w", first.name, first.err)
	}
	return first, ahead, err
}

// one archives one file of the line. It is always told to the one behind when it is over.
func (l *line) one(ctx context.Context, i, jobs int) {
	f := l.files[i]
	told := sync.OnceFunc(func() { close(f.known) })
	defer close(f.done)
	defer told()
	content, unmap, err := mapFile(f.path)
	if err == nil {
		defer unmap()
		err = CheckContent(l.system, f.name, content)
	}
	if err != nil {
		l.turn(i)
		f.err = err
		l.closed.Store(true)
		return
	}
	f.size = int64(len(content))
	object := ObjectName(l.system, f.name)
	// Compressing takes longest; what the header says of the content is found out at the same time.
	packed := sync.OnceValue(func() [][]byte { return sealed.Compress(content, jobs) })
	var compressing sync.WaitGroup
	compressing.Go(func() { packed() })
	defer compressing.Wait() // before content is unmapped
	l.look(ctx, f, object, content)
	told()
	before := l.before(ctx, f, int64(len(content)))
	made := make([][]byte, len(l.Archives))
	for n, a := range l.Archives {
		if f.failed[n] != nil {
			continue
		}
		r, err := a.Find(ctx)
		if err == nil {
			made[n], err = a.seal(r, object, f.digests[n], l.link(f, before, n), packed())
		}
		f.failed[n] = err
	}
	l.turn(i)
	if i > 0 && l.closed.Load() || ctx.Err() != nil {
		f.err = context.Cause(ctx)
		return
	}
	l.put(ctx, f, object, made, before)
}

// turn waits until the file before is stored, or failed.
func (l *line) turn(i int) {
	if i > 0 {
		<-l.files[i-1].done
	}
}

// look finds out what the header will say: the chain of a segment, and the digest for each archive.
func (l *line) look(ctx context.Context, f *outgoing, object string, content []byte) {
	f.digests, f.derived, f.failed = make([]sealed.Digest, len(l.Archives)), make([]sealed.Digest, len(l.Archives)), make([]error, len(l.Archives))
	var wg sync.WaitGroup
	if f.name.Kind == pgdata.WALSegment {
		wg.Go(func() { f.chain = pgdata.ChainOf(content, int64(len(content))) })
	}
	for n, a := range l.Archives {
		r, err := a.Find(ctx)
		if f.failed[n] = err; err == nil {
			f.digests[n], f.derived[n] = digestOf(r, object, content), derivedOf(r, object, content)
		}
	}
	wg.Wait()
	f.passable = true
}

// link is what the header of a segment says to one archive.
func (l *line) link(f *outgoing, before *tail, n int) *sealed.Link {
	if f.name.Kind != pgdata.WALSegment {
		return nil
	}
	k := &sealed.Link{Chain: f.chain, By: sealed.WriterOf(hostName(), dirOf(f.path))}
	if before != nil {
		k.Before = before.digests[n]
	}
	return k
}

// put stores a file whose turn it is.
func (l *line) put(ctx context.Context, f *outgoing, object string, made [][]byte, before *tail) {
	unrelated, healed := make([]string, len(l.Archives)), make([]string, len(l.Archives))
	f.sizes = make([]int64, len(l.Archives))
	stored, errs := inEach(l.Archives, func(n int, a Archive) (bool, error) {
		if err := f.failed[n]; err != nil {
			return false, err
		}
		if l.down[n] {
			return false, errBehind
		}
		unrelated[n] = l.compare(ctx, f, before, n)
		if err := leaveNotes(ctx, a.Store, l.system, f.name, dirOf(f.path), f.chain, unrelated[n], f.digests[n]); err != nil {
			return false, err
		}
		done, err := create(ctx, a.Store, l.deposit(f, object, made[n], n))
		if errors.Is(err, errUncompared) {
			if last := l.recall(ctx, f.path, f.name); last != nil && last.digests[n] == f.digests[n] {
				err = nil // the server asks again for what it was told of: it was killed meanwhile
			}
		}
		f.sizes[n] = done.size
		if healed[n] = done.healed; done.healed != "" {
			healed[n] = fmt.Sprintf("%s in %s: %s", f.name, a.URL(), done.healed)
		}
		if errors.Is(err, cofre.ErrExists) {
			refused := Note{Kind: NoteRefused, Dir: dirOf(f.path), What: "another file of this name was offered, and refused"}
			err = errors.Join(err, refused.leave(ctx, a.Store, l.system, f.name, f.digests[n]))
		}
		return done.isNew, err
	})
	f.healed = slices.DeleteFunc(healed, func(s string) bool { return s == "" })
	f.stored, f.whole, f.unrelated = stored, true, cmp.Or(unrelated...)
	down := 0
	for n, err := range errs {
		if err != nil {
			f.whole, l.down[n] = false, true
		}
		if errors.Is(err, cofre.ErrExists) {
			l.closed.Store(true)
		}
		if l.down[n] {
			down++
		}
	}
	if down == len(l.Archives) {
		l.closed.Store(true)
	}
	f.err = errors.Join(errs...)
}

// deposit is a file with what one archive needs to know of it.
func (l *line) deposit(f *outgoing, object string, made []byte, n int) deposit {
	p := deposit{object: object, bytes: made, digest: f.digests[n], derived: f.derived[n]}
	if f.name.Kind == pgdata.WALSegment {
		p.system, p.name, p.size, p.chain = l.system, f.name, f.size, f.chain
	}
	return p
}

// errBehind is why a file was not stored in an archive that did not take the one before it.
var errBehind = errors.New("what comes before it is not stored yet")

// compare says in which way a segment does not go on where the one before it in an archive ends, and "" if it does as
// far as can be known. What was stored by this archiver just before is not read again.
func (l *line) compare(ctx context.Context, f *outgoing, before *tail, n int) string {
	if f.name.Kind != pgdata.WALSegment || before == nil {
		return ""
	}
	why := ""
	if before.chain != nil {
		why = before.chain.Follows(f.chain)
	}
	if why == "" && before.ask {
		// If it cannot be read, that keeps nothing from being archived: whoever reads the archive compares again.
		if h, err := readHeader(ctx, l.Archives[n].Store, ObjectName(l.system, before.name)); err == nil {
			switch d := before.digests[n]; {
			case d != sealed.Digest{} && d != h.Digest:
				why = fmt.Sprintf("the repository has another %s than this server wrote", before.name)
			case h.Link != nil:
				why = h.Link.Chain.Follows(f.chain)
			}
		}
	}
	return unrelated(before.name, why)
}

// unrelated says that a segment does not follow the one of the given name, if why says so.
func unrelated(name pgdata.WALName, why string) string {
	if why == "" {
		return ""
	}
	return fmt.Sprintf("it does not follow %s: %s", name, why)
}

// leaveNotes remembers in a store what was found about a segment, before the segment itself: what is not remembered is
// not archived, and found again by the next call.
func leaveNotes(ctx context.Context, st cofre.Store, system cofre.SystemID, name pgdata.WALName, dir string, c pgdata.Chain, unrelated string, d sealed.Digest) error {
	var err error
	if c.Break != 0 {
		err = Note{Kind: NoteBroken, LSN: c.Break, What: c.Why, Dir: dir}.leave(ctx, st, system, name, d)
	}
	if unrelated != "" {
		err = errors.Join(err, Note{Kind: NoteUnrelated, LSN: startOf(name, c), What: unrelated, Dir: dir}.leave(ctx, st, system, name, d))
	}
	return err
}

// startOf is where a segment of which first is known begins, without its size: the first record is within it.
func startOf(name pgdata.WALName, c pgdata.Chain) cofre.LSN {
	for size := int64(1 << 20); size <= MaxSegment; size <<= 1 {
		if s, err := name.Segment(size); err == nil && c.First >= s.Start(size) && c.First < s.End(size) {
			return s.Start(size)
		}
	}
	return c.First
}

func dirOf(path string) string {
	dir, err := filepath.Abs(filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return ""
	}
	return dir
}

// tail is what an archiver knows of the segment before the one that it archives.
type tail struct {
	name    pgdata.WALName
	chain   *pgdata.Chain   // nil if it is not known
	digests []sealed.Digest // by archive; zero if it is not known
	ask     bool            // whether the archive is to be asked: nothing says that this archiver stored it
}

// before returns what is known of the segment before f: from the line itself, from what the last call remembered, or
// from pg_wal. It returns nil if f is no segment, or the first of all.
func (l *line) before(ctx context.Context, f *outgoing, size int64) *tail {
	if f.name.Kind != pgdata.WALSegment {
		return nil
	}
	name, ok := predecessor(filepath.Dir(f.path), f.name, size)
	if !ok {
		return nil
	}
	if b := l.byName[name]; b != nil {
		<-b.known
		if b.passable {
			return &tail{name: name, chain: &b.chain, digests: b.digests}
		}
	}
	if t := l.recall(ctx, f.path, name); t != nil {
		return t
	}
	t := &tail{name: name, digests: make([]sealed.Digest, len(l.Archives)), ask: l.Spool != ""}
	content, unmap, err := mapFile(filepath.Join(filepath.Dir(f.path), name.String()))
	if err != nil {
		return t // recycled, long ago perhaps
	}
	defer unmap()
	object := ObjectName(l.system, name)
	if int64(len(content)) != size || CheckContent(l.system, name, content) != nil {
		return t
	}
	// One of the timeline before, this server did not write: a recovery has fetched it, perhaps with a CREATE TABLESPACE
	// changed in it. Its records stand where they stood, and the chain compares them.
	if own := name.Timeline == f.name.Timeline; own {
		for n, a := range l.Archives {
			if r, err := a.Find(ctx); err == nil {
				t.digests[n] = digestOf(r, object, content)
			}
		}
	}
	if t.ask {
		c := pgdata.ChainOf(content, size)
		t.chain = &c
	}
	return t
}

// predecessor is the name of the segment before: of the same timeline, or of the one that the timeline left in this
// segment, as its history in the same folder says.
func predecessor(dir string, name pgdata.WALName, size int64) (_ pgdata.WALName, ok bool) {
	seg, err := name.Segment(size)
	if err != nil || seg.Number == 0 {
		return name, false
	}
	before := pgdata.Segment{Timeline: seg.Timeline, Number: seg.Number - 1}
	if seg.Timeline > 1 {
		if b, err := os.ReadFile(filepath.Join(dir, pgdata.HistoryName(seg.Timeline))); err == nil {
			if h, err := pgdata.ParseHistory(seg.Timeline, b); err == nil {
				before.Timeline = timelineBefore(h, seg, size)
			}
		}
	}
	return before.File(size), true
}

// timelineBefore is the timeline under whose name the segment before seg is read on the way to h.
func timelineBefore(h pgdata.History, seg pgdata.Segment, size int64) cofre.Timeline {
	for _, fork := range h.Forks {
		if seg.Number-1 < uint64(fork.At)/uint64(size) {
			return fork.Parent
		}
	}
	return seg.Timeline
}

// What the archiver knows of the last segment that it stored in every archive is kept in a file, so that the next call
// need not read it again: its name, the folder that it came from, its chain, and its digest for each archive. It is not
// synced: without it the segment is looked at again.

func (l *line) memory(tli cofre.Timeline) string {
	return filepath.Join(l.Spool, "last", l.system.String(), fmt.Sprintf("%08X", uint32(tli)))
}

// folder names the folder of a path as it is: a copy of a cluster has another.
func folder(path string) (string, error) {
	fi, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("no inode")
	}
	return fmt.Sprintf("%d %d", st.Dev, st.Ino), nil
}

func (l *line) remember(ctx context.Context) {
	var last *outgoing
	for _, f := range l.files {
		if f.name.Kind == pgdata.WALSegment && f.whole {
			last = f
		}
	}
	if l.Spool == "" || last == nil {
		return
	}
	from, err := folder(last.path)
	if err != nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%s\n", last.name, from, strings.Join((&sealed.Link{Chain: last.chain}).Args(), " "))
	for n, a := range l.Archives {
		r, err := a.Find(ctx)
		if err != nil {
			return
		}
		fmt.Fprintf(&b, "%s %s %s\n", last.digests[n], r, a.URL())
	}
	file := l.memory(last.name.Timeline)
	_ = inside.WriteCache(file, []byte(b.String()))
}

// recall returns what is remembered of the segment of the given name, or nil if that is another, of another folder, or
// torn.
func (l *line) recall(ctx context.Context, path string, name pgdata.WALName) *tail {
	if l.Spool == "" {
		return nil
	}
	b, err := os.ReadFile(l.memory(name.Timeline))
	lines := strings.Split(string(b), "\n")
	from, ferr := folder(path)
	if err != nil || ferr != nil || len(lines) != 4+len(l.Archives) || lines[0] != name.String() || lines[1] != from {
		return nil
	}
	k, err := sealed.ParseLink(strings.Fields(lines[2]))
	if err != nil {
		return nil
	}
	t := &tail{name: name, chain: &k.Chain, digests: make([]sealed.Digest, len(l.Archives))}
	for n, a := range l.Archives {
		text, to, _ := strings.Cut(lines[3+n], " ")
		r, err := a.Find(ctx)
		if err != nil || to != r.String()+" "+a.URL() || t.digests[n].Decode(text) != nil {
			return nil
		}
	}
	return t
}
