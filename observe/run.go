package observe

import (
	"context"
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
}

// Begin tells of the beginning of a run. to may be nil. Point is the recovery point that it is about, "" if there is none yet, or
// several.
func Begin(to cofre.Observer, kind cofre.RunKind, point cofre.PointID) *Run {
	if to == nil {
		to = cofre.Discard
	}
	now := time.Now()
	r := &Run{cofre.NewRunID(now), kind, point, to, now}
	cofre.Tell(r, cofre.RunBegan{Kind: kind})
	return r
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
		e.Point = r.point
	}
	r.to.Observe(e)
}

// End tells how the run ended: with the code of err, which may be nil. An error that followed from an interruption of ctx is one.
func (r *Run) End(ctx context.Context, err error) {
	ended := cofre.RunEnded{Kind: r.kind, Code: cofre.CodeOf(err), Took: time.Since(r.startedAt)}
	if err != nil {
		ended.Message, ended.Hint, ended.Messages = cofre.OneLine(err), cofre.Hint(err), cofre.MessagesOf(err)
		if cofre.CodeOf(context.Cause(ctx)) == cofre.CodeInterrupted {
			ended.Code = cofre.CodeInterrupted
		}
	}
	cofre.Tell(r, ended)
}
