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
	"github.com/trustlayer/cofre/postgres/wal/origin"
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
	refused := map[string]error{}
	for _, err := range inv.Refusals {
		if e, ok := errors.AsType[*origin.Error](err); ok {
			refused[e.Object] = err
			if !pgdata.IsSegmentName(path.Base(e.Object)) { // a beginning, which breaks nothing
				all = append(all, cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: e.Object}.Saying(cofre.SayError(err)))
			}
		}
	}
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
		said := e.Message()
		if err := refused[wal.ObjectName(inv.SystemID, file)]; err != nil && b.Unreadable {
			said = cofre.SayError(err)
		}
		all = append(all, cofre.Finding{Check: string(level), Kind: cofre.KindCluster, Object: wal.ObjectName(inv.SystemID, file)}.Saying(said))
	}
	for _, u := range inv.Unread {
		f := cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: u.Object}
		if origin.IsRefusal(u.Err) {
			all = append(all, f.Saying(cofre.SayError(u.Err)))
			continue
		}
		all = append(all, f.Saying(cofre.Series(cofre.SayError(u.Err), wal.MoveAway(u.Err))))
	}
	if inv.Origins != nil {
		for _, object := range inv.Origins.Gone {
			all = append(all, cofre.Finding{Check: string(cofre.LevelStructure), Kind: cofre.KindCluster, Object: object}.Saying(cofre.Say("wal.record_gone", "this host has seen it, or its journal has it, and the repository does not hold it any more: what it says is believed here")))
		}
	}
	for object, said := range inv.TakenAway {
		all = append(all, cofre.Finding{Check: string(cofre.LevelStructure), Kind: cofre.KindCluster, Object: object}.Saying(said))
	}
	for _, a := range inv.Forgotten {
		all = append(all, cofre.Finding{Check: string(cofre.LevelStructure), Kind: cofre.KindCluster, Object: a.Object(inv.SystemID)}.Saying(a.GoneMessage(inv.SystemID)))
	}
	slices.SortFunc(all, func(a, b cofre.Finding) int { return strings.Compare(a.Object, b.Object) })
	return all, nil
}

// Options say what is read back of WAL. The zero value reads everything.
type Options struct {
	Proven cofre.Proven // what was read back before; nil remembers nothing
	Copy   string       // the address, if it is the WAL of a copy
	// Acknowledged is what somebody who has the password knows of.
	Acknowledged map[cofre.SystemID][]wal.Acknowledgement
}

