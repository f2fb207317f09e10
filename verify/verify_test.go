package verify_test

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/verify"
)

// found is a repository whose verification finds what it is given.
type found struct {
	cofre.Repository
	findings []cofre.Finding
	err      error
}

func (r found) Verify(context.Context, []cofre.RecoveryPoint, cofre.Verification) iter.Seq2[cofre.Finding, error] {
	return func(yield func(cofre.Finding, error) bool) {
		for _, f := range r.findings {
			if !yield(f, nil) {
				return
			}
		}
		if r.err != nil {
			yield(cofre.Finding{}, r.err)
		}
	}
}

type closure struct {
	found []cofre.Finding
	err   error
}

func (closure) Name() string                     { return "closure" }
func (closure) Applies(cofre.RecoveryPoint) bool { return true }
func (c closure) Check(context.Context, cofre.RecoveryPoint, func(cofre.Component) (cofre.Tree, error)) ([]cofre.Finding, error) {
	return c.found, c.err
}

func TestTheLevelReachedIsNeverMoreThanWhatHeld(t *testing.T) {
	structure := cofre.Finding{Check: "structure", Object: "archive/toc.dat", What: "is missing"}
	content := cofre.Finding{Check: "content", Object: "blob p1", What: "does not match its hash"}
	for name, c := range map[string]struct {
		level    cofre.Level
		findings []cofre.Finding
		reached  cofre.Level
	}{
		"structure holds":           {cofre.LevelStructure, nil, cofre.LevelStructure},
		"structure does not":        {cofre.LevelStructure, []cofre.Finding{structure}, ""},
		"content holds":             {cofre.LevelContent, nil, cofre.LevelContent},
		"content does not":          {cofre.LevelContent, []cofre.Finding{content}, cofre.LevelStructure},
		"neither holds":             {cofre.LevelContent, []cofre.Finding{content, structure}, ""},
		"damage found on the way":   {cofre.LevelStructure, []cofre.Finding{content}, ""},
		"a word nobody taught this": {cofre.LevelContent, []cofre.Finding{{Check: "index"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := verify.Run(t.Context(), found{repositorytest.NewMemory(), c.findings, nil}, verify.Request{Level: c.level})
			if err != nil {
				t.Fatal(err)
			}
			if res.Reached != c.reached || res.Count() != len(c.findings) || res.EndedAt.IsZero() {
				t.Errorf("reached %q with %d findings, want %q", res.Reached, res.Count(), c.reached)
			}
		})
	}
}

func TestAVerificationThatCouldNotBeCarriedOutReachesNothing(t *testing.T) {
	res, err := verify.Run(t.Context(), found{repositorytest.NewMemory(), []cofre.Finding{{Check: "content"}}, cofre.ErrUnreachable}, verify.Request{Level: cofre.LevelContent})
	if !errors.Is(err, cofre.ErrUnreachable) || res.Reached != "" || res.Count() != 1 {
		t.Errorf("reached %q with %d findings, %v", res.Reached, res.Count(), err)
	}
}

func TestChecksBetweenComponentsAreNamedByPoint(t *testing.T) {
	miss := cofre.Finding{Check: "closure", Object: "avatars/1.png", What: "has no object"}
	req := verify.Request{Level: cofre.LevelStructure, Points: []cofre.RecoveryPoint{{ID: "a"}}, Checks: []cofre.PointCheck{closure{found: []cofre.Finding{miss}}}}
	res, err := verify.Run(t.Context(), found{repositorytest.NewMemory(), nil, nil}, req)
	if err != nil || res.Count() != 1 || res.Points[0].ID != "a" || !reflect.DeepEqual(res.Points[0].Findings[0], miss) {
		t.Errorf("%+v, %v", res, err)
	}
	// What is damaged already may make the check impossible: that is a finding, and the rest is still reported.
	req.Checks = []cofre.PointCheck{closure{err: cofre.ErrCorrupt}}
	res, err = verify.Run(t.Context(), found{repositorytest.NewMemory(), []cofre.Finding{{Check: "structure"}}, nil}, req)
	if err != nil || res.Count() != 2 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestParseLevel(t *testing.T) {
	for _, s := range []string{"structure", "content"} {
		if l, err := verify.ParseLevel(s); err != nil || string(l) != s {
			t.Errorf("%s: %q, %v", s, l, err)
		}
	}
	if _, err := verify.ParseLevel("drill"); err == nil {
		t.Error("a drill is no level that can be asked for here")
	}
}

// everything collects the events of a verification.
type everything []cofre.Event

func (all *everything) Observe(e cofre.Event) { *all = append(*all, e) }

func (all everything) facts() (found []cofre.Finding, points []cofre.PointID, ended cofre.VerificationEnded, run cofre.RunEnded) {
	for _, e := range all {
		switch f := e.Fact.(type) {
		case cofre.FindingMade:
			found, points = append(found, f.Finding), append(points, e.Point)
		case cofre.VerificationEnded:
			ended = f
		case cofre.RunEnded:
			run = f
		}
	}
	return found, points, ended, run
}

// TestWhoFollowsAVerificationSeesItsResult: every finding, with its point, and that a run which found something was no success.
func TestWhoFollowsAVerificationSeesItsResult(t *testing.T) {
	miss := cofre.Finding{Check: "closure", Object: "avatars/1.png", What: "has no object"}
	damage := cofre.Finding{Check: "content", Object: "blob p1", What: "does not match its hash"}
	for name, c := range map[string]struct {
		repo   found
		check  closure
		found  []cofre.Finding
		points []cofre.PointID
		ended  cofre.VerificationEnded
		code   error
	}{
		"nothing is wrong":       {found{}, closure{}, nil, nil, cofre.VerificationEnded{Asked: cofre.LevelContent, Reached: cofre.LevelContent, Points: 1, Verified: []cofre.PointID{"a"}}, nil},
		"of the repository":      {found{findings: []cofre.Finding{damage}}, closure{}, []cofre.Finding{damage}, []cofre.PointID{""}, cofre.VerificationEnded{Asked: cofre.LevelContent, Reached: cofre.LevelStructure, Points: 1, Findings: 1, Verified: []cofre.PointID{"a"}}, cofre.ErrFindings},
		"of a point":             {found{}, closure{found: []cofre.Finding{miss}}, []cofre.Finding{miss}, []cofre.PointID{"a"}, cofre.VerificationEnded{Asked: cofre.LevelContent, Reached: cofre.LevelContent, Points: 1, Findings: 1, Verified: []cofre.PointID{"a"}}, cofre.ErrFindings},
		"it was not carried out": {found{err: cofre.ErrUnreachable}, closure{}, nil, nil, cofre.VerificationEnded{Asked: cofre.LevelContent, Verified: []cofre.PointID{}}, cofre.ErrUnreachable},
	} {
		var all everything
		c.repo.Repository = repositorytest.NewMemory()
		req := verify.Request{Level: cofre.LevelContent, Points: []cofre.RecoveryPoint{{ID: "a"}}, Checks: []cofre.PointCheck{c.check}, Observer: &all}
		if _, err := verify.Run(t.Context(), c.repo, req); (err != nil) != (c.repo.err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		findings, points, ended, run := all.facts()
		if !reflect.DeepEqual(findings, c.found) || !reflect.DeepEqual(points, c.points) || !reflect.DeepEqual(ended, c.ended) || run.Code != cofre.CodeOf(c.code) {
			t.Errorf("%s: told %+v of %v, %+v, %+v", name, findings, points, ended, run)
		}
	}
}

// sparing is a check that does not concern every point.
type sparing struct{ closure }

func (sparing) Applies(p cofre.RecoveryPoint) bool { return p.ID == "b" }

func TestAPointIsAskedOnlyWhatConcernsIt(t *testing.T) {
	miss := cofre.Finding{Check: "closure", Object: "avatars/1.png"}
	req := verify.Request{Level: cofre.LevelStructure, Points: []cofre.RecoveryPoint{{ID: "a"}, {ID: "b"}}, Checks: []cofre.PointCheck{sparing{closure{found: []cofre.Finding{miss}}}}}
	res, err := verify.Run(t.Context(), found{repositorytest.NewMemory(), nil, nil}, req)
	if err != nil || len(res.Points[0].Checks) != 0 || len(res.Points[0].Findings) != 0 || len(res.Points[1].Checks) != 1 || len(res.Points[1].Findings) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	// A check that cannot be carried out is no finding if nothing was found that could be its cause.
	req.Checks = []cofre.PointCheck{sparing{closure{err: cofre.ErrCorrupt}}}
	if res, err := verify.Run(t.Context(), found{repositorytest.NewMemory(), nil, nil}, req); !errors.Is(err, cofre.ErrCorrupt) || res.Count() != 0 {
		t.Errorf("%+v, %v, want that the check failed", res, err)
	}
}
