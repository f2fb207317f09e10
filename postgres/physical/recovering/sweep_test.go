package recovering

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

func TestSweep(t *testing.T) {
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	temporary := t.TempDir()
	long := time.Now().Add(-2 * stale)
	for _, c := range []struct {
		name, lock string
		old, stays bool
	}{
		{name: datadir.RecoveringPrefix + "killed", lock: fmt.Sprint(ended.Process.Pid)},
		{name: datadir.RecoveringPrefix + "running", lock: fmt.Sprint(os.Getpid()), old: true, stays: true},
		{name: datadir.RecoveringPrefix + "unread", lock: "x", old: true, stays: true},
		{name: datadir.RecoveringPrefix + "begins", stays: true},
		{name: datadir.RecoveringPrefix + "never", old: true},
		{name: "another", lock: fmt.Sprint(ended.Process.Pid), old: true, stays: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(temporary, c.name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if c.lock != "" {
				if err := os.WriteFile(filepath.Join(dir, ".s.PGSQL.5432.lock"), []byte(c.lock+"\n/data\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.old {
				if err := os.Chtimes(dir, long, long); err != nil {
					t.Fatal(err)
				}
			}
			sweep(temporary)
			if _, err := os.Stat(dir); (err == nil) != c.stays {
				t.Errorf("stays %t, want %t", err == nil, c.stays)
			}
		})
	}
}
