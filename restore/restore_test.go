package restore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/restore"
)

// target writes down the calls it gets, and answers each as it is told.
type target struct {
	calls    []string
	problems []cofre.Problem
	proof    *cofre.Proof
	left     []cofre.Checked
	promise  cofre.Promise
	fail     map[string]error
	onStage  func()
	discard  func(context.Context) error
}

var equal = &cofre.Proof{Checks: []cofre.Checked{{What: "rows", Want: "2", Got: "2", OK: true}}}

func (t *target) Plan(context.Context, cofre.Component, cofre.Tree) (*cofre.Plan, error) {
	t.calls = append(t.calls, "plan")
	return &cofre.Plan{Title: "restore app", Problems: t.problems}, t.fail["plan"]
}

func (t *target) Promise() cofre.Promise { return t.promise }

func (t *target) Stage(context.Context, cofre.Observer) error {
	t.calls = append(t.calls, "stage")
	if t.onStage != nil {
		t.onStage()
	}
	return t.fail["stage"]
}

func (t *target) Check(context.Context, cofre.Observer) (*cofre.Proof, error) {
	t.calls = append(t.calls, "check")
	return t.proof, t.fail["check"]
}

func (t *target) Publish(context.Context) (*cofre.Outcome, error) {
	t.calls = append(t.calls, "publish")
	return &cofre.Outcome{Restored: "app", Left: t.left}, t.fail["publish"]
}

func (t *target) Discard(ctx context.Context) error {
	t.calls = append(t.calls, "discard")
	if t.discard != nil {
		return t.discard(ctx)
	}
	return t.fail["discard"]
}

func stored(t *testing.T) (cofre.Repository, cofre.Component) {
	t.Helper()
	repo := repositorytest.NewMemory()
	s, err := repo.Begin(t.Context(), cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), cofre.Entry{Path: "f", Size: -1}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	content, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return repo, cofre.Component{Kind: cofre.KindDatabase, Name: "app", Content: content}
}

func TestEveryWayThrough(t *testing.T) {
	boom := errors.New("boom")
	unequal := &cofre.Proof{Checks: []cofre.Checked{{What: "rows of public.answers", Want: "200000", Got: "199999"}}}
	for name, c := range map[string]struct {
		target  target
		confirm error
		calls   []string
		err     error
		says    string
	}{
		"proven":              {target: target{proof: equal}, calls: []string{"plan", "stage", "check", "publish"}},
		"problems":            {target: target{problems: []cofre.Problem{{What: "role app is missing", Hint: "add --roles"}}}, calls: []string{"plan"}, err: cofre.ErrPreflight, says: "role app is missing"},
		"not all of it":       {target: target{proof: equal, left: []cofre.Checked{{What: "object a/b", Want: "as captured", Got: "other bytes"}}}, calls: []string{"plan", "stage", "check", "publish"}, err: cofre.ErrPartial, says: "object a/b: other bytes"},
		"not confirmed":       {target: target{proof: equal}, confirm: cofre.ErrRefused, calls: []string{"plan"}, err: cofre.ErrRefused},
		"different":           {target: target{proof: unequal}, calls: []string{"plan", "stage", "check", "discard"}, err: cofre.ErrUnproven, says: "rows of public.answers: captured 200000, restored 199999"},
		"nothing compared":    {target: target{proof: &cofre.Proof{}}, calls: []string{"plan", "stage", "check", "discard"}, err: cofre.ErrUnproven},
		"stage fails":         {target: target{fail: map[string]error{"stage": boom}}, calls: []string{"plan", "stage", "discard"}, err: boom},
		"check fails":         {target: target{proof: equal, fail: map[string]error{"check": boom}}, calls: []string{"plan", "stage", "check", "discard"}, err: boom},
		"publish fails":       {target: target{proof: equal, fail: map[string]error{"publish": boom}}, calls: []string{"plan", "stage", "check", "publish", "discard"}, err: boom},
		"something is left":   {target: target{fail: map[string]error{"stage": boom, "discard": errors.New("drop it with: dropdb app_restore")}}, calls: []string{"plan", "stage", "discard"}, err: boom, says: "left behind: drop it with: dropdb app_restore"},
		"the target is blind": {target: target{fail: map[string]error{"plan": boom}}, calls: []string{"plan"}, err: boom},
	} {
		t.Run(name, func(t *testing.T) {
			repo, comp := stored(t)
			shown := false
			res, err := restore.Run(t.Context(), repo, restore.Request{Point: "p", Component: comp, Target: &c.target, Confirm: func(p *cofre.Plan) error {
				shown = true
				if p.Point != "p" {
					t.Errorf("the plan is of point %q", p.Point)
				}
				return c.confirm
			}})
			if !errors.Is(err, c.err) {
				t.Errorf("returned %v, want %v", err, c.err)
			}
			if c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("said %q, want %q in it", err, c.says)
			}
			if errors.Is(err, cofre.ErrPartial) && res.Outcome == nil {
				t.Error("incomplete, and no outcome says what is there")
			}
			if !slices.Equal(c.target.calls, c.calls) {
				t.Errorf("called %q, want %q", c.target.calls, c.calls)
			}
			if c.target.fail["plan"] == nil && !shown {
				t.Error("the plan was not shown")
			}
		})
	}
}

