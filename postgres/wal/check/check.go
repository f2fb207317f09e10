// Package check reads archived WAL back and compares neighbouring segments, as cofre verify does.
//
// What is missing between the segments that are there is not found here: wal.StatusOf says that.
package check

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Chain compares neighbouring segments by what they say of one another, as wal.Inventory.ReadChain reads it, and returns every
// break that nobody has acknowledged, oldest first.
//
// Errors: the store's, if it cannot be asked.
func Chain(ctx context.Context, st cofre.Store, inv *wal.Inventory) ([]cofre.Finding, error) {
	if err := inv.ReadChain(ctx, st); err != nil {
		return nil, err
	}
	var all []cofre.Finding
	for s, b := range inv.Breaks {
		file := s.File(inv.SegmentSize)
		name := file.String()
		e := cofre.GapError{Timeline: s.Timeline, From: name, To: name, BreaksAt: b.At, Why: b.Why, Said: recovery.Reason(b.Why)}
		level := cofre.LevelStructure
		if b.Unreadable {
			e.BreaksAt, level = 0, cofre.LevelContent
		}
		if slices.ContainsFunc(inv.Acknowledged, func(a wal.Acknowledgement) bool { return a.Covers(e) }) {
			continue
		}
		all = append(all, cofre.Finding{Check: string(level), Kind: cofre.KindCluster, Object: wal.ObjectName(inv.SystemID, file)}.Saying(e.Message()))
	}
	slices.SortFunc(all, func(a, b cofre.Finding) int { return strings.Compare(a.Object, b.Object) })
	return all, nil
}

// Segments reads back everything that a store holds of WAL, of every system, and compares it with its digest, its
// name, its system and its size; and it walks the records of the segments that follow one another, as recovery does. What
// is missing between what is there it does not say: wal.StatusOf does.
//
// Errors: the store's, if it cannot be asked.
func Segments(ctx context.Context, st cofre.Store, id wal.Identity) ([]cofre.Finding, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := &check{st: st, id: id, known: map[cofre.SystemID][]span{}, suspects: map[string]bool{}}
	work, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for _, one := range work {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := one(ctx); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(c.found, func(a, b cofre.Finding) int { return strings.Compare(a.Object, b.Object) })
	return c.found, context.Cause(ctx)
}

// check is one reading of all WAL.
type check struct {
	st    cofre.Store
	id    wal.Identity
	known map[cofre.SystemID][]span // acknowledged
	// suspects are the objects of which an earlier reading has left that they could not be read.
	suspects map[string]bool

	mu    sync.Mutex
	found []cofre.Finding
}

// span is segments of one timeline, by the names of the first and the last.
type span struct{ from, to string }

// runLength is how many segments that follow one another are walked by one worker, which reads the first of the next run
// once more.
const runLength = 16

// list makes the work: runs of segments, and everything else by itself.
func (c *check) list(ctx context.Context) ([]func(context.Context) error, error) {
	var work []func(context.Context) error
	type timeline struct {
		system cofre.SystemID
		tli    cofre.Timeline
	}
	segments := map[timeline][]pgdata.WALName{} // in order, as the store lists them
	var order []timeline
	for o, err := range c.st.List(ctx, "wal/") {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", c.st.URL(), err)
		}
		var system cofre.SystemID
		text, rest, _ := strings.Cut(strings.TrimPrefix(o.Name, "wal/"), "/")
		if system.UnmarshalText([]byte(text)) != nil {
			continue
		}
		if gap, ok := strings.CutPrefix(rest, "gaps/"); ok {
			if from, to, ok := strings.Cut(gap, "-"); ok {
				c.known[system] = append(c.known[system], span{from, to})
			}
			continue
		}
		if of, ok := wal.FoundDamaged(o.Name); ok {
			c.suspects[of] = true
			continue
		}
		_, text, _ = strings.Cut(rest, "/")
		if name, err := pgdata.ParseWALName(text); err == nil && name.Kind == pgdata.WALSegment {
			t := timeline{system, name.Timeline}
			if segments[t] == nil {
				order = append(order, t)
			}
			segments[t] = append(segments[t], name)
			continue
		}
		work = append(work, func(ctx context.Context) error {
			_, err := c.object(ctx, o.Name)
			return err
		})
	}
	for _, t := range order {
		names := segments[t]
		for i := 0; i < len(names); i += runLength {
			r := run{check: c, system: t.system, names: names[i:min(i+runLength, len(names))], first: i == 0}
			if i+runLength < len(names) {
				r.next = &names[i+runLength]
			}
			work = append(work, r.walk)
		}
	}
	return work, nil
}

func (c *check) add(object string, what error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = append(c.found, cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: object}.Saying(cofre.SayError(what)))
}

// object reads one object back, and returns the content of a file of PostgreSQL's, nil if it is none or is not as it
// should be: that is found. What is not ours, a later version's perhaps, is left alone.
func (c *check) object(ctx context.Context, object string) ([]byte, error) {
	content, err := wal.ReadBack(ctx, c.st, c.id, object)
	switch {
	case err == nil, errors.Is(err, cofre.ErrNotFound): // it has expired, or was joined with others
	case wal.Damaging(err):
		if !c.acknowledged(object) {
			c.add(object, err)
		}
		return nil, c.remember(ctx, object, err)
	default:
		return nil, err
	}
	if content != nil && c.suspects[object] {
		return content, unlessReading(wal.ForgetDamage(ctx, c.st, object))
	}
	return content, nil
}

