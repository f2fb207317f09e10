package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mounted makes a file system of a size in bytes, mounts it until the test ends, and returns where. Of the two commands, which make it and mount
// it, the first is given the path of the image, and the second that and the path of the mount. Where that is not possible the test is
// skipped, or fails if COFRE_REQUIRE has "mount".
func Mounted(t testing.TB, size int64, mkfs, mount []string) string {
	t.Helper()
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{append(mkfs, image), append(mount, image, at)} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			Missing(t, "mount", strings.Join(args, " ")+": "+err.Error()+": "+string(out))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return at
}
