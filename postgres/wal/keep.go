package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// keeper brings WAL into one archive. Each archive has one, so that none waits for another that is down: what is lost
// with the host is then only what no archive had been given.
type keeper struct {
	*stream
	archive Archive
	kick    chan struct{} // something is there

	// Under the stream's lock.
	next     int            // number of what it takes from the queue next
	stored   cofre.LSN      // everything before it, on storedOf, is in the archive, as far as this run received it
	storedOf cofre.Timeline // a position says nothing without its timeline: after a failover, WAL is written there anew

	parts         map[pgdata.WALName][]levelled
	last          tail           // of what this run stored last
	firstCompared pgdata.WALName // the first segment of this run, once its beginning was compared with what is before it
}

// keep brings what is in the spool into the archive, in order: whole segments first, then what there is of the
// one being received. It ends with ctx, or at the end of the queue once the receiver has put one there.
func (s *keeper) keep(ctx context.Context) {
	back := backOff{least: 500 * time.Millisecond, most: 30 * time.Second}
	lastPart := time.Now()
	failing := false
	for {
		w, ok := s.first()
		ending := ok && w.name == pgdata.WALName{}
		var err error
		switch {
		case ending || !ok:
			if !ending && !s.flushDue(lastPart) {
				if ctx.Err() != nil {
					return
				}
				s.sleep(ctx, lastPart)
				continue
			}
			lastPart = time.Now()
			err = s.flush(ctx)
			if err == nil && ending {
				return
			}
		default:
			if err = s.putWhole(ctx, w); err == nil {
				s.drop(w)
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if failing {
				s.note("%s takes WAL again", s.archive.URL())
				failing = false
			}
			back.reset()
			s.wakeUp()
		case permanent(err):
			s.mu.Lock()
			s.fatal = err
			s.mu.Unlock()
			s.wakeUp()
			return
		default:
			if !failing {
				s.warn("WAL waits on this host, for %s did not take it: %v", s.archive.URL(), err)
				failing = true
			}
			back.wait(ctx)
		}
	}
}

func (s *keeper) first() (waiting, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.next - s.taken
	if i >= len(s.queue) {
		return waiting{}, false
	}
	return s.queue[i], true
}

// drop goes on to what comes next, and takes out of the spool what every archive has. A file left by a crash before is
// stored again, which is accepted.
func (s *keeper) drop(w waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	least := s.next
	for _, other := range s.keepers {
		least = min(least, other.next)
	}
	for ; s.taken < least; s.taken++ {
		_ = os.Remove(s.queue[0].path)
		s.queue = s.queue[1:]
	}
	if seg, err := w.name.Segment(s.size); err == nil && !w.leftover && seg.Timeline == s.storedOf {
		s.stored = max(s.stored, seg.End(s.size))
	}
}

// wakeUp ends a wait of the receiver, so that it reports.
func (s *stream) wakeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake != nil {
		s.wake()
	}
}

func (s *keeper) flushDue(last time.Time) bool {
	if s.Synchronous {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.open && s.received > s.stored
	}
	return s.Flush > 0 && time.Since(last) >= s.Flush
}

func (s *keeper) sleep(ctx context.Context, last time.Time) {
	wait := time.Minute
	if s.Flush > 0 && !s.Synchronous {
		wait = max(0, s.Flush-time.Since(last))
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.kick:
	case <-t.C:
	}
}

// putWhole stores a segment from the spool, and removes the parts that brought it here.
func (s *keeper) putWhole(ctx context.Context, w waiting) error {
	content, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) && w.leftover {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	if w.leftover {
		return s.putLeftover(ctx, w.name, content)
	}
	if err := checkContent(s.System, w.name, content); err != nil {
		return fmt.Errorf("%w: segment %s: %w", errSpool, w.name, err)
	}
	if err := s.putSegment(ctx, w.name, content); err != nil {
		return fmt.Errorf("archive %s: %w", w.name, err)
	}
	delete(s.parts, w.name)
	if s.Flush < 0 && !s.Synchronous {
		return nil
	}
	// Also those of an earlier run, of which this one knows nothing.
	parts, err := listParts(ctx, s.archive.Store, s.System, w.name)
	if err == nil {
		err = dropParts(ctx, s.archive.Store, parts)
	}
	if err != nil {
		return fmt.Errorf("remove parts of %s: %w", w.name, err)
	}
	return nil
}

