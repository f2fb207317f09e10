// Package targettest holds a cofre.Target to its contract, and to its own Promise.
//
// It knows nothing of databases or buckets: a test gives it a place, and a function that writes down everything that is there, by name. What
// changed between two such lists is compared with what the target promised. Read Run first.
package targettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustlayer/cofre"
)

// Place is where targets restore to, and what there is around it.
type Place struct {
	// New makes a target that nothing was done with: the same each time, for a second run, or one beside the first.
	New       func() cofre.Target
	Component cofre.Component
	Tree      cofre.Tree
	// State is everything that a restore could touch, add or leave, by name, with a value that is of the whole content: what is renamed has
	// the same value under another name. It leaves out what changes by itself.
	State func(t *testing.T) map[string]string
	// Promise is what the target is to promise here; KeptAt is not compared.
	Promise cofre.Promise
	// Undo does what a person would who wants back what was there. It is called if the promise says that this can be done.
	Undo func(t *testing.T, done *cofre.Outcome)
}

// Run checks that a target keeps its contract and its promise. open makes a new place, the same each time; it removes what it made when t
// ends. A place whose promise is that what is replaced is kept, or lost, holds something that is replaced.
func Run(t *testing.T, open func(t *testing.T) Place) {
	for name, check := range map[string]func(*testing.T, *room){
		"it promises what it is said to":            promises,
		"nothing is touched before it is promised":  untouched,
		"what is replaced is as promised":           replaced,
		"what is published stays":                   published,
		"discarding before staging does nothing":    discardedEarly,
		"an ended context starts nothing":           ended,
		"staging that is interrupted is taken back": interrupted,
		"an ended context publishes nothing":        unpublished,
		"a repository that goes away leaves all":    withoutRepository,
		"what is said to be undoable is":            undone,
		"it can be run again":                       again,
		"two at once harm neither":                  twoAtOnce,
		"one that another has overtaken harms none": overtaken,
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			check(t, &room{Place: p, Target: p.New(), before: p.State(t)})
		})
	}
}

// room is a place, and how it was.
type room struct {
	Place
	Target cofre.Target
	before map[string]string
}

func (r *room) plan(t *testing.T) *cofre.Plan {
	t.Helper()
	plan, err := r.Target.Plan(t.Context(), r.Component, r.Tree)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	if len(plan.Problems) > 0 {
		t.Fatalf("problems: %+v", plan.Problems)
	}
	return plan
}

func (r *room) stage(t *testing.T) {
	t.Helper()
	r.plan(t)
	r.bring(t)
}

// bring stages and checks what was planned.
func (r *room) bring(t *testing.T) {
	t.Helper()
	if err := r.Target.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatalf("stage: %v", err)
	}
	proof, err := r.Target.Check(t.Context(), cofre.Discard)
	if err != nil || !proof.Holds() {
		t.Fatalf("check: %v, %+v", err, proof)
	}
}

func (r *room) publish(t *testing.T) *cofre.Outcome {
	t.Helper()
	r.stage(t)
	outcome, err := r.Target.Publish(t.Context())
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return outcome
}

