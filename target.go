package cofre

import "context"

// Target is where a restore goes. The calls come in this order: Plan, Stage, Check, Publish; Discard takes
// the place of whatever is left after an error. Before Publish nothing that exists has been touched.
type Target interface {
	// Plan looks at the component and at the place it shall go to, and touches nothing. What forbids the
	// restore is in Plan.Problems, all of it at once, not an error.
	Plan(ctx context.Context, c Component, t Tree) (*Plan, error)

	// Stage brings the bytes to a new place: a database under another name, an empty directory.
	Stage(ctx context.Context, obs Observer) error

	// Check compares what is staged with what was captured. A Proof that does not hold is an error of the restore.
	Check(ctx context.Context, obs Observer) (*Proof, error)

	// Publish gives what is staged its name, by one rename. What it replaces is kept; Outcome says where.
	Publish(ctx context.Context) (*Outcome, error)

	// Discard removes what Stage made, as far as it can, and never anything else. What it cannot remove it
	// names in its error, with the command that does.
	Discard(ctx context.Context) error
}

// Plan is what a restore is about to do, printable before it runs.
type Plan struct {
	Title    string    `json:"title"`
	Point    PointID   `json:"point"`
	Steps    []Step    `json:"steps"`
	Bytes    int64     `json:"bytes"` // to be brought from the repository
	Problems []Problem `json:"problems,omitempty"`
	Notes    []string  `json:"notes,omitempty"` // what the operator should know: what is kept, what stays off
}

// Step is one action of a plan: "create", "database trustlayer_restore_20261124", "from template0, owner app".
type Step struct {
	Verb   string `json:"verb"`
	Object string `json:"object"`
	Detail string `json:"detail,omitempty"`
}

// Problem is something that forbids a restore, with what to do about it.
type Problem struct {
	What string `json:"what"`
	Hint string `json:"hint,omitempty"`
}

// Proof is what a check compared.
type Proof struct {
	Checks []Checked `json:"checks"`
}

// Holds reports whether at least one thing was compared and everything compared was equal.
func (p *Proof) Holds() bool {
	if p == nil || len(p.Checks) == 0 {
		return false
	}
	for _, c := range p.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// Checked is one comparison: "rows of public.answers", 200000, 200000.
type Checked struct {
	What string `json:"what"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// Outcome is what a restore left.
type Outcome struct {
	Restored string   `json:"restored"`       // the name or path under which it is now
	Kept     []string `json:"kept,omitempty"` // what it replaced, and where that is now
	Next     []string `json:"next,omitempty"` // commands the operator will want: drop the old one, start the application
}
