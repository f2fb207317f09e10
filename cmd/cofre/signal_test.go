package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// workplace is a folder with a configuration, a repository and a real database.
type workplace struct {
	dir    string
	server *testkit.Server
	db     string
	env    []string
}

func newInstallation(t *testing.T, opts ...testkit.Option) *workplace {
	t.Helper()
	s := testkit.Postgres(t, 0, opts...)
	i := &workplace{dir: t.TempDir(), server: s, db: s.Database(t)}
	s.Exec(t, i.db, `CREATE TABLE answers (id bigint PRIMARY KEY, body text);
		INSERT INTO answers SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 20000) i;
		CREATE TABLE locked (id int); INSERT INTO locked VALUES (1)`)
	i.write(t, "password", "a long password\n")
	i.write(t, "cofre.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: %q}\nstate_dir: state\n", s.URL(i.db)))
	i.env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(i.dir, "cache"))
	if out, err := i.command("init").CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return i
}

func (i *workplace) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command is cofre as a process of its own: this test binary, under that name.
func (i *workplace) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &exec.Cmd{Path: self, Args: append([]string{"cofre"}, args...), Dir: i.dir, Env: i.env, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
}

func (i *workplace) points(t *testing.T) int {
	t.Helper()
	out, err := i.command("list", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(out, []byte(`"cofre_version"`))
}

// stuck starts a backup that waits for a table which the returned function releases.
func (i *workplace) stuck(t *testing.T) (backup *exec.Cmd, stderr *bytes.Buffer, release func()) {
	t.Helper()
	conn := i.server.Conn(t, i.db)
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	stderr = &bytes.Buffer{}
	backup = i.command("backup", "--lock-timeout", "2m")
	backup.Stderr = stderr
	if err := backup.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the backup waits for the lock", func() bool {
		return i.server.Query(t, "postgres", "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE NOT granted AND datname = '"+i.db+"'") != "0"
	})
	return backup, stderr, func() {
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
}

func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	testkit.AwaitEvery(t, 10*time.Millisecond, what, testkit.Hang, holds)
}

// descendants lists the processes below pid, with their command lines.
func descendants(pid int) map[int]string {
	found := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents := map[int]int{}
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 {
			continue
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parents[id], _ = strconv.Atoi(fields[1])
	}
	for id := range parents {
		for p := parents[id]; p > 1; p = parents[p] {
			if p == pid {
				argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id))
				found[id] = strings.ReplaceAll(string(argv), "\x00", " ")
				break
			}
		}
	}
	return found
}

func alive(pids map[int]string) []string {
	var living []string
	for pid, argv := range pids {
		if now, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.ReplaceAll(string(now), "\x00", " ") == argv && argv != "" {
			living = append(living, argv)
		}
	}
	return living
}

func exitOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

func TestAnInterruptedBackupLeavesNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	backup, stderr, release := i.stuck(t)
	children := descendants(backup.Process.Pid)
	if err := backup.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(backup.Wait()); code != edge.ExitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, edge.ExitInterrupted, stderr)
	}
	if !strings.Contains(stderr.String(), "cofre: interrupted\nhint: no recovery point was made") {
		t.Errorf("said:\n%s", stderr)
	}
	if living := alive(children); len(living) > 0 {
		t.Errorf("children live on: %q", living)
	}
	release()
	if n := i.points(t); n != 0 {
		t.Errorf("%d recovery points", n)
	}
	testkit.Healthy(t, i.server)
}

func TestAKilledBackupLeavesNothingAndTheNextOneWorks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	backup, _, release := i.stuck(t)
	children := descendants(backup.Process.Pid)
	if err := backup.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = backup.Wait() // it was killed
	until(t, "no child lives", func() bool { return len(alive(children)) == 0 })
	release()
	if n := i.points(t); n != 0 {
		t.Errorf("%d recovery points after the kill", n)
	}
	for _, args := range [][]string{{"backup"}, {"verify", "--level", "content"}} {
		if out, err := i.command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%q after the kill: %v\n%s", args, err, out)
		}
	}
	if n := i.points(t); n != 1 {
		t.Errorf("%d recovery points after the next backup", n)
	}
	testkit.Healthy(t, i.server)
}

func TestAServerThatStopsInTheMiddlePublishesNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, testkit.Own())
	backup, stderr, _ := i.stuck(t)
	if err := i.server.Stop(t.Context(), throwaway.Immediate); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(backup.Wait()); code == 0 {
		t.Errorf("exit code 0\n%s", stderr)
	}
	if n := i.points(t); n != 0 {
		t.Errorf("%d recovery points", n)
	}
}