// putSegment stores a whole segment, with what it says of its neighbours. The first one of a run is compared with what
// the archive has before it: of a server that does not go on where that ends, nothing is taken. What breaks later is this
// server's own, and taken as archive_command's is, with a note.
func (s *keeper) putSegment(ctx context.Context, name pgdata.WALName, content []byte) error {
	r, err := s.archive.Find(ctx)
	if err != nil {
		return err
	}
	object := ObjectName(s.System, name)
	packed := sync.OnceValue(func() [][]byte { return compress(content, jobsForOne()) })
	var compressing sync.WaitGroup
	compressing.Go(func() { packed() })
	defer compressing.Wait()
	d := digestOf(r, object, content)
	k := &link{chain: pgdata.ChainOf(content, s.size)}
	before, ok := s.nameBefore(name)
	why := ""
	switch {
	case !ok:
	case s.last.name == before:
		k.before, why = s.last.digests[0], unrelated(before, s.last.chain.Follows(k.chain))
	default:
		if err := s.related(ctx, name, before, k.chain, d); err != nil {
			return err
		}
	}
	sealed, err := seal(r, object, d, k, packed())
	if err == nil {
		err = leaveNotes(ctx, s.archive.Store, s.System, name, "", k.chain, why, d)
	}
	if err != nil {
		return err
	}
	if why != "" || k.chain.Break != 0 {
		s.warn("the WAL breaks in segment %s (%s): recovery cannot get past it; take a base backup with: cofre backup cluster", name, cmp.Or(why, k.chain.Break.String()+": "+k.chain.Why))
	}
	if _, err = create(ctx, s.archive.Store, object, sealed, d); errors.Is(err, cofre.ErrExists) {
		refused := Note{Kind: NoteRefused, What: "another file of this name was received from the server, and refused"}
		return errors.Join(err, refused.leave(ctx, s.archive.Store, s.System, name, d))
	}
	if err == nil {
		s.last = tail{name: name, chain: &k.chain, digests: []digest{d}}
	}
	return err
}

