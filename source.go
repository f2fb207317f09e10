package cofre

import (
	"context"
	"encoding/json"
)

// Source is something configured to be captured.
type Source interface {
	ID() SourceID

	// Capture reads the source once, whole, into c.Session. It does not finish the session: its caller does.
	// It must leave nothing behind on the source: no slot, no running backup, no open transaction, no child
	// process. Whatever the configuration names and the component does not hold is in Captured.Findings, by name.
	//
	// Errors: ErrUnreachable, ErrDenied and others of the source; those of the session. An error means that no component of it
	// may be published; the other sources of the run are captured all the same.
	Capture(ctx context.Context, c *Capture) (Captured, error)
}

// Preparer is an optional power of a Source: work done before the other sources are captured. The storage
// source copies the objects that exist before the database is dumped, so that what an object is overwritten
// with in between cannot be lost to the point. It may leave work going, which ends when Capture begins or when ctx,
// that of the whole run, ends.
type Preparer interface {
	// Errors: those of Capture. One that is not of the session spoils nothing: Capture does the work when its turn comes.
	Prepare(ctx context.Context, c *Capture) error
}

// PartialBase is an optional power of a Source: it may be given a Previous that is Partial, because it looks again at
// all that a partial component lacks. Others are given the newest that is whole.
type PartialBase interface {
	TakesPartialBase() bool
}

// Checker is an optional power of a Source: it says what stands between the source and a backup or a promise.
// doctor prints what it returns; an empty list means that a capture should work.
type Checker interface {
	// Errors: that looking could not go on: the connection is lost, or ctx has ended. What is found is a Diagnosis.
	Doctor(ctx context.Context) ([]Diagnosis, error)
}

// Diagnosis is one thing that doctor looked at.
type Diagnosis struct {
	Subject string `json:"subject"` // what was looked at: "pg_dump", "role backup", "repository"
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"`         // what was found
	Hint    string `json:"hint,omitempty"` // the command, SQL or line that changes it

	Messages Messages `json:"messages,omitempty"`
}

// Capture is what a source is given to work with.
type Capture struct {
	Session  Session
	Observer Observer
	Jobs     int // how many things to read at once; at least 1

	// Previous is the newest published component of the same source that may be built upon, nil for the first.
	// PreviousTree reads it.
	Previous     *Component
	PreviousTree Tree

	// Companions are the components captured earlier in the same run, readable though not yet published.
	Companions []Companion
}

// Companion is a component with the tree that reads it.
type Companion struct {
	Component Component
	Tree      Tree
}

// Captured is what a source has to say about what it captured.
type Captured struct {
	Facts    json.RawMessage
	Warnings []string
	// Findings name what the configuration asks for and the component does not hold, or does not hold as it should.
	// Check and Kind need not be set. A point with findings is never called complete.
	Findings []Finding
	// Partial is set if something is missing: see Component.
	Partial bool

	Messages Messages // of the warnings
}

// PointCheck looks at components that belong together, before they are published and whenever they are
// verified. The closure check, that each captured row of storage.objects has its object, is one.
type PointCheck interface {
	Name() string
	// Applies reports whether p has what the check needs.
	Applies(p RecoveryPoint) bool
	// Errors: those of open and of reading the trees. What does not belong together is a finding.
	Check(ctx context.Context, p RecoveryPoint, open func(Component) (Tree, error)) ([]Finding, error)
}
