package cofre

import (
	"context"
	"slices"
)

// Target is where a restore goes. The calls come in this order: Plan, Promise, Stage, Check, Publish; Discard takes
// the place of whatever is left after an error. How far what exists is safe until Publish, and what becomes of what
// is replaced, is the target's Promise; restore/targettest holds every target to its own.
type Target interface {
	// Plan looks at the component and at the place it is to go to, and touches nothing. What forbids the
	// restore is in Plan.Problems, all of it at once, not an error.
	//
	// Errors: that the component cannot be read (ErrCorrupt, those of t), or the place not be looked at (ErrUnreachable,
	// ErrDenied).
	Plan(ctx context.Context, c Component, t Tree) (*Plan, error)

	// Promise says what of the following this restore keeps. It is asked after Plan.
	Promise() Promise

	// Stage brings the bytes to where Promise.Staging says: a database under another name, an empty directory, the
	// buckets themselves.
	//
	// Errors: ErrDiskFull, ErrDenied, ErrUnreachable of the place; ErrCorrupt and those of the repository; ErrLocked while
	// another restore to the same place runs; the error of ctx.
	Stage(ctx context.Context, obs Observer) error

	// Check compares what is staged with what was captured. A Proof that does not hold is an error of the restore, not of Check.
	//
	// Errors: that what is staged, or the component, cannot be read.
	Check(ctx context.Context, obs Observer) (*Proof, error)

	// Publish gives what is staged its name, or takes what is staged into use. If the Promise says that what it replaces is
	// kept, Outcome says where.
	//
	// Errors: those of the place, as of Stage. A second time is one, and does nothing.
	Publish(ctx context.Context) (*Outcome, error)

	// Discard removes what Stage made, as far as the Promise says, and never anything else. After Publish, and a
	// second time, it does nothing.
	//
	// Errors: one that names what it cannot remove, with the command that does.
	Discard(ctx context.Context) error
}

// Keeper is a Target whose copy can be kept when the check has found differences, for a person to decide about.
type Keeper interface {
	// Keep takes the place of Discard: it leaves the copy under its own name, marked as what it is, so that a later
	// restore of the same component, asked to accept the differences, takes it as it is.
	//
	// Errors: that the copy could not be marked: it is then as it was.
	Keep(ctx context.Context, p *Proof) (KeptCopy, error)
}

// Recoverer is a Target that goes on once what was restored has its name: a cluster, whose server replays WAL until a moment.
type Recoverer interface {
	// Recover follows Publish, and completes its outcome.
	//
	// Errors: of the server, or of the WAL that it asks for. What was published stays after one: what it lacks is the recovery.
	Recover(ctx context.Context, obs Observer, done *Outcome) error
}

// KeptCopy is a restored copy that differs from what was captured.
type KeptCopy struct {
	Name string `json:"name"`
	Drop string `json:"drop"` // the command that removes it
}

// Plan is what a restore is about to do, printable before it runs.
type Plan struct {
	Title    string    `json:"title"`
	Point    PointID   `json:"point"`
	Steps    []Step    `json:"steps"`
	Bytes    int64     `json:"bytes"` // to be brought from the repository
	Problems []Problem `json:"problems,omitempty"`
	Promise  *Promise  `json:"promise,omitempty"` // of a restore; nil if the plan is of something else
	Notes    []string  `json:"notes,omitempty"`   // what the operator should know: what is kept, what stays off
	Messages Messages  `json:"messages,omitempty"`
}

// Step is one action of a plan: "create", "database trustlayer_restore_20261124", "from template0, owner app".
type Step struct {
	Verb   string `json:"verb"`
	Object string `json:"object"`
	Detail string `json:"detail,omitempty"`

	Messages Messages `json:"messages,omitempty"`
}

// Problem is something that forbids a restore, with what to do about it.
type Problem struct {
	What string `json:"what"`
	Hint string `json:"hint,omitempty"`

	Messages Messages `json:"messages,omitempty"`
}

// Proof is what a check compared.
type Proof struct {
	Checks []Checked `json:"checks"`
	// NotCompared names what of the component no check looked at, in words; nil if everything captured was compared.
	NotCompared []string `json:"not_compared,omitempty"`
	// Of is the part of the component that was restored and compared, in words; empty for all of it.
	Of string `json:"of,omitempty"`
	// Part says that a kind of thing was not compared at all, so that the copy may not be called equal as a whole.
	Part bool `json:"part,omitempty"`
	// Counted says that rows were counted and not compared: nothing of them may be called proven.
	Counted bool `json:"rows_counted,omitempty"`
	// Unkeyed says that rows were compared by sums without a key, as components of before have them.
	Unkeyed bool `json:"sums_without_key,omitempty"`

	Messages Messages `json:"messages,omitempty"` // of what was not compared, and of which part it is
}

// Holds reports whether at least one thing was compared and everything compared was equal, or differs in a way that
// was accepted.
func (p *Proof) Holds() bool {
	if p == nil || len(p.Checks) == 0 {
		return false
	}
	for _, c := range p.Checks {
		if !c.OK && c.Accepted == "" {
			return false
		}
	}
	return true
}

// Differing is the proof without what was equal or accepted: what stands in the way.
func (p *Proof) Differing() *Proof {
	differing := *p
	differing.Checks = slices.DeleteFunc(slices.Clone(p.Checks), func(c Checked) bool { return c.OK || c.Accepted != "" })
	return &differing
}

// Omits adds what was not compared.
func (p *Proof) Omits(what Message) {
	p.NotCompared = append(p.NotCompared, what.Text)
	p.Messages = p.Messages.with(what)
}

// Covers sets which part of what was captured the proof is about; the zero message is all of it.
func (p *Proof) Covers(part Message) {
	p.Of = part.Text
	p.Messages = p.Messages.with(part)
}

// Accepted are the comparisons that were not equal and do not stand in the way.
func (p *Proof) Accepted() []Checked {
	var accepted []Checked
	for _, c := range p.Checks {
		if !c.OK && c.Accepted != "" {
			accepted = append(accepted, c)
		}
	}
	return accepted
}

// Accept takes the differences of these names as they are, and leaves every other.
func (p *Proof) Accept(names []string) {
	for i := range p.Checks {
		if c := &p.Checks[i]; !c.OK && c.Accepted == "" && slices.Contains(names, c.What) {
			*c = c.Because(Say("accepted.by_name", "by name"))
		}
	}
}

// Checked is one comparison: "rows of public.answers", 200000, 200000.
type Checked struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
	// Accepted says why a difference does not stand in the way: a person took it as it is, by name, or no dump
	// brings back what is missing.
	Accepted string `json:"accepted,omitempty"`

	Messages Messages `json:"messages,omitempty"`
}

// Because is the comparison with the first of these reasons that says something, if it has none yet.
func (c Checked) Because(reasons ...Message) Checked {
	for _, why := range reasons {
		if c.Accepted == "" && !why.IsZero() {
			c.Accepted, c.Messages = why.Text, c.Messages.with(why)
		}
	}
	return c
}
