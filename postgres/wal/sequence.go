package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// Sequence stores the WAL that one run of streaming receives, in one archive: whole segments, each with what it says of
// the one before it, and the beginning of the segment that is being written. It is not safe for several goroutines.
type Sequence struct {
	Archive Archive
	System  cofre.SystemID
	Size    int64 // of a segment
	// Before returns the segment before another, across the timelines that the run has met; false of the first of all.
	Before func(pgdata.Segment) (pgdata.Segment, bool)
	// WholeOnly says that no beginnings are stored.
	WholeOnly bool
	// Warn is told where the WAL breaks.
	Warn func(cofre.Message)
	// Tell is told of each segment that is stored whole, and where the WAL breaks; nil is not.
	Tell func(cofre.Fact)

	parts    map[pgdata.Segment][]levelled
	last     tail           // of what this run stored last
	compared pgdata.Segment // the first segment of this run, once its beginning was compared with what is before it
}

func (s *Sequence) tell(f cofre.Fact) {
	if s.Tell != nil {
		s.Tell(f)
	}
}

// BreakIn is what is found of a segment that is there and that recovery does not get past: its records end at a position, or, if that is 0,
// it does not go on where the one before it ends.
func BreakIn(system cofre.SystemID, segment string, at cofre.LSN, why string) cofre.GapFound {
	gap := cofre.GapFound{System: system, From: segment, To: segment, BreaksAt: at, Why: why, State: string(GapOpen), Alarm: true}
	if name, err := pgdata.ParseWALName(segment); err == nil {
		gap.Timeline = name.Timeline
	}
	return gap
}

// URL is where the archive is.
func (s *Sequence) URL() string { return s.Archive.URL() }

// PutSegment stores a whole segment, with what it says of its neighbours, and removes the parts that brought its beginning.
//
// The first one of a run is compared with what the archive has before it: of a server that does not go on where that
// ends, nothing is taken. What breaks later is this server's own, and taken as archive_command's is, with a note.
//
// Errors: cofre.ErrExists if the archive holds other bytes under the same name; cofre.ErrRefused if the segment is of
// another server than the one before it; the store's.
func (s *Sequence) PutSegment(ctx context.Context, seg pgdata.Segment, content []byte) error {
	name := seg.File(s.Size)
	if err := s.put(ctx, seg, content); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	delete(s.parts, seg)
	if s.WholeOnly {
		return nil
	}
	// Also those of an earlier run, of which this one knows nothing.
	parts, err := listParts(ctx, s.Archive.Store, s.System, name)
	if err == nil {
		err = dropParts(ctx, s.Archive.Store, parts)
	}
	if err != nil {
		return fmt.Errorf("remove parts of %s: %w", name, err)
	}
	return nil
}

func (s *Sequence) put(ctx context.Context, seg pgdata.Segment, content []byte) error {
	r, err := s.Archive.Find(ctx)
	if err != nil {
		return err
	}
	st, name := s.Archive.Store, seg.File(s.Size)
	object := ObjectName(s.System, name)
	packed := sync.OnceValue(func() [][]byte { return sealed.Compress(content, runtime.GOMAXPROCS(0)) }) // one segment at a time
	var compressing sync.WaitGroup
	compressing.Go(func() { packed() })
	defer compressing.Wait() // content is the caller's
	d := digestOf(r, object, content)
	k := &sealed.Link{Chain: pgdata.ChainOf(content, s.Size)}
	why := ""
	if before, ok := s.Before(seg); ok {
		if file := before.File(s.Size); s.last.name == file {
			k.Before, why = s.last.digests[0], unrelated(file, s.last.chain.Follows(k.Chain))
		} else if err := s.related(ctx, seg, before, k.Chain, d); err != nil {
			return err
		}
	}
	made, err := s.Archive.seal(r, object, d, k, packed())
	if err == nil {
		err = leaveNotes(ctx, st, s.System, name, "", k.Chain, why, d)
	}
	if err != nil {
		return err
	}
	if why != "" || k.Chain.Break != 0 {
		s.tell(BreakIn(s.System, name.String(), k.Chain.Break, cmp.Or(why, k.Chain.Why)))
		s.Warn(cofre.Say("wal.breaks", "the WAL breaks in segment {{.segment}} ({{.why}}): recovery cannot get past it; take a base backup with: cofre backup cluster", "segment", name, "why", recovery.Told(cmp.Or(why, k.Chain.Break.String()+": "+k.Chain.Why))))
	}
	done, err := create(ctx, st, deposit{object: object, bytes: made, digest: d, system: s.System, name: name, size: s.Size, chain: k.Chain})
	if errors.Is(err, cofre.ErrExists) {
		refused := Note{Kind: NoteRefused, What: "another file of this name was received from the server, and refused"}
		return errors.Join(err, refused.leave(ctx, st, s.System, name, d))
	}
	if done.healed != "" {
		s.Warn(cofre.Say("wal.stored_again", "segment {{.segment}} in {{.repository}} was stored again: {{.why}}; what was there is kept next to it", "segment", name, "repository", st.URL(), "why", recovery.Told(done.healed)))
	}
	if err == nil {
		s.Archive.announce(ctx, s.System)
		s.last = tail{name: name, chain: &k.Chain, digests: []sealed.Digest{d}}
		archived := cofre.WALArchived{System: s.System, File: name.String(), Repository: st.URL()}
		if done.isNew {
			archived.Stored = 1
		}
		s.tell(archived)
	}
	return err
}

