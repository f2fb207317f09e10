package docs_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
)

// TestAReleaseDerivesItsKeySlowly looks at what stands between the password and whoever holds the storage. Most tests are built with a tag under which the
// keys are derived at once.
func TestAReleaseDerivesItsKeySlowly(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"password":   "a long password",
		"cofre.yaml": fmt.Sprintf("name: tl\nstate_dir: state\nrepository: {url: %q, password: 'file:password'}\nconfig: {paths: [%q]}\n", filepath.Join(dir, "repo"), dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), testkit.Release(t, "../../cmd/cofre"), "init")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "repo/kopia.repository.f"))
	if err != nil {
		t.Fatal(err)
	}
	var format struct {
		KeyAlgo string `json:"keyAlgo"`
	}
	if err := json.Unmarshal(b, &format); err != nil || format.KeyAlgo != "scrypt-65536-8-1" {
		t.Errorf("the key is derived by %q (%v), want scrypt-65536-8-1", format.KeyAlgo, err)
	}
	// Source: C2SP, age.md: "-> scrypt SALT WORK-FACTOR".
	b, err = os.ReadFile(filepath.Join(dir, "repo/cofre/keys/wal.age"))
	if err != nil || !regexp.MustCompile(`(?m)^-> scrypt \S+ 16$`).Match(b) {
		t.Errorf("the key of the WAL is derived otherwise than by 2^16 steps: %v\n%.200q", err, b)
	}
}
