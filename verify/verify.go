// Package verify says how far recovery points can be trusted: it checks them at a level and reports which level
// they reached, when, and what is wrong by name.
//
// A level is never more than it says: structure is that everything referenced exists, content that every byte
// matches its hash. Neither is a restore. Read Run first.
package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/observe"
)

// repository is what a verification needs of one.
type repository interface {
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
	Verify(ctx context.Context, points []cofre.RecoveryPoint, how cofre.Verification) iter.Seq2[cofre.Finding, error]
}

// Request says what to verify and how deep.
type Request struct {
	Points   []cofre.RecoveryPoint
	Level    cofre.Level // LevelStructure or LevelContent
	Checks   []cofre.PointCheck
	Observer cofre.Observer // nil observes nothing
	Proven   cofre.Proven   // what was read back before; nil remembers nothing: everything is read
	// Beside looks at archived WAL, which no point refers to, in each repository. Nil looks at none.
	Beside func(context.Context) []WAL
	// Recorded compares what the catalog has with what is on record of it. What it finds is of no level: the bytes are what they are. Nil
	// compares nothing.
	Recorded func(context.Context) ([]cofre.Finding, error)
	// Needs says what a restore of a point needs that it does not have by itself. Nil says nothing.
	Needs func(cofre.RecoveryPoint) []cofre.Finding
	// Name gives what was found the names that people know. Nil leaves them.
	Name func([]cofre.Finding)
}

// Result is what a verification established.
type Result struct {
	Asked cofre.Level `json:"level_asked"`
	// Reached is the deepest level at which nothing was found; empty if structure itself has findings.
	Reached   cofre.Level   `json:"level_reached"`
	StartedAt time.Time     `json:"started_at"`
	EndedAt   time.Time     `json:"ended_at"`
	Points    []PointResult `json:"points"`
	// Findings are of the repository as a whole: content is shared between points. Those of WAL are of all repositories.
	Findings []cofre.Finding `json:"findings"`
	// WAL is what was established of the archived WAL of each repository, in the order of the configuration.
	WAL []WAL `json:"wal,omitempty"`
}

// WAL is what was established of the archived WAL of one repository.
type WAL struct {
	URL      string      `json:"url"`
	Segments int         `json:"segments"` // whole ones that it holds, damaged ones too
	Reached  cofre.Level `json:"level_reached"`
	// Findings are also among those of the result.
	Findings []cofre.Finding `json:"-"`
	// Err is why not all of it was looked at: Reached is then empty.
	Err   error  `json:"-"`
	Error string `json:"error,omitempty"`
}

// PointResult is what the checks between the components of one point said.
type PointResult struct {
	ID       cofre.PointID   `json:"id"`
	Checks   []string        `json:"checks,omitempty"` // that applied
	Findings []cofre.Finding `json:"findings,omitempty"`
	// Known is what the captures themselves could not take, as the point was published with: nothing that a
	// verification could find out, and nothing that it may be silent about.
	Known []cofre.Finding `json:"known,omitempty"`
	// Needs is what a restore needs that it does not have by itself: what is stored is whole.
	Needs []cofre.Finding `json:"needs,omitempty"`
}

// Count returns the number of findings.
func (r *Result) Count() int {
	n := len(r.Findings)
	for _, p := range r.Points {
		n += len(p.Findings)
	}
	return n
}

// ParseLevel reads a level as a person types it.
//
// Errors: one that names the levels that can be asked for.
func ParseLevel(s string) (cofre.Level, error) {
	switch l := cofre.Level(s); l {
	case cofre.LevelStructure, cofre.LevelContent:
		return l, nil
	}
	return "", cofre.WithHint(cofre.Fail(cofre.Say("verify.unknown_level", "unknown level \"{{.level}}\"", "level", s)), cofre.Say("verify.levels", "use structure (everything referenced exists) or content (every byte is read back and compared)"))
}

// Run verifies points at a level. Findings are no error of Run: the result holds them.
//
// Errors: those of the repository, if the verification could not be carried out; the result then holds what
// was found before. If the WAL of a repository could not be looked at, it holds everything else.
func Run(ctx context.Context, repo repository, req Request) (*Result, error) {
	run := observe.Begin(req.Observer, cofre.RunVerify, observe.About{})
	req.Observer = run
	res := &Result{Asked: req.Level, StartedAt: time.Now().UTC()}
	err := stored(ctx, repo, req, res)
	if err == nil {
		res.Reached = reached(req.Level, res.Findings)
		err = between(ctx, repo, req, res)
	}
	if err == nil && req.Beside != nil {
		err = res.add(req.Beside(ctx))
	}
	if req.Recorded != nil && ctx.Err() == nil {
		found, recordedErr := req.Recorded(ctx)
		res.Findings, err = append(res.Findings, found...), errors.Join(err, recordedErr)
	}
	if req.Name != nil {
		req.Name(res.Findings)
	}
	res.EndedAt = time.Now().UTC()
	tell(run, res)
	run.End(ctx, ending(res, err))
	return res, err
}

