package postgres_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
)

// The command that is shown can be pasted by whoever sees it: where pg_ctl is not in the path, as on Debian, and by root, whom pg_ctl refuses.
func TestCtl(t *testing.T) {
	dir := testkit.Postgres(t, 15).Query(t, "postgres", "SHOW data_directory")
	var path []string
	for _, p := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(p, "pg_ctl")); err != nil {
			path = append(path, p)
		}
	}
	t.Setenv("PATH", strings.Join(path, string(filepath.ListSeparator)))
	out, err := exec.CommandContext(t.Context(), "sh", "-c", postgres.Ctl("status", dir)).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "server is running") {
		t.Errorf("%s: %v\n%s", postgres.Ctl("status", dir), err, out)
	}
}
