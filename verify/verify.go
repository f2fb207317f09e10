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
	"github.com/trustlayer/cofre/coverage"
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
	// Ledger is what was read back before, and All every point that there is, for what it says at the end. Nil remembers nothing: everything
	// is read.
	Ledger *coverage.Ledger
	All    []cofre.RecoveryPoint
	// Beside looks at archived WAL, which no point refers to, in each repository. Nil looks at none.
	Beside func(context.Context) []WAL
	// Recorded compares what the catalog has with what is on record of it. What it finds is of no level: the bytes are what they are. Nil
	// compares nothing.
	Recorded func(context.Context) (Record, error)
	// Needs says what a restore of a point needs that it does not have by itself. Nil says nothing.
	Needs func(cofre.RecoveryPoint) []cofre.Finding
	// News are the components of which the record does not say what is proven of them now. Nil takes all that are proven.
	News func([]cofre.ComponentProof) []cofre.ComponentProof
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
	// Journal is nil if there is none, and if it was not asked.
	Journal  *Record  `json:"journal,omitempty"`
	Coverage *Covered `json:"coverage,omitempty"`
}

// Record is what was established of the journal.
type Record struct {
	Entries  int64           `json:"entries"`
	Findings []cofre.Finding `json:"-"` // also among those of the result
}

// Covered says how much of what is stored was read back within the window, by this verification or before.
type Covered struct {
	cofre.Coverage
	Bytes  int64   `json:"bytes"`
	Proven int64   `json:"proven_bytes"`
	Share  float64 `json:"share"`
	Read   int64   `json:"read_bytes"` // by this verification
	// Deepest is the deepest level that all of it has reached: the points that were asked for, the WAL of every repository, and the journal.
	Deepest cofre.Level `json:"deepest_level"`
	// Unsaved is why the next verification reads some of it again.
	Unsaved error `json:"-"`
	objects []string
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
		rec, recordedErr := req.Recorded(ctx)
		if rec.Entries > 0 {
			res.Journal = &rec
		}
		res.Findings, err = append(res.Findings, rec.Findings...), errors.Join(err, recordedErr)
	}
	err = errors.Join(err, res.cover(ctx, req, err))
	if req.Name != nil {
		req.Name(res.Findings)
	}
	res.EndedAt = time.Now().UTC()
	tell(run, res, req)
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
func tell(run *observe.Run, res *Result, req Request) {
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
	ended := cofre.VerificationEnded{Asked: res.Asked, Reached: res.Reached, Points: len(res.Points), Findings: res.Count(), Verified: looked}
	if c := res.Coverage; c != nil {
		ended.Coverage = &cofre.CoverageFacts{Window: c.Window, Bytes: c.Bytes, Proven: c.Proven, Read: c.Read, Deepest: c.Deepest, Objects: c.objects}
		if ended.Components = c.Components; req.News != nil {
			ended.Components = req.News(c.Components)
		}
	}
	cofre.Tell(run, ended)
}

// proven is nil without a ledger.
func proven(l *coverage.Ledger) cofre.Proven {
	if l == nil {
		return nil
	}
	return l
}

// saveBound is how long it may take to store what was proven.
const saveBound = time.Minute

// cover stores what was proven, also by a verification that was interrupted, and says how much of all it is.
//
// Errors: those of the store.
func (r *Result) cover(ctx context.Context, req Request, failed error) error {
	if req.Ledger == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveBound)
	defer cancel()
	if r.Points == nil && failed != nil {
		_ = req.Ledger.Save(ctx) // the next one reads again what cannot be stored
		return nil
	}
	e, err := req.Ledger.Finish(ctx, req.All)
	if err != nil {
		return fmt.Errorf("say what was read back: %w", err)
	}
	c := &Covered{Coverage: e.Coverage, Read: e.Read, Unsaved: e.Unsaved, objects: e.Objects}
	c.Proven, c.Bytes = e.Coverage.Proven(e.At)
	c.Share = e.Share(e.At)
	if failed == nil {
		c.Deepest = reached(cofre.LevelContent, r.Findings)
	}
	if c.Deepest == cofre.LevelContent && c.Proven < c.Bytes {
		c.Deepest = cofre.LevelStructure
	}
	r.Coverage = c
	return nil
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
	for f, err := range repo.Verify(ctx, req.Points, cofre.Verification{Level: req.Level, Proven: proven(req.Ledger), Observer: req.Observer}) {
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
