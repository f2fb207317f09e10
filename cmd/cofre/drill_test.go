package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
)

// Whenever a drill is killed, the next one, or drill clean, leaves nothing of it: no folder, no record, and no process.
func TestNothingIsLeftOfADrillThatWasKilled(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	rooms := roomsOfDrills(t)
	i.write(t, "cofre.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: %q}\nstate_dir: state\ndrill: {directory: %s, checks: [{name: slow, sql: SELECT pg_sleep(600) IS NULL, timeout: 1h}]}\n", i.server.URL(i.db), rooms))
	if out, err := i.command("backup").CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	killedAt(t, i, rooms, "database", `"run_began"`, `"task_began".*start PostgreSQL`, `"task_ended".*start PostgreSQL`, `"task_began".*restore pre-data`, `"task_began".*load rows`, `"restore_staged"`, `"task_began".*ask the restored`)
}

// The same of a cluster, whose server recovers first, and starts again to be looked at.
func TestNothingIsLeftOfADrillOfAClusterThatWasKilled(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, testkit.InitArgs("--data-checksums"))
	rooms := roomsOfDrills(t)
	i.write(t, "cofre.yaml", fmt.Sprintf("name: tl\nrepository: {url: repo, password: file:password}\ncluster: {url: %q}\nstate_dir: state\ndrill: {directory: %s, checks: [{name: slow, sql: SELECT pg_sleep(600) IS NULL, timeout: 1h}]}\n", i.server.URL(i.db), rooms))
	if out, err := i.command("backup", "cluster").CombinedOutput(); err != nil {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	killedAt(t, i, rooms, "cluster", `"run_began"`, `"task_began".*"restore files"`, `"restore_staged"`, `"task_began".*"recover`, `"task_ended".*"recover`, `"task_began".*read every page`, `"task_began".*every table and index`, `"task_began".*ask the restored`)
}

// roomsOfDrills is a folder for them, where the user of the server comes to.
func roomsOfDrills(t *testing.T) string {
	t.Helper()
	rooms, err := os.MkdirTemp("/var/tmp", "drills-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(rooms) })
	if err := os.Chmod(rooms, 0o755); err != nil {
		t.Fatal(err)
	}
	return rooms
}

// killedAt kills a drill at each of some steps, and looks for what clean leaves of it.
func killedAt(t *testing.T, i *workplace, rooms, what string, steps ...string) {
	t.Helper()
	for n, step := range steps {
		events := filepath.Join(i.dir, fmt.Sprintf("events-%d", n))
		c := i.command("drill", what, "--events", events)
		var said bytes.Buffer
		c.Stdout, c.Stderr = &said, &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		first, last, _ := strings.Cut(step, ".*")
	waiting:
		for deadline := time.After(2 * time.Minute); ; {
			b, _ := os.ReadFile(events)
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, first) && strings.Contains(line, last) {
					break waiting
				}
			}
			select {
			case err := <-ended:
				t.Fatalf("%s: it ended before: %v\n%s", step, err, said.String())
			case <-deadline:
				t.Fatalf("%s: it did not come to that\n%s", step, said.String())
			case <-time.After(time.Millisecond):
			}
		}
		_ = syscall.Kill(c.Process.Pid, syscall.SIGKILL)
		<-ended
		if out, err := i.command("drill", "clean").CombinedOutput(); err != nil {
			t.Errorf("%s: drill clean: %v\n%s", step, err, out)
		}
		left, _ := filepath.Glob(rooms + "/*")
		records, _ := filepath.Glob(i.dir + "/state/drills/*")
		if left = append(left, records...); len(left) > 0 {
			t.Errorf("%s: left: %v", step, left)
		}
		if running := workingIn(rooms); len(running) > 0 {
			t.Errorf("%s: these still run: %v", step, running)
		}
	}
}

// workingIn are the processes whose working directory is below a folder, also if that is gone.
func workingIn(folder string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, p := range all {
		if to, err := os.Readlink(p); err == nil && strings.HasPrefix(to, folder) {
			found = append(found, p+" "+to)
		}
	}
	return found
}
