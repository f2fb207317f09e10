package files_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/testkit"
)

// secondsOnly mounts a file system that keeps times to the second, and until 2038.
func secondsOnly(t *testing.T) string {
	t.Helper()
	return testkit.Mounted(t, 8<<20, []string{"mkfs.ext4", "-q", "-I", "128"}, []string{"mount", "-o", "loop"})
}

func TestTimesAreWhatThePlaceKeeps(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	if err := os.MkdirAll(etc+"/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	at := map[string]time.Time{"now": time.Unix(1_700_000_000, 123_456_789), "late": time.Unix(1<<33, 5), "sub/early": time.Unix(-1<<33, 0)}
	for name, at := range at {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(etc, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	from := capture(t, files.Config{Paths: []string{etc}})
	to := filepath.Join(secondsOnly(t), "out")
	target := files.NewTarget(files.TargetConfig{To: to})
	plan, err := target.Plan(t.Context(), from.component, from.tree)
	if err != nil || len(plan.Problems) > 0 {
		t.Fatal(err, plan.Problems)
	}
	if got := strings.Join(plan.Notes, "\n"); !strings.Contains(got, "cannot keep the times of ") {
		t.Errorf("the plan notes %q", got)
	}
	if err := target.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatal(err)
	}
	proof, err := target.Check(t.Context(), cofre.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range proof.Checks {
		if !c.OK {
			t.Errorf("%s: %s, want %s", c.What, c.Got, c.Want)
		}
	}
	if _, err := target.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(to, etc, "now"))
	if err != nil || !info.ModTime().Equal(at["now"].Truncate(time.Second)) {
		t.Errorf("the time is %v, %v", info.ModTime(), err)
	}
	info, err = os.Stat(filepath.Join(to, etc, "late"))
	if err != nil || info.ModTime().Unix() != 1<<31-1 {
		t.Errorf("a late time is %v, %v", info.ModTime(), err)
	}
}