// Segments reads back everything that is due of what a store holds of WAL, of every system, and compares it with its digest, its
// name, its system and its size; and it walks the records of the segments that follow one another, as recovery does. What
// is missing between what is there it does not say: wal.StatusOf does. Segments become due sixteen at a time, for they are walked together.
//
// Errors: the store's, if it cannot be asked.
func Segments(ctx context.Context, st cofre.Store, id wal.Identity, o Options) ([]cofre.Finding, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCheck(st, o)
	c.id = id
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

// Count tells what there is of WAL, and reads nothing of it.
//
// Errors: the store's.
func Count(ctx context.Context, st cofre.Store, o Options) error {
	_, err := newCheck(st, o).list(ctx)
	return err
}

// check is one reading of all WAL.
type check struct {
	Options
	st      cofre.Store
	id      wal.Identity
	objects map[string]cofre.ReadBack
	// suspects are the objects of which an earlier reading has left that they could not be read.
	suspects map[string]bool

	mu    sync.Mutex
	found []cofre.Finding
	bad   map[string]bool // objects that are not as they were written, also those that a person knows of
}

func newCheck(st cofre.Store, o Options) *check {
	return &check{Options: o, st: st, objects: map[string]cofre.ReadBack{}, suspects: map[string]bool{}, bad: map[string]bool{}}
}

// due reports whether an object is to be read. It is to be called once for each.
func (c *check) due(object string) bool {
	return c.Proven == nil || c.Proven.Due(c.objects[object]) || c.suspects[object]
}

// unproven reports whether nobody has read an object, as it is now.
func (c *check) unproven(object string) bool {
	return c.Proven == nil || c.Proven.At(c.objects[object]).IsZero()
}

// note tells that an object was read. What was found of it, by whoever walked into it, counts for more.
func (c *check) note(ctx context.Context, object string) {
	c.mu.Lock()
	whole := !c.bad[object]
	c.mu.Unlock()
	if o, listed := c.objects[object]; listed && c.Proven != nil {
		c.Proven.Note(ctx, o, whole)
	}
}

// list makes the work: runs of segments, and everything else by itself.
func (c *check) list(ctx context.Context) ([]func(context.Context) error, error) {
	var work []func(context.Context) error
	type timeline struct {
		system cofre.SystemID
		tli    cofre.Timeline
	}
	segments := map[timeline][]pgdata.WALName{} // in order, as the store lists them
	var order []timeline
	var others []string
	for o, err := range c.st.List(ctx, "wal/") {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", c.st.URL(), err)
		}
		system, ok := wal.SystemOf(o.Name)
		if !ok {
			continue
		}
		if of, ok := wal.FoundDamaged(o.Name); ok {
			c.suspects[of] = true
			continue
		}
		text, err := wal.NameOf(system, o.Name)
		if err != nil {
			continue // nobody reads it there, as the inventory says
		}
		name, err := pgdata.ParseWALName(text)
		if err != nil && !wal.IsPart(text) {
			continue // not ours: a later version's perhaps
		}
		e := cofre.ReadBack{StoredObject: o, Part: cofre.Part{What: cofre.PartWAL, Repository: c.Copy}}
		if err == nil && name.Kind == pgdata.WALSegment {
			t := timeline{system, name.Timeline}
			if segments[t] == nil {
				order = append(order, t)
			}
			segments[t] = append(segments[t], name)
			e.With = runOf(o.Name)
		} else {
			others = append(others, o.Name)
		}
		c.objects[o.Name] = e
	}
	for _, object := range others {
		if c.due(object) {
			work = append(work, func(ctx context.Context) error {
				content, err := c.object(ctx, object)
				if content != nil { // nothing is walked of it: it is proven as it stands
					c.note(ctx, object)
				}
				return err
			})
		}
	}
	for _, t := range order {
		for names := segments[t]; len(names) > 0; {
			r := run{check: c, system: t.system, names: names, first: len(names) == len(segments[t])}
			object := func(i int) string { return wal.ObjectName(t.system, names[i]) }
			end := 1
			for end < len(names) && runOf(object(end)) == runOf(object(0)) {
				end++
			}
			r.names, names = names[:end:end], names[end:]
			due := false
			for _, name := range r.names {
				due = c.due(wal.ObjectName(t.system, name)) || due
			}
			if len(names) > 0 {
				r.next = &names[0]
				// Whoever has walked from the one into the other has walked into another one.
				due = due || c.unproven(object(0))
			}
			if due {
				work = append(work, r.walk)
			}
		}
	}
	return work, nil
}

// runOf is the name of segments that follow one another and are walked by one worker, which reads the first behind them once more. There
// are up to sixteen: all but the last digit of their names.
func runOf(object string) string { return object[:len(object)-1] }

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
	case errors.Is(err, cofre.ErrNotFound): // it has expired, or was joined with others
		return nil, nil
	case err == nil:
		if content == nil {
			c.note(ctx, object)
		}
	case wal.Damaging(err):
		c.spoilt(ctx, object)
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

// spoilt tells that an object is not as it was written, or does not follow the one before it.
func (c *check) spoilt(ctx context.Context, object string) {
	c.mu.Lock()
	c.bad[object] = true
	c.mu.Unlock()
	c.note(ctx, object)
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
		r.step(ctx, name, content, true)
		r.note(ctx, wal.ObjectName(r.system, name))
	}
	if r.next == nil || r.walker == nil {
		return nil
	}
	// What is wrong with that one by itself, its own run finds.
	content, err := wal.Read(ctx, r.st, r.id, r.system, *r.next)
	if err == nil {
		r.step(ctx, *r.next, content, false)
	}
	return nil
}

// step walks the records of the next segment. A break at its beginning is told of as such; one within it only if own
// is set.
func (r *run) step(ctx context.Context, name pgdata.WALName, content []byte, own bool) {
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
			r.broken(ctx, name, end, fmt.Sprintf("it does not follow %s: %s", before, crossing.Why()))
		}
	}
	if ended {
		if own {
			r.broken(ctx, name, at, r.walker.Why())
		}
		r.walker = nil
	}
}

// broken adds a break, unless a person knows of it.
func (r *run) broken(ctx context.Context, name pgdata.WALName, at cofre.LSN, why string) {
	object, text := wal.ObjectName(r.system, name), name.String()
	r.spoilt(ctx, object)
	if !r.acknowledged(object) {
		r.add(object, &cofre.GapError{Timeline: name.Timeline, From: text, To: text, BreaksAt: at, Why: why, Said: recovery.Reason(why)})
	}
}

// acknowledged reports whether a person knows of what is wrong with the segment that an object holds.
func (c *check) acknowledged(object string) bool {
	system, ok := wal.SystemOf(object)
	name := path.Base(object)
	return ok && pgdata.IsSegmentName(name) &&
		slices.ContainsFunc(c.Acknowledged[system], func(k wal.Acknowledgement) bool { return k.From <= name && name <= k.To })
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
