package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Release builds a program from the folder of its package as a release is built, whatever the tests are built with, and returns its path. The folder that
// it is in is removed with the test.
func Release(t testing.TB, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(source))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
	return program
}
