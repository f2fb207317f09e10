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

func (r found) Verify(context.Context, []cofre.RecoveryPoint, cofre.Level, cofre.Observer) iter.Seq2[cofre.Finding, error] {
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