// changed are the names that are gone or have another value.
func changed(before, now map[string]string) (names []string) {
	for name, v := range before {
		if is, ok := now[name]; !ok || is != v {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// added are the names that were not there.
func added(before, now map[string]string) (names []string) {
	for name := range now {
		if _, was := before[name]; !was {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// discard takes the place of Publish, and checks what it leaves.
func (r *room) discard(t *testing.T) {
	t.Helper()
	err := r.Target.Discard(t.Context())
	now := r.State(t)
	switch r.Target.Promise().Staging {
	case cofre.StagedInPlace:
		if err == nil && len(changed(r.before, now)) > 0 {
			t.Errorf("what is there is no more what it was, and Discard does not say so: %q", changed(r.before, now))
		}
		return
	case cofre.StagedApart:
		if names := added(r.before, now); len(names) > 0 {
			t.Errorf("left after Discard: %q", names)
		}
	}
	if err != nil {
		t.Errorf("discard: %v", err)
	}
	if names := changed(r.before, now); len(names) > 0 {
		t.Errorf("not what it was after Discard: %q", names)
	}
	if err := r.Target.Discard(t.Context()); err != nil {
		t.Errorf("discard a second time: %v", err)
	}
}

func promises(t *testing.T, r *room) {
	r.plan(t)
	got, want := r.Target.Promise(), r.Promise
	if (got.Replaced == cofre.ReplacedKept) == got.KeptAt.IsZero() {
		t.Errorf("%s, at %q", got.Replaced, got.KeptAt)
	}
	if got.Staging != want.Staging || got.Replaced != want.Replaced || got.Undoable != want.Undoable {
		t.Errorf("promises %+v, want %+v", got, want)
	}
}

func untouched(t *testing.T, r *room) {
	r.plan(t)
	if now := r.State(t); !maps.Equal(r.before, now) {
		t.Errorf("Plan changed %q and added %q", changed(r.before, now), added(r.before, now))
	}
	r.bring(t)
	if names := changed(r.before, r.State(t)); len(names) > 0 && r.Target.Promise().Staging != cofre.StagedInPlace {
		t.Errorf("touched before Publish: %q", names)
	}
	r.discard(t)
}

func replaced(t *testing.T, r *room) {
	outcome := r.publish(t)
	now := r.State(t)
	gone := changed(r.before, now)
	switch r.Target.Promise().Replaced {
	case cofre.ReplacesNothing:
		if len(gone) > 0 || len(outcome.Kept) > 0 {
			t.Errorf("replaced %q, kept %q", gone, outcome.Kept)
		}
	case cofre.ReplacedLost:
		if len(gone) == 0 {
			t.Error("nothing was replaced: the place does not try the promise")
		}
	case cofre.ReplacedKept:
		if len(gone) == 0 || len(outcome.Kept) == 0 {
			t.Errorf("replaced %q, and the outcome names as kept %q", gone, outcome.Kept)
		}
		keeps(t, r.before, now)
	}
}

// keeps checks that what is not as it was has its value under another name.
func keeps(t *testing.T, before, now map[string]string) {
	t.Helper()
	kept := map[string]bool{}
	for _, name := range added(before, now) {
		kept[now[name]] = true
	}
	for _, name := range changed(before, now) {
		if !kept[before[name]] {
			t.Errorf("%s is not what it was, and is kept nowhere", name)
		}
	}
}

// asPromised checks what became of before once a restore was published, or refused.
func asPromised(t *testing.T, p cofre.Promise, before, now map[string]string) {
	t.Helper()
	switch p.Replaced {
	case cofre.ReplacesNothing:
		if gone := changed(before, now); len(gone) > 0 {
			t.Errorf("%q is not what it was", gone)
		}
	case cofre.ReplacedKept:
		keeps(t, before, now)
	}
}

func published(t *testing.T, r *room) {
	r.publish(t)
	now := r.State(t)
	if err := r.Target.Discard(t.Context()); err != nil {
		t.Errorf("discard after Publish: %v", err)
	}
	if after := r.State(t); !maps.Equal(now, after) {
		t.Errorf("Discard after Publish changed %q and added %q", changed(now, after), added(now, after))
	}
	if _, err := r.Target.Publish(t.Context()); err == nil {
		t.Error("published a second time")
	}
	if after := r.State(t); !maps.Equal(now, after) {
		t.Errorf("a second Publish changed %q and added %q", changed(now, after), added(now, after))
	}
}

func discardedEarly(t *testing.T, r *room) {
	r.plan(t)
	if err := r.Target.Discard(t.Context()); err != nil {
		t.Errorf("discard: %v", err)
	}
	if now := r.State(t); !maps.Equal(r.before, now) {
		t.Errorf("changed %q, added %q", changed(r.before, now), added(r.before, now))
	}
}

func over(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func ended(t *testing.T, r *room) {
	r.plan(t)
	if err := r.Target.Stage(over(t), cofre.Discard); err == nil {
		t.Error("staged under a context that had ended")
	}
	r.discard(t)
}

func interrupted(t *testing.T, r *room) {
	r.plan(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := r.Target.Stage(ctx, cofre.ObserverFunc(func(cofre.Event) { cancel() }))
	if err == nil && ctx.Err() != nil {
		t.Log("what was left to do at the first event was done")
	}
	// As it is if the process is killed now.
	if names := changed(r.before, r.State(t)); len(names) > 0 && r.Target.Promise().Staging != cofre.StagedInPlace {
		t.Errorf("touched before Publish: %q", names)
	}
	r.discard(t)
	r.Target = r.New()
	r.publish(t)
	asPromised(t, r.Target.Promise(), r.before, r.State(t))
}

func unpublished(t *testing.T, r *room) {
	r.stage(t)
	staged := r.State(t)
	if _, err := r.Target.Publish(over(t)); err == nil {
		t.Error("published under a context that had ended")
	}
	if now := r.State(t); !maps.Equal(staged, now) {
		t.Errorf("changed %q, added %q", changed(staged, now), added(staged, now))
	}
	r.discard(t)
}

// gone is a tree of a repository that cannot be reached any more, once it is cut off.
type gone struct {
	cofre.Tree
	cut bool // before anything is staged
}

var errGone = fmt.Errorf("%w: cut off", cofre.ErrUnreachable)

func (g *gone) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if g.cut {
		return nil, errGone
	}
	return g.Tree.Open(ctx, path)
}

func withoutRepository(t *testing.T, r *room) {
	tree := &gone{Tree: r.Tree}
	r.Tree = tree
	r.plan(t)
	tree.cut = true
	err := r.Target.Stage(t.Context(), cofre.Discard)
	if err == nil {
		proof, checked := r.Target.Check(t.Context(), cofre.Discard)
		if err = checked; err == nil && proof.Holds() {
			t.Errorf("proven, and nothing could be read: %+v", proof)
		}
	}
	if err != nil && !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("the error does not say that the repository cannot be reached: %v", err)
	}
	r.discard(t)
}

func undone(t *testing.T, r *room) {
	outcome := r.publish(t)
	if !r.Target.Promise().Undoable {
		return
	}
	if r.Undo == nil {
		t.Fatal("the promise says that it can be undone, and the place does not say how")
	}
	r.Undo(t, outcome)
	if now := r.State(t); !maps.Equal(r.before, now) {
		t.Errorf("once undone, %q is not what it was, and %q was not there", changed(r.before, now), added(r.before, now))
	}
}

func again(t *testing.T, r *room) {
	r.publish(t)
	first := r.State(t)
	r.Target = r.New()
	plan, err := r.Target.Plan(t.Context(), r.Component, r.Tree)
	if err != nil || len(plan.Problems) > 0 { // it is refused
		if now := r.State(t); !maps.Equal(first, now) {
			t.Errorf("a second run was refused, and changed %q and added %q", changed(first, now), added(first, now))
		}
		return
	}
	r.bring(t)
	if _, err := r.Target.Publish(t.Context()); err != nil {
		t.Fatalf("publish what a second run has staged: %v", err)
	}
	asPromised(t, r.Target.Promise(), first, r.State(t))
}

// twoAtOnce has a second one do everything while the first is staged. Whoever is refused takes away nothing.
func twoAtOnce(t *testing.T, r *room) {
	other := &room{Place: r.Place, Target: r.New()}
	r.plan(t)
	other.plan(t)
	if err := r.Target.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatalf("stage: %v", err)
	}
	staged := added(r.before, r.State(t))
	refused := other.tryAll(t)
	other.leave(t)
	between := r.State(t)
	if refused != nil && r.Target.Promise().Staging != cofre.StagedInPlace {
		if names := changed(r.before, between); len(names) > 0 {
			t.Errorf("the second was refused, with %v, and %q is not what it was", refused, names)
		}
	}
	err := r.finish(t)
	if err != nil && refused != nil {
		t.Fatalf("neither was published: %v; %v", err, refused)
	}
	r.leave(t)
	now := r.State(t)
	asPromised(t, r.Target.Promise(), r.before, now)
	if refused == nil {
		maps.DeleteFunc(between, func(name, _ string) bool { return slices.Contains(staged, name) })
		asPromised(t, r.Target.Promise(), between, now)
	}
}

// overtaken has a second one do everything after the first was planned.
func overtaken(t *testing.T, r *room) {
	r.plan(t)
	other := &room{Place: r.Place, Target: r.New()}
	other.publish(t)
	published := r.State(t)
	err := r.tryAll(t)
	t.Logf("the one that was planned before: %v", err)
	r.leave(t)
	now := r.State(t)
	if err != nil && !maps.Equal(published, now) {
		t.Errorf("it was refused, and changed %q and added %q", changed(published, now), added(published, now))
	}
	asPromised(t, r.Target.Promise(), published, now)
}

// leave takes the place of Publish, or follows it.
func (r *room) leave(t *testing.T) {
	if err := r.Target.Discard(t.Context()); err != nil {
		t.Errorf("discard: %v", err)
	}
}

// tryAll goes on from the plan to the end, and says what stands in the way.
func (r *room) tryAll(t *testing.T) error {
	if err := r.Target.Stage(t.Context(), cofre.Discard); err != nil {
		return err
	}
	return r.finish(t)
}

// finish goes on from what is staged.
func (r *room) finish(t *testing.T) error {
	proof, err := r.Target.Check(t.Context(), cofre.Discard)
	if err != nil {
		return err
	}
	if !proof.Holds() {
		return cofre.ErrUnproven
	}
	_, err = r.Target.Publish(t.Context())
	return err
}

// Folders is the State of everything below some folders: kinds, modes, contents and where links lead, by path. The mode of a folder is left out,
// since it changes while files are made in it.
func Folders(t *testing.T, roots ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			switch {
			case d.IsDir():
				all[path] = "folder"
			case d.Type()&fs.ModeSymlink != 0:
				to, err := os.Readlink(path)
				all[path] = "link to " + to
				return err
			default:
				info, err := d.Info()
				if err != nil {
					return err
				}
				content, err := os.ReadFile(path)
				all[path] = info.Mode().String() + " " + string(content)
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
