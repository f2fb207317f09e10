package drilling

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/postgres/drilled"
	"github.com/trustlayer/cofre/restore"
)

// Options say what is drilled. The zero value drills the newest point that holds the component whole, and leaves nothing.
type Options struct {
	Point  string        // an id, an unambiguous prefix of one, latest or Random; empty is latest
	Source string        // name of the component, if a point has several of the kind
	Moment string        // of a cluster: newest, which is empty too, or Random
	Jobs   int           // sessions at once; 0 is the number of CPUs up to 4
	Keep   time.Duration // leaves the server running for so long; 0 removes everything
	// Command is the command that drills another point, for hints. Nil leaves them without one.
	Command func(cofre.PointID) string
	// Planned is shown the plan, problems and all, before anything is restored. Its error ends the drill, as it is. Nil goes on.
	Planned func(*cofre.Plan) error
}

// Job is a drill of one kind of component.
type Job struct {
	Options
	Rooms     Rooms
	Of        cofre.SourceID
	Questions []drilled.Question // to a database
	Root      cofre.ObjectID     // of the component, if it is known before it is opened
	Drawn     string             // the checkpoint by which Point was drawn
	Recovery  *Recovery          // of a cluster
	BinDir    string             // of the PostgreSQL that is drilled with; empty is that of the captured major version
	// Ready is within what time the server has to answer; 0 leaves it to postgres/drilled.
	Ready    time.Duration
	Observer cofre.Observer
	// Prepare finds the component, and prepares its restore to what the opener makes for it.
	Prepare func(context.Context, Opener) (Prepared, error)
}

// Opener makes the target of a restore for the component that was found.
type Opener func(context.Context, Reader, loss.Choice) (cofre.Target, error)

// Reader is what is read of a repository to find out what is lost.
type Reader interface {
	Repository
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
}

// Prepared is a restore that can be carried out.
type Prepared struct {
	Repository Repository
	Request    restore.Request
	Elsewhere  func(context.Context, error) error // adds the way on to an error
}

// Drill restores, compares, asks, and leaves nothing, also of drills that were killed. A result is returned with an error, too, if it got so far.
//
// Errors: cofre.ErrFindings, if something differs or has another answer than the right one, or if the repository has lost something of the component;
// cofre.ErrPreflight if this machine cannot restore it; those of Prepare, of the server, and of Planned.
func (d Job) Drill(ctx context.Context) (*Result, error) {
	swept, left := d.Rooms.Sweep(ctx, false)
	if left != nil { // it stands in nobody's way but the disk's
		d.Observer.Observe(cofre.Event{Type: cofre.TypeWarning}.Saying(cofre.Say("drill.left", "what an earlier drill has left could not be removed: {{.cause}}", "cause", left)))
	}
	drill, p, err := d.prepared(ctx)
	if drill == nil {
		return nil, err
	}
	if err == nil {
		err = drill.through(ctx, p)
	}
	r := drill.Result
	r.Swept = swept
	if r.EndedAt.IsZero() {
		r.EndedAt = time.Now().UTC()
	}
	if errors.Is(err, cofre.ErrCorrupt) { // that it does not come back is what was asked
		r.damaged(d.Observer, err)
		err = nil
	}
	if err != nil {
		return r, err
	}
	cofre.Tell(d.Observer, r.fact())
	if !r.Red() {
		return r, nil
	}
	found := fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", len(r.Findings), "1 finding", "{{.n}} findings")))
	if r.Recovery != nil && r.Recovery.Drawn != nil { // the entry of this drill has moved the checkpoint on
		return r, cofre.WithHint(found, cofre.Say("drill.look_drawn", "look at that moment, where it stays: cofre restore cluster {{.point}} --to /an/empty/directory --lsn {{.lsn}} --start; whether what is stored is damaged: cofre verify {{.point}} --level content", "point", r.Point, "lsn", r.Recovery.Drawn.LSN))
	}
	return r, cofre.WithHint(found,
		cofre.Say("drill.look", "look at what was restored, where it stays: cofre drill {{.kind}} --point {{.point}} --keep; whether what is stored is damaged: cofre verify {{.point}} --level content", "kind", r.What, "point", r.Point))
}

// Unreachable is the drill of a cluster whose moment cannot be reached: that is what was asked, and so a finding. Any other error is returned as it is.
//
// Errors: cofre.ErrFindings; err.
func (d Job) Unreachable(err error) (*Result, error) {
	why := err
	switch gap, unreachable := (*cofre.GapError)(nil), (*cofre.UnreachableError)(nil); {
	case errors.As(err, &gap):
		why = gap
	case errors.As(err, &unreachable):
		why = unreachable
	default:
		return nil, err
	}
	r := &Result{What: string(d.Of.Kind), Point: cofre.PointID(d.Point), Source: d.Of, root: d.Root, BeganAt: time.Now().UTC(), Drawn: d.Drawn, Answers: []drilled.Answer{}, Findings: []cofre.Finding{}, Steps: []cofre.DrillStep{}}
	r.EndedAt = r.BeganAt
	f := cofre.Finding{Check: CheckRecovery, Kind: d.Of.Kind, Name: d.Of.Name, Object: d.Of.Label()}.Saying(cofre.SayError(why))
	r.Findings = append(r.Findings, f)
	cofre.Tell(d.Observer, cofre.FindingMade{Finding: f})
	cofre.Tell(d.Observer, r.fact())
	return r, cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", 1, "1 finding", "{{.n}} findings"))), cofre.HintOf(err))
}

// PlanOnly says what Drill would do. A server is started to look at, and nothing is restored into it. A plan that is refused is returned with the error.
//
// Errors: those of Drill before anything is restored.
func (d Job) PlanOnly(ctx context.Context) (plan *cofre.Plan, err error) {
	drill, p, err := d.prepared(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drill.Close(ctx)) }()
	plan, err = restore.Plan(ctx, p.Repository, p.Request)
	return plan, p.Elsewhere(ctx, err)
}

// prepared opens the drill. It is nil if it did not get so far; after an error it has left nothing.
func (d Job) prepared(ctx context.Context) (drill *Drill, p Prepared, err error) {
	p, err = d.Prepare(ctx, func(ctx context.Context, repo Reader, from loss.Choice) (_ cofre.Target, err error) {
		lost := from.Lost()
		loss.Name(ctx, repo, from.Point, lost)
		drill, err = d.Open(ctx, repo, from.Point, from.Component, lost)
		return drill, err
	})
	if err != nil && drill != nil {
		err = errors.Join(err, drill.Close(ctx))
	}
	return drill, p, err
}

// through carries the drill out, and leaves nothing.
func (d *Drill) through(ctx context.Context, p Prepared) (err error) {
	defer func() { err = errors.Join(err, d.Close(ctx)) }()
	return p.Elsewhere(ctx, d.Run(ctx, p.Repository, p.Request))
}
