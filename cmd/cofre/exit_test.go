package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/restore"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{cofre.ErrRefused, 1},
		{&usage{errors.New("x")}, 2},
		{fmt.Errorf("a: %w", cofre.ErrConfig), 2},
		{cofre.ErrPartial, 3},
		{cofre.ErrNoRepo, 10},
		{cofre.ErrLocked, 11},
		{cofre.ErrWrongKey, 12},
		{cofre.ErrUnreachable, 13},
		{cofre.ErrDiskFull, 14},
		{cofre.ErrReadOnly, 14},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 14},
		{&cofre.ToolError{Stderr: "pg_restore: error: could not write to output file: No space left on device"}, 14},
		{errFindings, 20},
		{fmt.Errorf("a: %w", &cofre.UnreachableError{}), 21},
		{fmt.Errorf("a: %w", &cofre.GapError{}), 22},
		{cofre.ErrPreflight, 23},
		{cofre.ErrUnproven, 24},
		{errInterrupted, 130},
		// What could not be cleaned up does not hide why there was something to clean up.
		{&restore.LeftError{Reason: cofre.ErrUnproven, Left: cofre.ErrUnreachable}, 24},
		{cofre.WithHint(cofre.ErrWrongKey, "x"), 12},
	} {
		if code, _ := exitCode(c.err); code != c.code {
			t.Errorf("%v: code %d, want %d", c.err, code, c.code)
		}
	}
}

func TestEveryHelpListsTheExitCodes(t *testing.T) {
	visit := func(args []string) {
		var out bytes.Buffer
		if code := run(t.Context(), append(args, "--help"), stdio{In: strings.NewReader(""), Out: &out, Err: &out}, func(string) string { return "" }); code != 0 {
			t.Errorf("%q: help exits with %d", args, code)
		}
		for _, e := range exits {
			if line := fmt.Sprintf("%3d  %s", e.code, e.help); !strings.Contains(out.String(), line) {
				t.Errorf("help of %q lacks %q", args, line)
			}
		}
	}
	for _, cmd := range commands(&app{}) {
		visit([]string{cmd.Name()})
		for _, sub := range cmd.Commands() {
			visit([]string{cmd.Name(), sub.Name()})
		}
	}
}

func TestAnInterruptionIsTheCauseOfWhatFollowsIt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := cofre.WithHint(&cofre.ToolError{Program: "pg_dump", Exit: -1}, "run it again")
	if got := interrupted(ctx, ended); got != ended {
		t.Errorf("before: %v", got)
	}
	cancel(errInterrupted)
	got := interrupted(ctx, ended)
	if code, _ := exitCode(got); code != exitInterrupted || got.Error() != "interrupted" || cofre.Hint(got) != "run it again" {
		t.Errorf("after: %v, hint %q", got, cofre.Hint(got))
	}
	got = interrupted(ctx, &restore.LeftError{Reason: ended, Left: errors.New("database app_restore")})
	if got.Error() != "interrupted; left behind: database app_restore" {
		t.Errorf("after, with something left: %v", got)
	}
	if interrupted(ctx, nil) != nil {
		t.Error("a command that succeeded in spite of the signal has succeeded")
	}
}

func TestAnErrorIsOneLine(t *testing.T) {
	err := errors.Join(errors.New("first\n  second\n"), errors.New("third"))
	if got := oneLine(err); got != "first; second; third" {
		t.Error(got)
	}
}
