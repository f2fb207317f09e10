package files_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// watchedTree is the tree of what was captured, each of whose operations asks f.
func (c captured) watchedTree(t *testing.T, f *testkit.Faults) cofre.Tree {
	t.Helper()
	repo := repositorytest.Watched(c.repo, func(op repositorytest.Operation, path string) error {
		if op == repositorytest.OpTree {
			return nil
		}
		return f.Check(fmt.Sprint(op, " ", path))
	})
	tree, err := repo.Tree(t.Context(), c.component.Content.Root)
	must(t, err)
	return tree
}

// attempt carries out a restore as package restore does, and says whether it says that all is well.
func attempt(t *testing.T, tree cofre.Tree, c cofre.Component, to files.TargetConfig) (whole bool, err error) {
	t.Helper()
	ctx := t.Context()
	target := files.NewTarget(to)
	plan, err := target.Plan(ctx, c, tree)
	if err != nil || len(plan.Problems) > 0 {
		return false, errors.Join(err, errors.New("not planned"))
	}
	defer func() { err = errors.Join(err, target.Discard(ctx)) }()
	if err := target.Stage(ctx, cofre.Discard); err != nil {
		return false, err
	}
	proof, err := target.Check(ctx, cofre.Discard)
	if err != nil || !proof.Holds() {
		return false, errors.Join(err, errors.New("not proven"))
	}
	outcome, err := target.Publish(ctx)
	return err == nil && len(outcome.Left) == 0, err
}

// state is what is below base, but for what cofre keeps and stages.
func state(t *testing.T, base string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for path, what := range describe(t, base, false) {
		if !strings.Contains(path, "cofre") {
			all[strings.ReplaceAll(path, strings.TrimPrefix(base, "/"), "BASE")] = what
		}
	}
	return all
}

func same(a, b map[string]string) string {
	var d []string
	for path, what := range a {
		// A time of now differs from round to round; what was captured has the time of then.
		if fields, others := strings.Fields(what), strings.Fields(b[path]); len(fields) != len(others) || fields[0] != others[0] || fields[len(fields)-1] != others[len(others)-1] {
			d = append(d, fmt.Sprintf("%s: %s, not %s", path, b[path], what))
		}
	}
	for path := range b {
		if _, known := a[path]; !known {
			d = append(d, path+" is there")
		}
	}
	return strings.Join(d, "\n")
}

// Whichever call on a file or folder fails, and whichever operation of the repository: a restore is an error, or leaves something by name, or
// has done all. In place, nothing is changed by one that is an error, or everything. Not in parallel: it watches all calls of the process.
func TestEachCallOfARestoreCounts(t *testing.T) {
	for name, to := range restores {
		base, from := changedSince(t)
		config := to(t, base)
		before := state(t, base)
		if whole, err := attempt(t, from.tree, from.component, config); !whole || err != nil {
			t.Fatalf("%s, without a fault: %t, %v", name, whole, err)
		}
		want := state(t, base)
		round := func(f *testkit.Faults, watch func(base string, from captured) cofre.Tree) {
			base, from := changedSince(t)
			config := to(t, base)
			tree := watch(base, from)
			whole, err := attempt(t, tree, from.component, config)
			files.Fail(nil)
			now := state(t, base)
			switch notDone, notChanged := same(want, now), same(before, now); {
			case f.Failed() == "" && err != nil:
				t.Errorf("%s, without a fault: %v", name, err)
			case whole && err == nil && notDone != "":
				t.Errorf("%s: %s fails, all is well, and there is %s", name, f.Failed(), notDone)
			case err != nil && name == "in place" && notDone != "" && notChanged != "":
				t.Errorf("%s: %s fails with %v, and some is changed: %s", name, f.Failed(), err, notChanged)
			}
			must(t, os.RemoveAll(base))
		}
		testkit.EachFails(t, func(f *testkit.Faults) {
			round(f, func(base string, from captured) cofre.Tree {
				files.Fail(func(op, path string) error {
					if !strings.HasPrefix(path, base) {
						return nil
					}
					return f.Check(op + " " + strings.TrimPrefix(path, base))
				})
				return from.tree
			})
		})
		testkit.EachFails(t, func(f *testkit.Faults) {
			round(f, func(_ string, from captured) cofre.Tree { return from.watchedTree(t, f) })
		})
	}
}

// Whichever operation of the repository fails, a capture is an error, or has everything.
func TestEachOperationOfTheRepositoryCounts(t *testing.T) {
	t.Parallel()
	root := installation(t)
	want := capture(t, files.Config{Paths: []string{root}})
	testkit.EachFails(t, func(f *testkit.Faults) {
		got, err := tryCapture(t, files.Config{Paths: []string{root}}, func(s cofre.Session) cofre.Session {
			return repositorytest.WatchedSession(s, func(op repositorytest.Operation, path string) error { return f.Check(fmt.Sprint(op, " ", path)) })
		})
		if err != nil {
			if f.Failed() == "" {
				t.Fatal(err)
			}
			return
		}
		if !got.component.Partial && (got.component.Content.Entries != want.component.Content.Entries || string(got.component.Facts) != string(want.component.Facts)) {
			t.Errorf("%s fails, and nothing is said: %+v, want %+v", f.Failed(), got.component, want.component)
		}
	})
}
