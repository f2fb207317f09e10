// Package restore carries out a restore: plan, confirm, stage, check, publish.
//
// What of what exists is safe until the copy is proven equal to what was captured, and after that, each target promises
// for itself; the plan tells it. It is not the plan of a point-in-time recovery: postgres/recovery decides which base backup
// and which WAL; this package carries out whatever a cofre.Target planned. Read Run first.
package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/observe"
)

// discardBound is how long cleaning up may take after a restore failed or was interrupted: dropping a large
// database is one checkpoint and the deletion of its files.
const discardBound = 2 * time.Minute

// repository is what a restore needs of one.
type repository interface {
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
}

// Request says what to restore and where to.
type Request struct {
	Point     cofre.PointID
	Component cofre.Component
	Target    cofre.Target
	Observer  cofre.Observer // nil observes nothing
	// Confirm is shown the plan, problems and all, before anything is touched. Its error ends the restore, as it
	// is. Nil confirms.
	Confirm func(*cofre.Plan) error
	// Approve is asked, once the copy is staged and proven, whether to publish it: what is to change may be known only then. If
	// it says no, the copy is discarded, and that is no error. Nil publishes.
	Approve func() (publish bool, err error)
	// Accept are names of differences that are taken as they are.
	Accept []string
}

// Result is what a restore did. Its later fields are nil if it did not get so far.
type Result struct {
	Plan    *cofre.Plan    `json:"plan"`
	Proof   *cofre.Proof   `json:"proof,omitempty"`
	Outcome *cofre.Outcome `json:"outcome,omitempty"`
	// Kept is the copy that was not published because it differs, if it was kept.
	Kept *cofre.KeptCopy `json:"kept_copy,omitempty"`
	Took time.Duration   `json:"-"` // from confirmation to publication
}

// Plan says what Run would do, and touches nothing.
//
// Errors: those of opening the component and of looking at the target; ErrPreflight together with the plan, if
// the plan has problems.
func Plan(ctx context.Context, repo repository, req Request) (*cofre.Plan, error) {
	tree, err := repo.Tree(ctx, req.Component.Root)
	if err != nil {
		return nil, fmt.Errorf("open %s %s of point %s: %w", req.Component.Kind, req.Component.Name, req.Point, err)
	}
	plan, err := req.Target.Plan(ctx, req.Component, tree)
	if err != nil {
		return nil, fmt.Errorf("plan the restore of %s %s: %w", req.Component.Kind, req.Component.Name, err)
	}
	if plan.Point == "" {
		plan.Point = req.Point
	}
	plan.Promises(req.Target.Promise())
	return plan, Preflight(plan)
}

// Run restores one component. The result says how far it came, with an error too. What exists is touched before Target.Publish only
// as the target's promise says; after any error what was staged is discarded, and what could not be is named. A copy that
// was made whole and differs is not discarded if the target can keep it: Result.Kept says where it is.
//
// Errors: ErrPreflight if the plan has problems, after Confirm has seen it; Confirm's own; ErrUnproven if
// the staged copy differs from what was captured, with the differences; ErrPartial, after the copy was published,
// if some of it differs and was accepted, or something was left that is not as it was captured; otherwise those of the
// target. What is recovered after that, by a cofre.Recoverer, stays published whatever its error.
func Run(ctx context.Context, repo repository, req Request) (*Result, error) {
	r := observe.Begin(req.Observer, cofre.RunRestore, observe.About{Point: req.Point, Of: cofre.SourceID{Kind: req.Component.Kind, Name: req.Component.Name}})
	req.Observer = r
	res, err := run(ctx, repo, req)
	r.End(ctx, err)
	return res, err
}

