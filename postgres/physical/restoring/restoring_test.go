package restoring_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestUnchangedAndDelta takes unchanged files over unread, and restores in place what differs.
func TestUnchangedAndDelta(t *testing.T) {
	t.Parallel()
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, 0, testkit.InitArgs("--data-checksums"))
	space := physicaltest.Shared(t, dir, "space")
	s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
	s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 1000) g")
	physicaltest.Pgbench(t, s, "-i", "-q", "-s", "2")
	s.Exec(t, "postgres", "CHECKPOINT")
	repo := repositorytest.NewMemory()
	src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")})
	var first, second cofre.Component
	// A file is trusted once it is two seconds older than the capture that has read it.
	testkit.Await(t, "files old enough to be trusted", 30*time.Second, func() bool {
		first = physicaltest.Backup(t, repo, src, nil)
		second = physicaltest.Backup(t, repo, src, &first)
		sum := physicaltest.SummaryOf(t, second)
		return sum.ReusedCount*10 > sum.FileCount*9
	})
	before, after := physicaltest.SummaryOf(t, first), physicaltest.SummaryOf(t, second)
	if before.ReusedCount != 0 || after.FileCount < before.FileCount-2 {
		t.Errorf("%d files reused at first; %d files, then %d", before.ReusedCount, before.FileCount, after.FileCount)
	}
	to := filepath.Join(dir, "data")
	spaces := map[string]string{space: to + "-space"}
	physicaltest.Restore(t, repo, second, restoring.Options{Dir: to, Tablespaces: spaces, VerifyBackup: true})
	r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
	changed := &testkit.Server{Server: r.Server}
	changed.Exec(t, "postgres", "UPDATE pgbench_accounts SET abalance = 7 WHERE aid = 1000; CREATE TABLE later AS SELECT 1; DROP TABLE pgbench_history; UPDATE elsewhere SET g = 0; CHECKPOINT")
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(to, "global", "1262")); err != nil {
		t.Fatal(err)
	}

	// Without being told so, a directory that is not empty is refused.
	target := restoring.NewTarget(restoring.Options{Dir: to, Tablespaces: map[string]string{space: to + "-other"}})
	tree, err := repo.Tree(t.Context(), second.Root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := target.Plan(t.Context(), second, tree)
	if err != nil || len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].What, "is not empty") {
		t.Fatalf("plan %+v, %v", plan, err)
	}

	outcome := physicaltest.Restore(t, repo, second, restoring.Options{Dir: to, Tablespaces: spaces, Delta: true, VerifyBackup: true})
	if len(outcome.Kept) != 1 {
		t.Errorf("kept %v", outcome.Kept)
	}
	r = physicaltest.Recovered(t, recovering.Options{DataDir: to})
	if got := physicaltest.Query(t, r, "SELECT sum(abalance), to_regclass('later') FROM pgbench_accounts") + physicaltest.Query(t, r, "SELECT count(*) FROM pgbench_history") + physicaltest.Query(t, r, "SELECT sum(g) FROM elsewhere"); got != "0|<null>0500500" {
		t.Errorf("after the delta: %s", got)
	}
	physicaltest.Intact(t, r, true)

	outcome = physicaltest.Restore(t, repo, first, restoring.Options{Dir: to, Tablespaces: spaces, MoveAside: true})
	if len(outcome.Kept) != 2 {
		t.Fatalf("kept %v", outcome.Kept)
	}
	for _, kept := range outcome.Kept {
		if names, err := os.ReadDir(kept.Where); err != nil || len(names) == 0 {
			t.Errorf("kept %s: %d files, %v", kept, len(names), err)
		}
	}
	r = physicaltest.Recovered(t, recovering.Options{DataDir: to})
	if got := physicaltest.Query(t, r, "SELECT count(*) FROM pgbench_accounts a, (SELECT count(*) n FROM elsewhere) e WHERE n = 1000"); got != "200000" {
		t.Errorf("beside the old directory: %s rows", got)
	}
	testkit.Healthy(t, s)
}

