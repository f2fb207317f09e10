package files_test

import (
	"fmt"
	"os"
	"os/exec"
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

// TestInPlaceNoFileIsWrittenOverAnotherOfAName: a folder in use may be on such a file system, with files that were captured elsewhere.
func TestInPlaceNoFileIsWrittenOverAnotherOfAName(t *testing.T) {
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
	if err := os.RemoveAll(etc); err != nil {
		t.Fatal(err)
	}
	disk := oneCase(t)
	if err := os.WriteFile(filepath.Join(disk, "app.conf"), []byte("live"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "--bind", disk, etc).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	defer exec.Command("umount", etc).Run()
	out := restore(t, from, files.TargetConfig{})
	var left []string
	for _, l := range out.Left {
		left = append(left, strings.TrimPrefix(l.What, etc+"/"))
	}
	if got := strings.Join(left, " "); got != "app.conf sites sites/b" {
		t.Errorf("left %q: %+v", got, out.Left)
	}
	for _, name := range []string{"App.conf", "Sites/a", "other"} {
		if b, err := os.ReadFile(filepath.Join(etc, name)); err != nil || string(b) != name {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	kept, err := filepath.Glob(etc + "/.*.cofre-kept-*")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if b, err := os.ReadFile(kept[0]); err != nil || string(b) != "live" {
		t.Errorf("kept %q, %v", b, err)
	}
}

// TestAMountedFileIsRefusedByName: containers have single files mounted into them.
func TestAMountedFileIsRefusedByName(t *testing.T) {
	etc := filepath.Join(t.TempDir(), "etc")
	at := filepath.Join(etc, ".env")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte("captured"), 0o640); err != nil {
		t.Fatal(err)
	}
	from := capture(t, files.Config{Paths: []string{etc}})
	other := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(other, []byte("mounted"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "--bind", other, at).CombinedOutput(); err != nil {
		testkit.Missing(t, "mount", err.Error()+string(out))
	}
	defer exec.Command("umount", at).Run()
	plan, err := files.NewTarget(files.TargetConfig{}).Plan(t.Context(), from.component, from.tree)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(plan.Problems); !strings.Contains(got, at+" is a mount point and cannot be replaced") || !strings.Contains(got, "cat DIR"+at+" > "+at) {
		t.Errorf("problems: %s", got)
	}
}