func run(ctx context.Context, repo repository, req Request) (*Result, error) {
	plan, err := Plan(ctx, repo, req)
	res := &Result{Plan: plan}
	if plan == nil {
		return res, err
	}
	cofre.Tell(req.Observer, cofre.RestorePlanned{Plan: plan})
	refused := err
	if req.Confirm != nil {
		if err := req.Confirm(plan); err != nil {
			return res, errors.Join(refused, err)
		}
	}
	if refused != nil {
		return res, refused
	}
	startedAt := time.Now()
	err = carryOut(ctx, req, res)
	switch {
	case res.Kept != nil:
		return res, err
	case err != nil || res.Outcome == nil:
		return res, discard(ctx, req, err)
	}
	res.Took = time.Since(startedAt)
	if r, ok := req.Target.(cofre.Recoverer); ok {
		if err := r.Recover(ctx, req.Observer, res.Outcome); err != nil {
			return res, err
		}
	}
	if err := partial(req.Component, res.Proof); err != nil {
		return res, err
	}
	return res, incomplete(req.Component, res.Outcome)
}

// incomplete names what was left. Nothing is discarded for it.
func incomplete(c cofre.Component, o *cofre.Outcome) error {
	if len(o.Left) == 0 {
		return nil
	}
	const shown = 5
	var left cofre.Message
	for _, l := range o.Left[:min(shown, len(o.Left))] {
		left = cofre.Series(left, cofre.Say("restore.differs", "{{.what}}: {{.got}}", "what", l.Messages.Of(l.What), "got", l.Messages.Of(l.Got)))
	}
	if more := len(o.Left) - shown; more > 0 {
		left = cofre.Series(left, cofre.SayN("restore.more_differ", more, "and 1 more", "and {{.n}} more"))
	}
	err := cofre.Fail(restored(c), cofre.ErrPartial, cofre.Fail(cofre.Say("restore.not_as_captured", "not as captured: {{.left}}", "left", left)))
	if o.Hint.IsZero() {
		return err
	}
	return cofre.WithHint(err, o.Hint)
}

