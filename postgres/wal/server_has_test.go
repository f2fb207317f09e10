package wal_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// TestServerHas answers what a promotion asks last without any repository.
func TestServerHas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"00000002.history": "1\t0/3000000\tno recovery target specified\n",
		"00000003.history": "# this timeline is used; its history is not archived\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		claim cofre.Timeline
		name  string
		want  bool
	}{
		{2, "00000001.history", true},
		{2, "00000002.history", true},
		{2, "00000003.history", false}, // a placeholder of a version before is no history
		{2, "00000004.history", false},
		{2, "000000020000000000000003", false},
		{0, "00000001.history", false}, // not one of ours: whatever is archived
		{0, "00000002.history", false},
	} {
		if got := fetch.ServerHas(c.claim, c.name, filepath.Join(dir, "RECOVERYHISTORY")); got != c.want {
			t.Errorf("--claim %d, %s: %v", c.claim, c.name, got)
		}
	}
}
