package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
)

// serving is an agent in a process of its own.
type serving struct {
	path string // of what it says
	pid  int
	wait func() error
}

func (i *workplace) serve(t *testing.T, args ...string) *serving {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := i.command(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr, cmd.Stdout = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = f.Close() })
	return &serving{path: f.Name(), pid: cmd.Process.Pid, wait: cmd.Wait}
}

// log is what the agent has said so far.
func (s *serving) log() string {
	text, _ := os.ReadFile(s.path)
	return string(text)
}

// until waits for a condition, and fails with what the agent has said if it does not come.
func (s *serving) until(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(s.log())
		}
	}
}

func (i *workplace) text(t *testing.T, args ...string) string {
	t.Helper()
	out, err := i.command(args...).Output()
	if err != nil {
		t.Fatalf("cofre %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// Killed in the middle of a backup of a real database, the agent goes on when it is started again, and repeats nothing that is done.
func TestServeKilledGoesOn(t *testing.T) {
	i := newInstallation(t)
	files := filepath.Join(i.dir, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	i.write(t, "hold", "")
	// What is due on the first of January was missed, and is caught up: the only moment of this year.
	i.write(t, "cofre.yaml", fmt.Sprintf(`name: tl
repository: {url: repo, password: file:password}
database: {url: %q, schedule: "@yearly"}
config: {paths: [files], cofre: false, schedule: "@yearly"}
serve: {expire: never, prune: never, verify: never}
hooks: {before_backup: ["while test -e hold; do sleep 0.05; done"]}
log: {format: json}
state_dir: state
`, i.server.URL(i.db)))
	first := i.serve(t)
	first.until(t, func() bool { return strings.Count(first.log(), `"hook_began"`) == 2 })
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.wait()
	if err := os.Remove(filepath.Join(i.dir, "hold")); err != nil {
		t.Fatal(err)
	}
	if runs := i.text(t, "runs"); strings.Count(runs, "killed") != 2 {
		t.Errorf("%s", runs)
	}
	second := i.serve(t)
	second.until(t, func() bool { return strings.Count(second.log(), `"code":"ok"`) == 2 })
	i.stop(t, second)
	if list := i.text(t, "list"); strings.Count(list, "complete") != 2 {
		t.Errorf("%s", list)
	}
	for line := range strings.Lines(second.log()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("what is no JSON is among the lines of the log: %q", line)
		}
		if strings.Contains(line, "task_") && !strings.Contains(line, `"run":"`) {
			t.Errorf("a line of a run without its id: %s", line)
		}
	}
	// Nothing is due: a third does nothing.
	third := i.serve(t)
	third.until(t, func() bool { return strings.Contains(third.log(), "listening") })
	address := between(third.log(), `"address":"`, `"`)
	third.until(t, func() bool { return get(address, "/readyz") == http.StatusOK })
	i.stop(t, third)
	if strings.Contains(third.log(), "run_began") {
		t.Errorf("it was done again:\n%s", third.log())
	}
	testkit.Healthy(t, i.server, i.db)
}

// stop ends an agent as a service manager does.
func (i *workplace) stop(t *testing.T, s *serving) {
	t.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		t.Errorf("stopped: %v\n%s", err, s.log())
	}
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(text, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}

func get(address, path string) int {
	r, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address + path)
	if err != nil {
		return 0
	}
	_ = r.Body.Close()
	return r.StatusCode
}

// A database that is down stops no other source; a wrong file is refused at SIGHUP, and a right one taken; the service manager is told; what is stopped is
// interrupted in the journal.
func TestServeWithWhatIsWrong(t *testing.T) {
	i := newInstallation(t)
	if err := os.Mkdir(filepath.Join(i.dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `name: tl
repository: {url: repo, password: file:password}
database: {url: "postgres://nobody@127.0.0.1:1/d", schedule: "@yearly"}
config: {paths: [files], cofre: false, schedule: "@yearly"}
serve: {expire: never, prune: never, verify: never}
state_dir: state
`
	i.write(t, "cofre.yaml", text)
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	i.env = append(i.env, "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=1000000")
	s := i.serve(t)
	messages := make(chan string, 10_000)
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := manager.Read(b)
			if err != nil {
				close(messages)
				return
			}
			messages <- string(b[:n])
		}
	}()
	told := func(want string) {
		t.Helper()
		limit := time.After(testkit.Hang)
		for {
			select {
			case m := <-messages:
				if strings.HasPrefix(m, want) {
					return
				}
			case <-limit:
				t.Fatalf("the manager is not told %s\n%s", want, s.log())
			}
		}
	}
	told("READY=1")
	told("WATCHDOG=1")
	s.until(t, func() bool {
		return strings.Contains(s.log(), "code=ok") && strings.Contains(s.log(), "backup database failed")
	})
	if !strings.Contains(i.text(t, "list"), "complete") {
		t.Error("the files were not backed up")
	}
	hangUp := func() {
		if err := syscall.Kill(s.pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		told("RELOADING=1")
		told("READY=1")
	}
	i.write(t, "cofre.yaml", text+"nonsense: true\n")
	hangUp()
	s.until(t, func() bool {
		return strings.Contains(s.log(), "is refused") && strings.Contains(s.log(), "nonsense")
	})
	i.write(t, "cofre.yaml", strings.Replace(text, "postgres://nobody@127.0.0.1:1/d", i.server.URL(i.db), 1)+"hooks: {before_backup: [\"echo secret of a hook; sleep 600\"]}\n")
	hangUp()
	s.until(t, func() bool { return strings.Contains(s.log(), "changed: database.url, hooks.before_backup;") })
	s.until(t, func() bool { return strings.Contains(s.log(), "a hook said: secret of a hook") })
	i.stop(t, s)
	told("STOPPING=1")
	if runs := i.text(t, "runs"); !strings.Contains(runs, "interrupted") {
		t.Errorf("%s\n%s", runs, s.log())
	}
	if strings.Contains(s.log(), "a long password") || strings.Contains(s.log(), "sleep 600") {
		t.Error("a secret is in the log")
	}
}
