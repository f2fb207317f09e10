package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

func sh(script string) process.Command {
	return process.Command{Path: "/bin/sh", Args: []string{"-c", script}, Name: "sh", Env: process.BaseEnv()}
}

func TestFailureIsAToolError(t *testing.T) {
	c := sh(`echo "password is $PASS" >&2; exit 7`)
	c.Env = append(c.Env, "PASS=hunter2")
	c.Secrets = []secret.Value{secret.New("hunter2")}
	err := process.Run(t.Context(), c)
	var tool *cofre.ToolError
	if !errors.As(err, &tool) || tool.Exit != 7 || tool.Program != "sh" {
		t.Fatalf("got %v", err)
	}
	if tool.Stderr != "password is [redacted]\n" {
		t.Errorf("stderr %q", tool.Stderr)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("COFRE_TEST_LEAK", "leaked")
	out, err := process.Output(t.Context(), process.Command{Path: "/usr/bin/env"})
	if err != nil || len(out) != 0 {
		t.Errorf("an empty environment held %q (%v)", out, err)
	}
}

func TestMissingProgram(t *testing.T) {
	err := process.Run(t.Context(), process.Command{Path: "/nowhere/pg_dump"})
	if !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestStderrTailIsBounded(t *testing.T) {
	err := process.Run(t.Context(), sh(`i=0; while [ $i -lt 5000 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 1`))
	var tool *cofre.ToolError
	if !errors.As(err, &tool) {
		t.Fatal(err)
	}
	if len(tool.Stderr) > 9<<10 || !strings.HasSuffix(tool.Stderr, "line 4999\n") || !strings.HasPrefix(tool.Stderr, "…\nline ") {
		t.Errorf("tail of %d bytes: %.40q", len(tool.Stderr), tool.Stderr)
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	// The shell ignores SIGTERM and so does its child: only SIGKILL of the group ends them.
	c := sh(`trap '' TERM; sh -c "trap '' TERM; sleep 1000 & echo \$!; wait" & wait`)
	c.PipeStdout, c.Grace = true, 50*time.Millisecond
	p, err := process.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stdout.Close()
	var b [32]byte
	n, err := p.Stdout.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(string(bytes.TrimSpace(b[:n])))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	waitGone(t, grandchild)
}

// TestKilledParentTakesItsChildAlong runs this test binary again as the parent, kills it, and looks for the child.
func TestKilledParentTakesItsChildAlong(t *testing.T) {
	if os.Getenv("COFRE_PROCESS_PARENT") != "" {
		p, err := process.Start(t.Context(), sh("echo up; sleep 1000"))
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("pid " + strconv.Itoa(p.PID()) + "\n")
		_ = p.Wait()
		return
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestKilledParentTakesItsChildAlong$")
	parent.Env = append(os.Environ(), "COFRE_PROCESS_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var b [64]byte
	n, err := out.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(b[:n]), "pid ")))
	if err != nil {
		t.Fatalf("%q: %v", b[:n], err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitGone(t, child)
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	testkit.AwaitEvery(t, 5*time.Millisecond, fmt.Sprintf("the end of process %d", pid), 10*time.Second, func() bool { return !alive(pid) })
}

// alive does not count a zombie that nobody has reaped yet.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