func TestAnInterruptionStillDiscards(t *testing.T) {
	repo, comp := stored(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	var at error
	tg := &target{proof: equal, onStage: func() { cancel(why) }, discard: func(ctx context.Context) error { at = ctx.Err(); return nil }}
	if _, err := restore.Run(ctx, repo, restore.Request{Component: comp, Target: tg}); !errors.Is(err, why) {
		t.Errorf("returned %v", err)
	}
	if want := []string{"plan", "stage", "check", "discard"}; !slices.Equal(tg.calls, want) {
		t.Errorf("called %q, want %q", tg.calls, want)
	}
	if at != nil {
		t.Errorf("discarded under an ended context: %v", at)
	}
}

func TestWhatATargetPromisesIsToldInPlanEventsAndHints(t *testing.T) {
	differs := &cofre.Proof{Checks: []cofre.Checked{{What: "rows", Want: "2", Got: "1"}}}
	kept := cofre.Say("restore.database.kept", "database {{.name}} renamed to {{.kept}}", "name", "app", "kept", "app_old")
	for name, c := range map[string]struct {
		promise cofre.Promise
		notes   []string
		hint    string // of a copy that differs
	}{
		"apart": {
			cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, KeptAt: kept, Undoable: true},
			[]string{"nothing that exists is touched before the copy is proven", "what is replaced is kept: database app renamed to app_old"},
			"nothing was replaced; verify",
		},
		"among what lives": {
			cofre.Promise{Staging: cofre.StagedAmong, Replaced: cofre.ReplacesNothing},
			[]string{"what is missing is brought to where it is used, and stays there also if the restore does not end; nothing that exists is replaced before it is proven", "nothing is replaced", "this cannot be undone as a whole, only piece by piece"},
			"nothing was replaced; what was missing and was brought stays; verify",
		},
		"in place": {
			cofre.Promise{Staging: cofre.StagedInPlace, Replaced: cofre.ReplacedLost},
			[]string{"what is there is overwritten from the beginning: if the restore does not end, it is neither what it was nor what was captured", "what is replaced is not kept"},
			"what was there is overwritten in part: restore it again; verify",
		},
	} {
		t.Run(name, func(t *testing.T) {
			repo, comp := stored(t)
			var facts []cofre.Fact
			watch := cofre.ObserverFunc(func(e cofre.Event) { facts = append(facts, e.Fact) })
			res, err := restore.Run(t.Context(), repo, restore.Request{Component: comp, Target: &target{proof: equal, promise: c.promise}, Observer: watch})
			if err != nil || !slices.Equal(res.Plan.Notes, c.notes) {
				t.Errorf("%v; the plan says %q, want %q", err, res.Plan.Notes, c.notes)
			}
			if res.Plan.Promise == nil || res.Plan.Promise.Staging != c.promise.Staging || res.Plan.Messages.Of(c.notes[0]).Code == "" {
				t.Errorf("the plan promises %+v, with %+v", res.Plan.Promise, res.Plan.Messages)
			}
			var staged, published bool
			for _, f := range facts {
				switch f := f.(type) {
				case cofre.RestoreStaged:
					staged = f.Staging == c.promise.Staging
				case cofre.RestorePublished:
					published = f.Promise.Replaced == c.promise.Replaced
				}
			}
			if !staged || !published {
				t.Errorf("events: staged %v, published %v", staged, published)
			}
			_, err = restore.Run(t.Context(), repo, restore.Request{Component: comp, Target: &target{proof: differs, promise: c.promise}})
			if !strings.HasPrefix(cofre.Hint(err), c.hint) {
				t.Errorf("hint %q, want %q", cofre.Hint(err), c.hint)
			}
			refused := &target{problems: []cofre.Problem{{What: "no"}}, promise: c.promise}
			if plan, err := restore.Plan(t.Context(), repo, restore.Request{Component: comp, Target: refused}); !errors.Is(err, cofre.ErrPreflight) || len(plan.Notes) > 0 {
				t.Errorf("a refused plan: %v, notes %q", err, plan.Notes)
			}
		})
	}
}

// recovering is a target that goes on after Publish.
type recovering struct{ target }

func (t *recovering) Recover(_ context.Context, _ cofre.Observer, done *cofre.Outcome) error {
	t.calls = append(t.calls, "recover")
	done.Next = []cofre.Next{{Do: cofre.DoStart, Command: "started"}}
	return t.fail["recover"]
}

func TestWhatIsRecoveredStaysPublished(t *testing.T) {
	repo, c := stored(t)
	boom := errors.New("boom")
	for _, tt := range []struct {
		fail map[string]error
		want []string
		err  error
	}{
		{nil, []string{"plan", "stage", "check", "publish", "recover"}, nil},
		{map[string]error{"recover": boom}, []string{"plan", "stage", "check", "publish", "recover"}, boom},
		{map[string]error{"publish": boom}, []string{"plan", "stage", "check", "publish", "discard"}, boom},
	} {
		to := &recovering{target{proof: equal, fail: tt.fail}}
		res, err := restore.Run(t.Context(), repo, restore.Request{Component: c, Target: to})
		if !errors.Is(err, tt.err) || !slices.Equal(to.calls, tt.want) {
			t.Errorf("%v, %q", err, to.calls)
		}
		if tt.fail["publish"] == nil && res.Outcome.Next[0].Command != "started" {
			t.Errorf("outcome %+v", res.Outcome)
		}
	}
}

func TestWhatIsNotApprovedIsDiscarded(t *testing.T) {
	repo, c := stored(t)
	boom := errors.New("boom")
	for _, tt := range []struct {
		publish bool
		err     error
		want    string
	}{{true, nil, "publish"}, {false, nil, "discard"}, {false, boom, "discard"}} {
		to := &target{proof: equal}
		_, err := restore.Run(t.Context(), repo, restore.Request{Component: c, Target: to, Approve: func() (bool, error) { return tt.publish, tt.err }})
		if !errors.Is(err, tt.err) || to.calls[len(to.calls)-1] != tt.want || len(to.calls) != 4 {
			t.Errorf("%v, %q", err, to.calls)
		}
	}
}