// related compares the first segment of a run with what the archive says of the one before it. d is zero if only the
// beginning of the segment is known.
func (s *Sequence) related(ctx context.Context, seg, before pgdata.Segment, c pgdata.Chain, d sealed.Digest) error {
	st, was := s.Archive.Store, before.File(s.Size)
	h, err := readHeader(ctx, st, ObjectName(s.System, was))
	if err != nil || h.Link == nil {
		return nil // nothing is there, or it says nothing: whoever reads the archive compares again
	}
	why := h.Link.Chain.Follows(c)
	if why == "" {
		return nil
	}
	name := seg.File(s.Size)
	if _, err := readAcknowledgement(ctx, st, gapName(s.System, name.String(), name.String())); err == nil {
		if d == (sealed.Digest{}) {
			return nil // the note is left with the whole segment
		}
		return leaveNotes(ctx, st, s.System, name, "", pgdata.Chain{First: c.First}, unrelated(was, why), d)
	}
	return cofre.WithHint(fmt.Errorf("segment %s of %s is not of this server's WAL (%s): %w", was, s.URL(), why, cofre.ErrRefused),
		cofre.Say("wal.another_server", "another server writes this timeline: end its archiving and look which one is to be kept; if it is this one, cofre wal acknowledge {{.name}} {{.name}} --why …, then stream, and cofre backup cluster", "name", name))
}

// PutLeftover stores the records of a segment that was never completed, unless the archive knows more already.
//
// Errors: the store's.
func (s *Sequence) PutLeftover(ctx context.Context, seg pgdata.Segment, content []byte) error {
	name := seg.File(s.Size)
	if len(content) < pgdata.LeastSegment {
		return nil
	}
	if h, err := pgdata.CheckSegment(name, content); err != nil || h.SystemID != s.System {
		return nil // a crash left it without its beginning: nothing can be said about the rest
	}
	end := int64(len(content))
	if breaks := pgdata.ChainOf(append(content[:end:end], make([]byte, max(0, s.Size-end))...), s.Size).Break; breaks != 0 {
		end = int64(breaks - seg.Start(s.Size))
	}
	if end <= pgdata.LeastSegment { // no record is in it
		return nil
	}
	if _, err := s.Archive.Store.Stat(ctx, ObjectName(s.System, name)); err == nil {
		return nil
	}
	parts, err := listParts(ctx, s.Archive.Store, s.System, name)
	if err != nil {
		return err
	}
	if reach(parts) >= end {
		return nil
	}
	if err := putPart(ctx, s.Archive, s.System, name, 0, content[:end]); err != nil {
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

// Reached is up to which offset this run has stored the beginning of a segment.
func (s *Sequence) Reached(seg pgdata.Segment) int64 {
	if parts := s.parts[seg]; len(parts) > 0 {
		return parts[len(parts)-1].to
	}
	return 0
}

// PutBeginning stores what a segment has up to the offset to, as far as this run has not stored it yet. r reads the segment.
//
// Errors: those of r; cofre.ErrRefused as PutSegment, before anything is stored; the store's.
func (s *Sequence) PutBeginning(ctx context.Context, seg pgdata.Segment, r io.ReaderAt, to int64) error {
	name := seg.File(s.Size)
	next, kept, joined := join(s.parts[seg], s.Reached(seg), to)
	content := make([]byte, next.to-next.from)
	if _, err := r.ReadAt(content, next.from); err != nil {
		return err
	}
	if err := s.relatedBeginning(ctx, seg, r, to); err != nil {
		return fmt.Errorf("archive the beginning of %s: %w", name, err)
	}
	next.object = partName(s.System, name, next.from, next.to)
	if err := putPart(ctx, s.Archive, s.System, name, next.from, content); err != nil {
		return fmt.Errorf("archive the beginning of %s: %w", name, err)
	}
	if s.parts == nil {
		s.parts = map[pgdata.Segment][]levelled{}
	}
	s.parts[seg] = append(kept, next)
	// After the longer one is durable: a crash in between leaves both, and they agree.
	return dropParts(ctx, s.Archive.Store, joined)
}

// join decides what the next part of a segment holds: what is new, together with the parts before it if they have become
// too many. It returns the parts that stay, and those that the next one takes the place of.
func join(parts []levelled, from, to int64) (next levelled, kept []levelled, joined []part) {
	next = levelled{part{from: from, to: to}, 0}
	for n := len(parts); n >= joinAt-1; n = len(parts) {
		last := parts[n-joinAt+1:]
		if last[0].level != next.level || last[len(last)-1].level != next.level {
			break
		}
		for _, p := range last {
			joined = append(joined, p.part)
		}
		next.from = last[0].from
		next.level++
		parts = parts[:n-joinAt+1]
	}
	return next, parts[:len(parts):len(parts)], joined
}

// relatedBeginning compares the beginning of the first segment of a run, before any of it is stored.
func (s *Sequence) relatedBeginning(ctx context.Context, seg pgdata.Segment, r io.ReaderAt, to int64) error {
	before, ok := s.Before(seg)
	if !ok || s.last.name == before.File(s.Size) || s.compared == seg {
		return nil
	}
	content := make([]byte, (to+pgdata.WALPageSize-1)/pgdata.WALPageSize*pgdata.WALPageSize)
	if _, err := r.ReadAt(content[:to], 0); err != nil {
		return err
	}
	c := pgdata.ChainOf(content, s.Size)
	if err := s.related(ctx, seg, before, c, sealed.Digest{}); err != nil {
		return err
	}
	if c.First != 0 {
		s.compared = seg
	}
	return nil
}

// Before is the segment before seg, along the history of its timeline if that is given; false of the first of all.
func Before(seg pgdata.Segment, h pgdata.History, size int64) (pgdata.Segment, bool) {
	if seg.Number == 0 {
		return seg, false
	}
	before := pgdata.Segment{Timeline: seg.Timeline, Number: seg.Number - 1}
	if h.Timeline == seg.Timeline {
		before.Timeline = timelineBefore(h, seg, size)
	}
	return before, true
}
