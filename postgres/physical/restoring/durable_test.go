package restoring_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// pg_control takes its name last: a server that starts on the directory, also after a crash of the machine, finds every
// other file and name on the disk.
func TestEverythingIsSyncedBeforePgControlTakesItsName(t *testing.T) {
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, testkit.DefaultMajor, testkit.Own())
	s.Exec(t, "postgres", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 20000) g")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)

	to := filepath.Join(dir, "restored")
	var mu sync.Mutex
	syncedBefore := map[string]bool{} // path, as it is before the rename of a staged directory or after
	published := false
	stop := durable.Watch(func(step durable.Step) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !strings.HasPrefix(step.Path, dir):
		case step.Op == durable.OpRename && step.Path == filepath.Join(to, "global", "pg_control"):
			published = true
		case (step.Op == durable.OpSync || step.Op == durable.OpSyncDir) && !published:
			syncedBefore[step.Path] = true
		}
		return nil
	})
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to})
	stop()
	if !published {
		t.Fatal("pg_control never took its name")
	}
	files, missing := 0, 0
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		name := path
		if filepath.Base(path) == "pg_control" {
			name += ".cofre" // it was synced under the name it had
		}
		if files++; !syncedBefore[path] && !syncedBefore[name] {
			missing++
			t.Logf("not synced before pg_control took its name: %s", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 900 || missing > 0 {
		t.Errorf("of %d files and directories %d were not synced", files, missing)
	}
}
