// Package ledger_test tries what a recovery is for: clients write a ledger while base backups are taken and WAL is
// archived or streamed, and what comes back at any moment is compared with what pg_waldump, which knows nothing of
// cofre, says was committed up to then.
//
// In CI each test has a short form. COFRE_SOAK=N asks for the long ones, with N restores; COFRE_PG for another major.
package ledger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

var shared struct {
	dir   string
	build func() (string, error)
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cofre-ledger-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared.dir = dir
	shared.build = sync.OnceValues(func() (string, error) {
		program := filepath.Join(dir, "cofre")
		out, err := exec.Command("go", "build", "-o", program, "../../cmd/cofre").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build cofre: %w\n%s", err, out)
		}
		return program, nil
	})
	sweep := sweepAtExit(dir)
	code := m.Run()
	_ = sweep.Close() // it removes dir once nothing runs in it
	os.Exit(code)
}

// sweepAtExit ends every server whose data directory lies below dir, and removes dir, when this process has ended, in
// whatever way: a cluster that is paused at its target outlives the cofre that recovered it, and a killed test cleans
// nothing up.
func sweepAtExit(dir string) io.Closer {
	const script = `cat
		find "$1" -name postmaster.pid 2>/dev/null | while read -r f; do
			pid=$(head -1 "$f") # of a server that was killed it may be somebody else's by now
			[ "$(readlink "/proc/$pid/cwd")" = "$(dirname "$f")" ] && kill -QUIT "$pid"
		done
		for i in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done`
	c := exec.Command("/bin/sh", "-c", script, "sh", dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end, err := c.StdinPipe()
	if err != nil || c.Start() != nil {
		return io.NopCloser(nil)
	}
	return end
}

// machine is a host of its own: a folder in which cofre is configured and runs as the user of the servers.
type machine struct {
	dir     string
	program string
	config  string
	as      *syscall.Credential
}

// newMachine makes the repository. cluster is the section of the configuration.
func newMachine(t testing.TB, url, wal string) *machine {
	t.Helper()
	program, err := shared.build()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dir: dir, program: program, config: filepath.Join(dir, "cofre.yaml")}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
			t.Fatal(err)
		}
		m.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	if err := os.Mkdir(m.path("tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.own(t, m.path("tmp"))
	m.write(t, "password", "a long password\n")
	m.configure(t, url, wal)
	m.must(t, "init")
	return m
}

func (m *machine) configure(t testing.TB, url, wal string) {
	t.Helper()
	m.write(t, "cofre.yaml", fmt.Sprintf(`name: ledger
repository: {url: %q, password: "file:%s/password"}
cluster: {url: %q, wal: %s}
state_dir: %q
`, m.path("repo"), m.dir, url, wal, m.path("state")))
}

func (m *machine) path(names ...string) string {
	return filepath.Join(append([]string{m.dir}, names...)...)
}

func (m *machine) write(t testing.TB, name, text string) {
	t.Helper()
	p := m.path(name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.own(t, p)
}

func (m *machine) own(t testing.TB, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if m.as == nil {
			return
		}
		if err := os.Lchown(p, int(m.as.Uid), int(m.as.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// command is cofre, or another program, as the user of the servers.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "HOME="+m.dir, "XDG_CACHE_HOME="+m.path("cache"), "TMPDIR="+m.path("tmp"), "TZ=UTC", "LC_ALL=C.UTF-8")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.as, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// result is how a cofre ended.
type result struct {
	out, err string
	code     int
}

func (m *machine) run(t testing.TB, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	cmd := m.command(ctx, m.program, append(args, "--config", m.config)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := testkit.Run(cmd)
	r := result{out: out.String(), err: stderr.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatalf("cofre %s: %v\n%s", strings.Join(args, " "), err, r.err)
	}
	return r
}

func (m *machine) must(t testing.TB, args ...string) result {
	t.Helper()
	r := m.run(t, args...)
	if r.code != 0 {
		t.Fatalf("cofre %s exited with %d:\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// running is a cofre that goes on until it is ended.
type running struct {
	cmd  *exec.Cmd
	said *testkit.Output
	done chan struct{}
	err  error
}

func (m *machine) start(t testing.TB, args ...string) *running {
	t.Helper()
	r := &running{cmd: m.command(context.WithoutCancel(t.Context()), m.program, append(args, "--config", m.config)...), said: &testkit.Output{}, done: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr = r.said, r.said
	if err := testkit.Start(r.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		r.err = r.cmd.Wait()
		close(r.done)
	}()
	t.Cleanup(r.kill)
	return r
}

// kill ends it as a power cut would, with what it started.
func (r *running) kill() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	<-r.done
}

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// removeAll removes a directory in which a process that fetches WAL ahead may not have noticed yet that its server ended.
func removeAll(t testing.TB, dir string) {
	t.Helper()
	testkit.Await(t, "remove "+dir, time.Minute, func() bool { return os.RemoveAll(dir) == nil })
}

// number reads a number of the environment, or returns what there is without.
func number(t testing.TB, name string, without int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return without
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, s, err)
	}
	return n
}

func major(t testing.TB) int { return number(t, "COFRE_PG", testkit.DefaultMajor) }

// soak is how many restores the long form does, 0 if it is not asked for.
func soak(t testing.TB) int { return number(t, "COFRE_SOAK", 0) }

// newServer starts a server with segments of 1 MiB that keeps all its WAL for pg_waldump.
func newServer(t testing.TB, conf ...string) *testkit.Server {
	t.Helper()
	return newServerOf(t, "1", conf...)
}

// newServerOf is newServer with segments of so many MiB.
func newServerOf(t testing.TB, segment string, conf ...string) *testkit.Server {
	t.Helper()
	lines := append([]string{
		"wal_level = replica", "synchronous_commit = on", "full_page_writes = on", "wal_keep_size = 8GB", "max_wal_size = 64MB",
		"track_commit_timestamp = on", "max_prepared_transactions = 20", "checkpoint_warning = 0", "wal_log_hints = on",
		"max_wal_senders = 10", "archive_timeout = 0", "wal_compression = on",
	}, conf...)
	return testkit.Postgres(t, major(t), testkit.InitArgs("--wal-segsize="+segment, "--data-checksums"), testkit.Conf(lines...))
}

// archiving makes a server hand its WAL to cofre, by a command that begins with first.
func (m *machine) archiving(t testing.TB, s *testkit.Server, first ...string) {
	t.Helper()
	s.Exec(t, "postgres", fmt.Sprintf("ALTER SYSTEM SET archive_command = '"+strings.Join(first, "")+"%s wal archive --config %s %%p'", m.program, m.config))
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
}

// archived waits until every segment that is complete was handed over.
func archived(t testing.TB, s *testkit.Server) {
	t.Helper()
	testkit.Await(t, "archived", 2*time.Minute, func() bool {
		waiting, err := filepath.Glob(filepath.Join(s.DataDir, "pg_wal", "archive_status", "*.ready"))
		if err != nil {
			t.Fatal(err)
		}
		return len(waiting) == 0
	})
}

// walStatus is what wal status says, as JSON.
type walStatus struct {
	Systems []struct {
		Windows []struct {
			Timeline cofre.Timeline `json:"timeline"`
			From     cofre.LSN      `json:"from"`
			To       cofre.LSN      `json:"to"`
		} `json:"windows"`
		Gaps []struct {
			Timeline cofre.Timeline
			From, To string
			State    string `json:"state"`
			Alarm    bool   `json:"alarm"`
		} `json:"gaps"`
		Segments int `json:"segments"`
	} `json:"systems"`
}

func (m *machine) status(t testing.TB) walStatus {
	t.Helper()
	r := m.run(t, "wal", "status", "--json")
	var s walStatus
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("wal status: %v\n%s%s", err, r.out, r.err)
	}
	return s
}

// reaches is up to where wal status says that a timeline can be recovered.
func (s walStatus) reaches(tli cofre.Timeline) (to cofre.LSN) {
	for _, system := range s.Systems {
		for _, w := range system.Windows {
			if w.Timeline == tli {
				to = max(to, w.To)
			}
		}
	}
	return to
}

// streamed waits until all that a server has written can be recovered from the repository.
func (m *machine) streamed(t testing.TB, s *testkit.Server, tli cofre.Timeline) {
	t.Helper()
	want, err := cofre.ParseLSN(s.Query(t, "postgres", "SELECT pg_current_wal_flush_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	testkit.AwaitEvery(t, time.Second, "streamed to "+want.String(), time.Minute, func() bool { return m.status(t).reaches(tli) >= want })
}

// base is a base backup that can be restored.
type base struct {
	point string
	physical.Summary
}

func (m *machine) bases(t testing.TB) []base {
	t.Helper()
	var list struct {
		Points []struct {
			ID         string
			Components []struct {
				Kind  string
				Facts physical.Summary
			}
		}
	}
	if err := json.Unmarshal([]byte(m.must(t, "list", "--json", "--kind", "cluster").out), &list); err != nil {
		t.Fatal(err)
	}
	var all []base
	for _, p := range list.Points {
		for _, c := range p.Components {
			if c.Kind == "cluster" {
				all = append(all, base{p.ID, c.Facts})
			}
		}
	}
	return all
}

// serve runs a server on a data directory, until the test ends or it is closed.
func serve(t testing.TB, binDir, dir string, args ...string) *testkit.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	s, err := throwaway.Start(ctx, throwaway.Options{BinDir: binDir, DataDir: dir, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &testkit.Server{Server: s}
}
