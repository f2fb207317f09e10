package files_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/testkit"
)

// oneCase mounts a file system that takes names for one which differ in case.
func oneCase(t *testing.T) string {
	t.Helper()
	return testkit.Mounted(t, 16<<20, []string{"mkfs.ntfs", "-q", "-F", "-f"}, []string{"lowntfs-3g", "-o", "ignore_case,permissions"})
}

func TestNamesThatAPlaceTakesForOneAreNamed(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	for _, name := range []string{"App.conf", "app.conf", "Sites/a", "sites/b", "other"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(etc, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(etc, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	from := capture(t, files.Config{Paths: []string{etc}})
	to := filepath.Join(oneCase(t), "out")
	out := restore(t, from, files.TargetConfig{To: to})
	var left []string
	for _, l := range out.Left {
		left = append(left, strings.TrimPrefix(l.What, etc+"/"))
	}
	if got := strings.Join(left, " "); got != "app.conf sites sites/b" {
		t.Errorf("left %q: %+v", got, out.Left)
	}
	if got := fmt.Sprint(out.Next); !strings.Contains(got, "--path "+etc+"/app.conf") {
		t.Errorf("next: %s", got)
	}
	for _, name := range []string{"App.conf", "Sites/a", "other"} {
		if b, err := os.ReadFile(filepath.Join(to, etc, name)); err != nil || string(b) != name {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
}