// ending is how a verification ended for those who follow events: that something was found is no error of Run, and no
// success either.
func ending(res *Result, err error) error {
	if n := res.Count(); err == nil && n > 0 {
		return fmt.Errorf("%w: %d", cofre.ErrFindings, n)
	}
	return err
}

// tell makes facts of what was found.
func tell(run *observe.Run, res *Result) {
	for _, f := range res.Findings {
		cofre.Tell(run, cofre.FindingMade{Finding: f})
	}
	for _, p := range res.Points {
		for _, f := range p.Findings {
			run.Observe(cofre.Event{Type: cofre.FindingMade{}.EventType(), Point: p.ID, Fact: cofre.FindingMade{Finding: f}})
		}
	}
	looked := make([]cofre.PointID, len(res.Points))
	for i, p := range res.Points {
		looked[i] = p.ID
	}
	cofre.Tell(run, cofre.VerificationEnded{Asked: res.Asked, Reached: res.Reached, Points: len(res.Points), Findings: res.Count(), Verified: looked})
}

// add adds what was found of WAL, and takes back the level that it denies. It returns why not all of it was looked at.
func (r *Result) add(all []WAL) error {
	var errs []error
	for i := range all {
		w := &all[i]
		if w.Reached = reached(r.Asked, w.Findings); w.Err != nil {
			w.Reached, w.Error = "", cofre.OneLine(w.Err)
			errs = append(errs, w.Err)
		}
		r.Findings = append(r.Findings, w.Findings...)
	}
	r.WAL, r.Reached = all, reached(r.Asked, r.Findings)
	return errors.Join(errs...)
}

func stored(ctx context.Context, repo repository, req Request, res *Result) error {
	for f, err := range repo.Verify(ctx, req.Points, cofre.Verification{Level: req.Level, Proven: req.Proven, Observer: req.Observer}) {
		if err != nil {
			return fmt.Errorf("verify %s: %w", req.Level, err)
		}
		res.Findings = append(res.Findings, f)
	}
	return nil
}

// between carries out the checks that need several components. A component that cannot be opened has been found
// by stored already, and its check is left out rather than failed twice.
func between(ctx context.Context, repo repository, req Request, res *Result) error {
	for _, p := range req.Points {
		pr := PointResult{ID: p.ID, Known: known(p)}
		if req.Needs != nil {
			pr.Needs = req.Needs(p)
		}
		for _, check := range req.Checks {
			if !check.Applies(p) {
				continue
			}
			found, err := check.Check(ctx, p, func(c cofre.Component) (cofre.Tree, error) { return repo.Tree(ctx, c.Root) })
			if err != nil {
				if len(res.Findings) > 0 && ctx.Err() == nil {
					found = []cofre.Finding{cofre.Finding{Check: check.Name()}.Saying(cofre.Say("check.not_carried_out", "not carried out: {{.cause}}", "cause", err))}
				} else {
					return fmt.Errorf("check %s of point %s: %w", check.Name(), p.ID, err)
				}
			}
			pr.Checks = append(pr.Checks, check.Name())
			pr.Findings = append(pr.Findings, found...)
		}
		res.Points = append(res.Points, pr)
	}
	return nil
}

// known leaves out what a check carries out again.
func known(p cofre.RecoveryPoint) []cofre.Finding {
	var found []cofre.Finding
	for _, f := range p.Findings {
		if f.Check == cofre.CheckSource || f.Check == cofre.CheckCapture {
			found = append(found, f)
		}
	}
	return found
}

// reached knows only two levels apart: a finding of the structure denies both, one of the content only content.
func reached(asked cofre.Level, findings []cofre.Finding) cofre.Level {
	if len(findings) == 0 {
		return asked
	}
	for _, f := range findings {
		if f.Check != string(cofre.LevelContent) {
			return ""
		}
	}
	if asked == cofre.LevelContent {
		return cofre.LevelStructure
	}
	return ""
}
