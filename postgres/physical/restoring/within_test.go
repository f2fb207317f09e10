package restoring_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// rootsOwn is a file and a directory that only root may touch, in a place that the owner of the cluster can name.
type rootsOwn struct{ file, dir string }

const untouched = "# what only root writes\n"

func newRootsOwn(t *testing.T) rootsOwn {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be led to what is root's")
	}
	at := t.TempDir()
	r := rootsOwn{filepath.Join(at, "file"), filepath.Join(at, "dir")}
	if err := os.WriteFile(r.file, []byte(untouched), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// untouched reports everything that was done to them.
func (r rootsOwn) check(t *testing.T) {
	t.Helper()
	if b, err := os.ReadFile(r.file); err != nil || string(b) != untouched {
		t.Errorf("root's file holds %q, %v", b, err)
	}
	for path, mode := range map[string]os.FileMode{r.file: 0o600, r.dir: 0o755 | os.ModeDir} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 || info.Mode() != mode {
			t.Errorf("%s belongs to %d, mode %s", filepath.Base(path), st.Uid, info.Mode())
		}
	}
	if names, err := os.ReadDir(r.dir); err != nil || len(names) != 0 {
		t.Errorf("root's directory holds %v, %v", names, err)
	}
}

func restoredOnce(t *testing.T) (repo *repositorytest.Memory, c cofre.Component, to string) {
	t.Helper()
	s := testkit.Postgres(t, testkit.DefaultMajor, testkit.Own())
	s.Exec(t, "postgres", "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g; CHECKPOINT")
	repo = repositorytest.NewMemory()
	c = physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	to = filepath.Join(physicaltest.Room(t), "data")
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to})
	return repo, c, to
}

func plant(t *testing.T, link, leads string) {
	t.Helper()
	if err := os.RemoveAll(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(leads, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(link, 65534, 65534); err != nil {
		t.Fatal(err)
	}
}

// TestADeltaFollowsNoLinkOfTheOwner: root restores into a directory in which another user may have put a link to what is root's.
func TestADeltaFollowsNoLinkOfTheOwner(t *testing.T) {
	repo, c, to := restoredOnce(t)
	mine := newRootsOwn(t)
	for _, file := range []string{"PG_VERSION", "postgresql.auto.conf", "global/pg_filenode.map", "cofre-recovery.conf", "recovery.signal", "backup_label"} {
		plant(t, filepath.Join(to, file), mine.file)
	}
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Delta: true})
	mine.check(t)
	if conf, err := os.ReadFile(filepath.Join(to, "postgresql.auto.conf")); err != nil || strings.Contains(string(conf), untouched) {
		t.Errorf("the owner reads what only root may: %q, %v", conf, err)
	}
	r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
	if got := physicaltest.Query(t, r, "SELECT sum(g) FROM t"); got != "500500" {
		t.Errorf("after the delta: %s", got)
	}
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"pg_wal", "base", "base/1", "pg_logical/snapshots"} {
		t.Run(dir, func(t *testing.T) {
			at := filepath.Join(to, filepath.FromSlash(dir))
			if err := os.Rename(at, at+".was"); err != nil {
				t.Fatal(err)
			}
			plant(t, at, mine.dir)
			refused(t, repo, c, restoring.Options{Dir: to, Delta: true}, at+" is a symbolic link that leads to "+mine.dir)
			mine.check(t)
			if err := errors.Join(os.Remove(at), os.Rename(at+".was", at)); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("a data directory", func(t *testing.T) {
		link := filepath.Join(filepath.Dir(to), "link")
		plant(t, link, mine.dir)
		refused(t, repo, c, restoring.Options{Dir: link}, link+" is a symbolic link that leads to "+mine.dir)
		mine.check(t)
	})
}

func refused(t *testing.T, repo *repositorytest.Memory, c cofre.Component, o restoring.Options, why string) {
	t.Helper()
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := restoring.NewTarget(o).Plan(t.Context(), c, tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plan.Problems {
		if strings.Contains(p.What, why) {
			return
		}
	}
	t.Errorf("problems %v, want %s", plan.Problems, why)
}

// TestADeltaWhileTheOwnerSwapsDirectories: what was looked at may be a link a moment later.
func TestADeltaWhileTheOwnerSwapsDirectories(t *testing.T) {
	repo, c, to := restoredOnce(t)
	mine := newRootsOwn(t)
	var stop atomic.Bool
	var swaps atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; !stop.Load(); i++ {
			for _, name := range []string{"base/1", "global", "pg_xact", "pg_wal", "base"} {
				at := filepath.Join(to, filepath.FromSlash(name))
				// Another name each time: if the restore moves the link before it is swapped back, the name keeps the directory.
				link := filepath.Join(filepath.Dir(to), fmt.Sprint("swap-", i, "-", filepath.Base(name)))
				if os.Symlink(mine.dir, link) != nil || unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, at, unix.RENAME_EXCHANGE) != nil {
					continue
				}
				swaps.Add(1)
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, at, unix.RENAME_EXCHANGE)
				_ = os.Remove(link)
			}
		}
	}()
	staged := 0
	for round := 0; round < 200 && (staged < 6 || swaps.Load() < 100); round++ {
		target := restoring.NewTarget(restoring.Options{Dir: to, Delta: true})
		tree, err := repo.Tree(t.Context(), c.Root)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := target.Plan(t.Context(), c, tree)
		if err != nil || len(plan.Problems) > 0 {
			continue // it met one of the links
		}
		staged++
		err = target.Stage(t.Context(), cofre.Discard)
		t.Logf("after %d swaps: %v", swaps.Load(), errors.Join(err, target.Discard(t.Context())))
		mine.check(t)
	}
	stop.Store(true)
	<-ended
	mine.check(t)
	if swaps.Load() < 100 || staged == 0 {
		t.Errorf("only %d swaps, %d stages", swaps.Load(), staged)
	}
}

// TestADirectoryInUseIsNotGivenAway: a tablespace is the cluster owner's, and its place may be named by whoever restores; what somebody else uses stays theirs.
func TestADirectoryInUseIsNotGivenAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives anything away")
	}
	s := testkit.Postgres(t, testkit.DefaultMajor, testkit.Own())
	dir := physicaltest.Room(t)
	space := physicaltest.Shared(t, dir, "space")
	s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, repo, c, restoring.Options{Dir: filepath.Join(dir, "data"), Tablespaces: map[string]string{space: used}}, used+" belongs to user 0 and is in use")
}