// TestDeltaKeepsTheWALOfADiskOfItsOwn: pg_wal is often a mount, which cannot be renamed, or a link to one.
func TestDeltaKeepsTheWALOfADiskOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, link := range []bool{false, true} {
		t.Run(fmt.Sprintf("link %v", link), func(t *testing.T) {
			dir := physicaltest.Room(t)
			s := testkit.Postgres(t, 0, testkit.Own())
			s.Exec(t, "postgres", "CREATE TABLE t AS SELECT g FROM generate_series(1, 1000) g; CHECKPOINT")
			repo := repositorytest.NewMemory()
			c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
			to := filepath.Join(dir, "data")
			physicaltest.Restore(t, repo, c, restoring.Options{Dir: to})
			disk, wal := onDisk(t), filepath.Join(to, "pg_wal")
			run := func(args ...string) {
				t.Helper()
				if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
					t.Fatal(err, string(out))
				}
			}
			run("cp", "-a", wal+"/.", disk)
			run("chown", "-R", "--reference="+to, disk)
			if link {
				run("rm", "-r", wal)
				run("ln", "-s", disk, wal)
			} else {
				run("mount", "--bind", disk, wal)
				defer exec.Command("umount", wal).Run()
			}
			segment := filepath.Join(wal, "0000000100000000000000AA")
			if err := os.WriteFile(segment, []byte("never archived"), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second finds what the first has kept
				out := physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Delta: true})
				if len(out.Kept) != 1 || !strings.HasPrefix(out.Kept[0].Where, disk) && !strings.HasPrefix(out.Kept[0].Where, wal+"/") {
					t.Fatalf("kept %v", out.Kept)
				}
			}
			kept, err := filepath.Glob(wal + "/cofre-kept.pg_wal.before-*/" + filepath.Base(segment))
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept %v, %v", kept, err)
			}
			r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
			if got := physicaltest.Query(t, r, "SELECT sum(g) FROM t"); got != "500500" {
				t.Errorf("after the delta: %s", got)
			}
			if err := r.Server.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// onDisk is a small disk of its own, with what mkfs makes.
func onDisk(t *testing.T) string {
	t.Helper()
	at := testkit.Mounted(t, 128<<20, []string{"mkfs.ext4", "-q"}, []string{"mount", "-o", "loop"})
	for dir := at; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) { // for the server's user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// TestInterrupted leaves no backup and no slot on the server, and a restore that can be gone on with.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := physicaltest.Room(t)
	s := testkit.Postgres(t, 0, testkit.Own())
	physicaltest.Pgbench(t, s, "-i", "-q", "-s", "1")
	repo := repositorytest.NewMemory()
	for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
		ctx, cancel := context.WithCancel(t.Context())
		session := &cancelling{after: 100, cancel: cancel, Repository: repo}
		if _, err := physicaltest.TryBackup(t, ctx, session, src, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", method, err)
		}
		testkit.Healthy(t, s)
	}

	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "data")
	ctx, cancel := context.WithCancel(t.Context())
	target := restoring.NewTarget(restoring.Options{Dir: to, KeepPartial: true})
	if _, err := target.Plan(ctx, c, tree); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = target.Stage(ctx, cofre.ObserverFunc(func(cofre.Event) {
		if n++; n == 200 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("stage: %v", err)
	}
	if err := target.Discard(t.Context()); err == nil || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("discard: %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, "global/pg_control")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an interrupted restore could be started: %v", err)
	}
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, VerifyBackup: true})
	r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
	if got := physicaltest.Query(t, r, "SELECT count(*) FROM pgbench_accounts"); got != "100000" {
		t.Errorf("%s rows", got)
	}

	// A restore that fails leaves the directory as it was.
	gone := filepath.Join(dir, "gone")
	target = restoring.NewTarget(restoring.Options{Dir: gone})
	if _, err := target.Plan(t.Context(), c, tree); err != nil {
		t.Fatal(err)
	}
	version, err := tree.Stat(t.Context(), "data/PG_VERSION")
	if err != nil {
		t.Fatal(err)
	}
	repo.Damage(version.Object)
	if err := target.Stage(t.Context(), cofre.Discard); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("stage of a damaged component: %v", err)
	}
	if err := target.Discard(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// cancelling is a repository in which a capture is cancelled after some files.
type cancelling struct {
	cofre.Repository
	after  int64
	cancel context.CancelFunc
	n      atomic.Int64
}

func (c *cancelling) Begin(ctx context.Context, id cofre.SourceID) (cofre.Session, error) {
	s, err := c.Repository.Begin(ctx, id)
	return &cancellingSession{s, c}, err
}

type cancellingSession struct {
	cofre.Session
	c *cancelling
}

func (s *cancellingSession) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if s.c.n.Add(1) == s.c.after {
		s.c.cancel()
	}
	return s.Session.Put(ctx, e, r)
}
