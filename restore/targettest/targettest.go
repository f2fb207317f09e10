// Package targettest holds a cofre.Target to its contract, and to its own Promise.
//
// It knows nothing of databases or buckets: a test gives it a place, and a function that writes down everything that is there, by name. What
// changed between two such lists is compared with what the target promised. Read Run first.
package targettest

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustlayer/cofre"
)

// Place is a target that nothing was done with, and what there is around it.
type Place struct {
	Target    cofre.Target
	Component cofre.Component
	Tree      cofre.Tree
	// State is everything that a restore could touch, add or leave, by name, with a value that is of the whole content: what is renamed has
	// the same value under another name. It leaves out what changes by itself.
	State func(t *testing.T) map[string]string
	// Promise is what the target is to promise here; KeptAt is not compared.
	Promise cofre.Promise
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
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			check(t, &room{Place: p, before: p.State(t)})
		})
	}
}

// room is a place, and how it was.
type room struct {
	Place
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
		kept := map[string]bool{}
		for _, name := range added(r.before, now) {
			kept[now[name]] = true
		}
		for _, name := range gone {
			if !kept[r.before[name]] {
				t.Errorf("%s is not what it was, and is kept nowhere", name)
			}
		}
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
	r.discard(t)
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