// nameBefore is the segment before, across the timelines that this run has seen.
func (s *keeper) nameBefore(name pgdata.WALName) (_ pgdata.WALName, ok bool) {
	seg, err := name.Segment(s.size)
	if err != nil || seg.Number == 0 {
		return name, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := pgdata.Segment{Timeline: seg.Timeline, Number: seg.Number - 1}
	if h, ok := s.histories[seg.Timeline]; ok {
		before.Timeline = timelineBefore(h, seg, s.size)
	}
	return before.File(s.size), true
}

// related compares the first segment of a run with what the archive says of the one before it.
func (s *keeper) related(ctx context.Context, name, before pgdata.WALName, c pgdata.Chain, d digest) error {
	h, err := readHeader(ctx, s.archive.Store, ObjectName(s.System, before))
	if err != nil || h.link == nil {
		return nil // nothing is there, or it says nothing: who reads the archive compares again
	}
	why := h.link.chain.Follows(c)
	if why == "" {
		return nil
	}
	if _, err := readAcknowledgement(ctx, s.archive.Store, gapName(s.System, name.String(), name.String())); err == nil {
		if d == (digest{}) {
			return nil // a beginning only
		}
		return leaveNotes(ctx, s.archive.Store, s.System, name, "", pgdata.Chain{First: c.First}, unrelated(before, why), d)
	}
	return cofre.WithHint(fmt.Errorf("segment %s of %s is not of this server's WAL (%s): %w", before, s.archive.URL(), why, cofre.ErrRefused),
		"another server writes this timeline: end its archiving and look which one is to be kept; where it is this one, cofre wal acknowledge %s %s --why …, then stream, and cofre backup cluster", name, name)
}

// relatedBeginning compares the beginning of the first segment of a run, before any of it is stored.
func (s *keeper) relatedBeginning(ctx context.Context, name pgdata.WALName, to int64) error {
	before, ok := s.nameBefore(name)
	if !ok || s.last.name == before || s.firstCompared == name {
		return nil
	}
	f, err := os.Open(filepath.Join(s.dir, name.String()+unfinished))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // completed meanwhile
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	defer f.Close()
	content := make([]byte, (to+pgdata.WALPageSize-1)/pgdata.WALPageSize*pgdata.WALPageSize)
	if _, err := f.ReadAt(content[:to], 0); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	c := pgdata.ChainOf(content, s.size)
	if err := s.related(ctx, name, before, c, digest{}); err != nil {
		return err
	}
	if c.First != 0 {
		s.firstCompared = name
	}
	return nil
}

// putLeftover stores the records of a segment that was never completed, unless the archive knows more already.
func (s *keeper) putLeftover(ctx context.Context, name pgdata.WALName, content []byte) error {
	if len(content) < pgdata.WALPageSize {
		return nil
	}
	if h, err := pgdata.CheckSegment(name, content); err != nil || h.SystemID != s.System {
		return nil // a crash left it without its beginning: nothing can be said about the rest
	}
	end := int64(len(content))
	if reach := pgdata.ChainOf(content, s.size).Break; reach != 0 {
		seg, err := name.Segment(s.size)
		if err != nil {
			return err
		}
		end = int64(reach - seg.Start(s.size))
	}
	if _, err := s.archive.Store.Stat(ctx, ObjectName(s.System, name)); err == nil {
		return nil
	}
	parts, err := listParts(ctx, s.archive.Store, s.System, name)
	if err != nil {
		return err
	}
	if reach(parts) >= end || end < pgdata.WALPageSize {
		return nil
	}
	if err := putPart(ctx, s.archive, s.System, name, 0, content[:end]); err != nil {
		return fmt.Errorf("archive the beginning of %s: %w", name, err)
	}
	return nil
}

// levelled is a stored part, and how often parts were joined to make it.
type levelled struct {
	part
	level int
}

// joinAt is how many parts of a level become one of the next: a segment that is written slowly has no more than
// joinAt parts of each size, and each byte is stored a few times in all.
const joinAt = 16

// flush stores what was received of the present segment since the last time.
func (s *keeper) flush(ctx context.Context) error {
	s.mu.Lock()
	seg, received, open := s.segment, s.received, s.open
	s.mu.Unlock()
	if !open || (s.Flush < 0 && !s.Synchronous) {
		return nil
	}
	name := seg.File(s.size)
	parts := s.parts[name]
	var from int64
	if n := len(parts); n > 0 {
		from = parts[n-1].to
	}
	to := int64(received - seg.Start(s.size))
	if to <= from {
		s.confirm(seg, from)
		return nil
	}
	next := levelled{part{from: from, to: to}, 0}
	var joined []part
	for {
		n := len(parts)
		if n < joinAt-1 || parts[n-joinAt+1].level != next.level || parts[n-1].level != next.level {
			break
		}
		for _, p := range parts[n-joinAt+1:] {
			joined = append(joined, p.part)
		}
		next.from = parts[n-joinAt+1].from
		next.level++
		parts = parts[:n-joinAt+1]
	}
	content := make([]byte, next.to-next.from)
	f, err := os.Open(filepath.Join(s.dir, name.String()+unfinished))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // completed meanwhile: it goes as a whole
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	_, err = f.ReadAt(content, next.from)
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	if err := s.relatedBeginning(ctx, name, next.to); err != nil {
		return fmt.Errorf("archive the beginning of %s: %w", name, err)
	}
	next.object = partName(s.System, name, next.from, next.to)
	if err := putPart(ctx, s.archive, s.System, name, next.from, content); err != nil {
		return fmt.Errorf("archive the beginning of %s: %w", name, err)
	}
	s.parts[name] = append(parts[:len(parts):len(parts)], next)
	s.confirm(seg, next.to)
	// After the longer one is durable: a crash in between leaves both, and they agree.
	return dropParts(ctx, s.archive.Store, joined)
}

// confirm notes that a segment is stored up to an offset.
func (s *keeper) confirm(seg pgdata.Segment, to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := seg.Start(s.size) + cofre.LSN(to); s.segment == seg && at > s.stored {
		s.stored = at
	}
}
