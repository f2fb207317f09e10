package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pkg/xattr"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
)

// carryOut is a restore up to its first error.
func carryOut(t *testing.T, from captured, to files.TargetConfig) (err error) {
	t.Helper()
	ctx := t.Context()
	target := files.NewTarget(to)
	plan, err := target.Plan(ctx, from.component, from.tree)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatalf("%v: problems %+v", err, plan)
	}
	defer func() { err = errors.Join(err, target.Discard(ctx)) }()
	if err := target.Stage(ctx, cofre.Discard); err != nil {
		return err
	}
	if proof, err := target.Check(ctx, cofre.Discard); err != nil || !proof.Holds() {
		t.Fatalf("not proven: %v %+v", err, proof)
	}
	_, err = target.Publish(ctx)
	return err
}

// restores are those of a folder in which, since it was captured, a file was changed, one removed, one added, a folder removed and the
// modes of two entries changed. To is below base.
var restores = map[string]func(t *testing.T, base string) files.TargetConfig{
	"in place": func(*testing.T, string) files.TargetConfig { return files.TargetConfig{} },
	"to a new folder": func(_ *testing.T, base string) files.TargetConfig {
		return files.TargetConfig{To: base + "/on/the/way/to"}
	},
	"to an empty one": func(t *testing.T, base string) files.TargetConfig {
		if err := os.Mkdir(base+"/to", 0o755); err != nil {
			t.Fatal(err)
		}
		return files.TargetConfig{To: base + "/to"}
	},
}

func changedSince(t *testing.T) (base string, from captured) {
	t.Helper()
	base = t.TempDir()
	etc := filepath.Join(base, "etc")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(etc+"/"+name), 0o755))
		must(os.WriteFile(etc+"/"+name, []byte(text), 0o640))
	}
	for _, name := range []string{"same", "changed", "mode", "gone", "sub/gone", "sub/deep/gone", "folder/kept", "only/this/gone"} {
		write(name, "as captured")
	}
	must(os.Symlink("same", etc+"/link"))
	must(xattr.Set(etc+"/changed", "user.of", []byte("a file")))
	from = capture(t, files.Config{Paths: []string{etc}})
	write("changed", "the work of today")
	write("new", "not captured")
	must(os.Chmod(etc+"/mode", 0o600))
	must(os.Chmod(etc+"/folder", 0o700))
	must(errors.Join(os.RemoveAll(etc+"/sub"), os.RemoveAll(etc+"/only/this"), os.Remove(etc+"/gone"), os.Remove(etc+"/link")))
	return base, from
}

func TestWhatIsRestoredSurvivesACrash(t *testing.T) {
	for name, to := range restores {
		base, from := changedSince(t)
		config := to(t, base)
		lost, err := durabletest.Lost(base, func() error { return carryOut(t, from, config) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, what := range lost {
			t.Errorf("%s: a crash takes %s", name, what)
		}
	}
}

func TestADiskThatFailsIsNoSuccess(t *testing.T) {
	for name, to := range restores {
		t.Run(name, func(t *testing.T) {
			durabletest.EachStepFails(t, func() (string, func() error) {
				base, from := changedSince(t)
				config := to(t, base)
				return base, func() error { return carryOut(t, from, config) }
			})
		})
	}
}
