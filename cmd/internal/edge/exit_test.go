package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
		{Usage(errors.New("x")), 2},
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
		{cofre.ErrFindings, 20},
		{fmt.Errorf("a: %w", &cofre.UnreachableError{}), 21},
		{fmt.Errorf("a: %w", &cofre.GapError{}), 22},
		{cofre.ErrPreflight, 23},
		{cofre.ErrUnproven, 24},
		{cofre.ErrInterrupted, 130},
		// What could not be cleaned up does not hide why there was something to clean up.
		{&restore.LeftError{Reason: cofre.ErrUnproven, Left: cofre.ErrUnreachable}, 24},
		{cofre.WithHint(cofre.ErrWrongKey, "x"), 12},
	} {
		if code, _ := ExitCode(c.err); code != c.code {
			t.Errorf("%v: code %d, want %d", c.err, code, c.code)
		}
	}
}

func TestAnInterruptionIsTheCauseOfWhatFollowsIt(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := cofre.WithHint(&cofre.ToolError{Program: "pg_dump", Exit: -1}, "run it again")
	if got := Interrupted(ctx, ended); got != ended {
		t.Errorf("before: %v", got)
	}
	cancel(cofre.ErrInterrupted)
	got := Interrupted(ctx, ended)
	if code, _ := ExitCode(got); code != ExitInterrupted || got.Error() != "interrupted" || cofre.Hint(got) != "run it again" {
		t.Errorf("after: %v, hint %q", got, cofre.Hint(got))
	}
	got = Interrupted(ctx, &restore.LeftError{Reason: ended, Left: errors.New("database app_restore")})
	if got.Error() != "interrupted; left behind: database app_restore" {
		t.Errorf("after, with something left: %v", got)
	}
	if Interrupted(ctx, nil) != nil {
		t.Error("a command that succeeded in spite of the signal has succeeded")
	}
}

func TestAnErrorIsOneLine(t *testing.T) {
	err := errors.Join(errors.New("first\n  second\n"), errors.New("third"))
	if got := cofre.OneLine(err); got != "first; second; third" {
		t.Error(got)
	}
}
