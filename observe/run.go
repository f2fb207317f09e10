package observe

import (
	"context"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Run is one execution under way. It is the observer for everything that belongs to it: each event gets its id, and its
// time and point if they are missing.
type Run struct {
	id        cofre.RunID
	kind      cofre.RunKind
	point     cofre.PointID
	to        cofre.Observer
	startedAt time.Time
	part      *Run       // of which this is a part; nil for most
	mu        sync.Mutex // of point
}

// Begin tells of the beginning of a run. to may be nil. Point is the recovery point that it is about, "" if there is none yet, or
// several. If to is a run of the same kind, this is a part of it: its events are that run's, which alone tells of beginning and end. So a
// product brings the commands around a use case into the run of the use case.
func Begin(to cofre.Observer, kind cofre.RunKind, point cofre.PointID) *Run {
	if to == nil {
		to = cofre.Discard
	}
	now := time.Now()
	if outer, ok := to.(*Run); ok && outer.kind == kind {
		outer.is(point)
		return &Run{id: outer.id, kind: kind, point: point, to: outer, startedAt: now, part: outer}
	}
	r := &Run{id: cofre.NewRunID(now), kind: kind, point: point, to: to, startedAt: now}
	cofre.Tell(r, cofre.RunBegan{Kind: kind})
	return r
}

// is says which point the run is about, once that is known.
func (r *Run) is(point cofre.PointID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.point == "" {
		r.point = point
	}
}

// about is the point that the run is about.
func (r *Run) about() cofre.PointID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.point
}

// Observe tells of an event of the run.
func (r *Run) Observe(e cofre.Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if e.Run == "" {
		e.Run = r.id
	}
	if e.Point == "" {
		e.Point = r.about()
	}
	r.to.Observe(e)
}

// End tells how the run ended: with the code of err, which may be nil. An error that followed from an interruption of ctx is one.
func (r *Run) End(ctx context.Context, err error) {
	if r.part != nil {
		return
	}
	ended := cofre.RunEnded{Kind: r.kind, Code: cofre.CodeOf(err), Took: time.Since(r.startedAt)}
	if err != nil {
		ended.Message, ended.Hint, ended.Messages = cofre.OneLine(err), cofre.Hint(err), cofre.MessagesOf(err)
		if cofre.CodeOf(context.Cause(ctx)) == cofre.CodeInterrupted {
			ended.Code = cofre.CodeInterrupted
		}
	}
	cofre.Tell(r, ended)
}