// carryOut leaves, if it is interrupted anywhere before Publish, what the target's promise says: something staged under a name of
// its own, unless the target cannot do that.
func carryOut(ctx context.Context, req Request, res *Result) (err error) {
	if err := req.Target.Stage(ctx, req.Observer); err != nil {
		return fmt.Errorf("restore %s %s: %w", req.Component.Kind, req.Component.Name, err)
	}
	cofre.Tell(req.Observer, cofre.RestoreStaged{Staging: res.Plan.Promise.Staging})
	if res.Proof, err = req.Target.Check(ctx, req.Observer); err != nil {
		return fmt.Errorf("check the restored %s %s: %w", req.Component.Kind, req.Component.Name, err)
	}
	res.Proof.Accept(req.Accept)
	if !res.Proof.Holds() {
		return keep(ctx, req, res, unproven(req, res))
	}
	cofre.Tell(req.Observer, cofre.RestoreProven{Proof: res.Proof})
	if req.Approve != nil {
		if publish, err := req.Approve(); err != nil || !publish {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if res.Outcome, err = req.Target.Publish(ctx); err != nil {
		return fmt.Errorf("restore %s %s: %w", req.Component.Kind, req.Component.Name, err)
	}
	cofre.Tell(req.Observer, cofre.RestorePublished{Outcome: res.Outcome, Promise: *res.Plan.Promise})
	return nil
}

// keep leaves a copy that differs where it is. One that cannot be kept is discarded, as after any other error.
func keep(ctx context.Context, req Request, res *Result, reason error) error {
	keeper, ok := req.Target.(cofre.Keeper)
	if !ok || len(res.Proof.Checks) == 0 {
		return reason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardBound)
	defer cancel()
	kept, err := keeper.Keep(ctx, res.Proof)
	if err != nil {
		return errors.Join(reason, fmt.Errorf("keep the restored %s %s: %w", req.Component.Kind, req.Component.Name, err))
	}
	res.Kept = &kept
	cofre.Tell(req.Observer, cofre.CopyKept{Copy: kept, Proof: res.Proof.Differing()})
	return reason
}

// partial says that what was published differs from what was captured, in ways that were accepted.
func partial(c cofre.Component, p *cofre.Proof) error {
	accepted := p.Accepted()
	if len(accepted) == 0 {
		return nil
	}
	return cofre.Fail(cofre.SayN("restore.accepted", len(accepted), "restored {{.source}} with 1 difference that was accepted", "restored {{.source}} with {{.n}} differences that were accepted", "source", c.Label()), cofre.ErrPartial)
}

// discard removes what was staged even if ctx has ended, and joins what it could not remove to the reason.
func discard(ctx context.Context, req Request, reason error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardBound)
	defer cancel()
	if err := req.Target.Discard(ctx); err != nil {
		if reason == nil {
			return err
		}
		return &LeftError{Reason: reason, Left: err}
	}
	return reason
}

// LeftError says that a restore failed and that something it staged is still there.
type LeftError struct {
	Reason error // why the restore failed
	Left   error // what was left, with the command that removes it
}

func (e *LeftError) Error() string { return fmt.Sprintf("%v; left behind: %v", e.Reason, e.Left) }

// Unwrap puts the reason first, so that its condition decides.
func (e *LeftError) Unwrap() []error { return []error{e.Reason, e.Left} }

// Preflight says whether a plan may be carried out.
//
// Errors: ErrPreflight, with everything that forbids it and the first hint.
func Preflight(plan *cofre.Plan) error {
	if len(plan.Problems) == 0 {
		return nil
	}
	var what, hint cofre.Message
	for _, p := range plan.Problems {
		what = cofre.List(what, p.Messages.Of(p.What))
		if hint.IsZero() {
			hint = p.Messages.Of(p.Hint)
		}
	}
	err := cofre.Fail(plan.Messages.Of(plan.Title), cofre.ErrPreflight, cofre.Fail(what))
	if hint.IsZero() {
		return err
	}
	return cofre.WithHint(err, hint)
}

func unproven(req Request, res *Result) error {
	c, p := req.Component, res.Proof
	if p == nil || len(p.Checks) == 0 {
		return cofre.Fail(restored(c), cofre.ErrUnproven, cofre.Fail(cofre.Say("restore.nothing_compared", "nothing was compared")))
	}
	var differ cofre.Message
	const shown = 5 // a broken restore may differ in every table
	n := 0
	for _, check := range p.Checks {
		if check.OK || check.Accepted != "" {
			continue
		}
		if n++; n <= shown {
			differ = cofre.List(differ, difference(check))
		}
	}
	if n > shown {
		differ = cofre.List(differ, cofre.SayN("restore.more_differ", n-shown, "and 1 more", "and {{.n}} more"))
	}
	return cofre.WithHint(
		cofre.Fail(restored(c), cofre.ErrUnproven, cofre.Fail(differ)),
		cofre.Say("restore.unproven", "{{.left}}; verify the point with: cofre verify --level content", "left", res.Plan.Promise.Unpublished()))
}

func restored(c cofre.Component) cofre.Message {
	return cofre.Say("restore.restored", "restored {{.source}}", "source", c.Label())
}

// Short cuts what is shown of a long value, such as the definition of a view.
func Short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const longest = 120 // bytes
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "…"
}

// Decision says what a person can do about a copy that was kept: take it as it is, by a command that again makes of
// the differences' names, or drop it.
func (r *Result) Decision(again func(accept []string) string) cofre.Message {
	var names []string
	for _, c := range r.Proof.Checks {
		if !c.OK && c.Accepted == "" && !slices.Contains(names, c.What) {
			names = append(names, c.What)
		}
	}
	return cofre.Say("restore.decision", "{{.left}}; the copy is kept as database {{.name}}\nto take it as it is: {{.accept}}\nto drop it, in psql: {{.drop}}",
		"left", r.Plan.Promise.Unpublished(), "name", r.Kept.Name, "accept", again(names), "drop", r.Kept.Drop)
}

// difference says what a check found. Some say what they want by what was captured, and what they got by a reason.
func difference(c cofre.Checked) cofre.Message {
	what, got := c.Messages.Of(c.What), shortened(c.Messages.Of(c.Got))
	if c.Want == "as captured" {
		return cofre.Say("restore.differs", "{{.what}}: {{.got}}", "what", what, "got", got)
	}
	return cofre.Say("restore.captured", "{{.what}}: captured {{.want}}, restored {{.got}}", "what", what, "want", shortened(c.Messages.Of(c.Want)), "got", got)
}

func shortened(m cofre.Message) cofre.Message {
	if m.Code != "" {
		return m
	}
	return cofre.Verbatim(Short(m.Text))
}