// remember leaves in the store that an object cannot be read. Whoever may only read finds it again, and has said it.
func (c *check) remember(ctx context.Context, object string, found error) error {
	name, err := pgdata.ParseWALName(path.Base(object))
	if err != nil || name.Kind != pgdata.WALSegment && name.Kind != pgdata.WALHistory {
		return nil
	}
	return unlessReading(wal.RememberDamage(ctx, c.st, object, found))
}

// unlessReading drops the error of writing if nothing can be written: what was found is said all the same.
func unlessReading(err error) error {
	for _, cannot := range []error{cofre.ErrDenied, cofre.ErrReadOnly, cofre.ErrDiskFull, cofre.ErrNotFound} {
		if errors.Is(err, cannot) {
			return nil
		}
	}
	return err
}

// run is some segments of one timeline, in order.
type run struct {
	*check
	system cofre.SystemID
	names  []pgdata.WALName
	first  bool            // nothing of the timeline is before them
	next   *pgdata.WALName // what is behind them; nil if nothing is

	walker *pgdata.Walker // nil if nothing is known of what is before
	before pgdata.WALName // the segment that it has walked last
}

// walk walks the records of the run, and into the segment behind it until the first record that starts there.
func (r run) walk(ctx context.Context) error {
	for i, name := range r.names {
		content, err := r.object(ctx, wal.ObjectName(r.system, name))
		if err != nil {
			return err
		}
		if content == nil {
			r.walker = nil
			continue
		}
		if i == 0 && r.first {
			r.fromParent(ctx, name, int64(len(content)))
		}
		r.step(name, content, true)
	}
	if r.next == nil || r.walker == nil {
		return nil
	}
	// What is wrong with that one by itself, its own run finds.
	content, err := wal.Read(ctx, r.st, r.id, r.system, *r.next)
	if err == nil {
		r.step(*r.next, content, false)
	}
	return nil
}

// step walks the records of the next segment. A break at its beginning is told of as such; one within it only if own
// is set.
func (r *run) step(name pgdata.WALName, content []byte, own bool) {
	size := int64(len(content))
	before := r.before
	r.before = name
	var crossing *pgdata.Walker // that did not get into the segment from the one before
	if r.walker != nil && predecessorOf(before, name, size) {
		feed(r.walker, content)
		if _, ended := r.walker.End(); !ended {
			return
		}
		crossing = r.walker
	}
	r.walker = pgdata.NewWalker(size)
	feed(r.walker, content)
	at, ended := r.walker.End()
	if crossing != nil {
		if end, _ := crossing.End(); !ended || end < at {
			r.broken(name, end, fmt.Sprintf("it does not follow %s: %s", before, crossing.Why()))
		}
	}
	if ended {
		if own {
			r.broken(name, at, r.walker.Why())
		}
		r.walker = nil
	}
}

// broken adds a break, unless a person knows of it.
func (r *run) broken(name pgdata.WALName, at cofre.LSN, why string) {
	object, text := wal.ObjectName(r.system, name), name.String()
	if !r.acknowledged(object) {
		r.add(object, &cofre.GapError{Timeline: name.Timeline, From: text, To: text, BreaksAt: at, Why: why, Said: recovery.Reason(why)})
	}
}

// acknowledged reports whether a person knows of what is wrong with the segment that an object holds.
func (c *check) acknowledged(object string) bool {
	var system cofre.SystemID
	text, _, _ := strings.Cut(strings.TrimPrefix(object, "wal/"), "/")
	name := path.Base(object)
	return system.UnmarshalText([]byte(text)) == nil && pgdata.IsSegmentName(name) &&
		slices.ContainsFunc(c.known[system], func(k span) bool { return k.from <= name && name <= k.to })
}

func feed(w *pgdata.Walker, content []byte) {
	for page := content; len(page) >= pgdata.WALPageSize; page = page[pgdata.WALPageSize:] {
		w.Page(page[:pgdata.WALPageSize], func(pgdata.Record) bool { return true })
	}
}

// predecessorOf reports whether next is the segment after before; of the first segment of a timeline, the parent's is.
func predecessorOf(before, next pgdata.WALName, size int64) bool {
	b, err := before.Segment(size)
	n, err2 := next.Segment(size)
	return err == nil && err2 == nil && b.Number+1 == n.Number
}

// fromParent begins the walk of a timeline in the segment of its parent that its first one follows, if that is there.
func (r *run) fromParent(ctx context.Context, name pgdata.WALName, size int64) {
	seg, err := name.Segment(size)
	if err != nil || seg.Timeline == 1 || seg.Number == 0 {
		return
	}
	b, err := wal.Read(ctx, r.st, r.id, r.system, pgdata.HistoryOf(seg.Timeline))
	if err != nil || b == nil {
		return // whatever is wrong with it, it is found by itself
	}
	h, err := pgdata.ParseHistory(seg.Timeline, b)
	if err != nil {
		return
	}
	parent, _ := wal.Before(seg, h, size)
	if parent.Timeline == seg.Timeline {
		return
	}
	content, err := wal.Read(ctx, r.st, r.id, r.system, parent.File(size))
	if err != nil || int64(len(content)) != size {
		return
	}
	w := pgdata.NewWalker(size)
	feed(w, content)
	if _, ended := w.End(); !ended {
		r.walker, r.before = w, parent.File(size)
	}
}
