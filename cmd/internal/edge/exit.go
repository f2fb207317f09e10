package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
)

// The exit codes. They are API: scripts and CronJobs decide by them. 0 to 130 follow restic where the meaning is
// the same; from 20 they are cofre's own.
const (
	ExitOK           = 0
	ExitError        = 1
	ExitUsage        = 2
	ExitPartial      = 3
	ExitNoRepository = 10
	ExitLocked       = 11
	ExitWrongKey     = 12
	ExitUnreachable  = 13
	ExitNoSpace      = 14
	ExitVerification = 20
	ExitTarget       = 21
	ExitGap          = 22
	ExitPreflight    = 23
	ExitUnproven     = 24
	ExitInterrupted  = 130
)

// ErrFindings says that a verification was carried out and found something.
var ErrFindings = errors.New("verification found problems")

// errUsage says that the command line itself is wrong.
var errUsage = errors.New("usage")

// exits lists every code with what it means, and how an error comes to have it: the first line that fits counts.
var exits = []struct {
	code int
	name string // in JSON
	help string
	fits func(error) bool
}{
	{ExitOK, "ok", "done", func(err error) bool { return err == nil }},
	{ExitInterrupted, "interrupted", "interrupted; nothing half done is visible", is(ErrInterrupted)},
	{ExitUsage, "usage", "command line or configuration not usable", is(errUsage, cofre.ErrConfig)},
	{ExitGap, "gap", "WAL that is needed is missing", as[*cofre.GapError]},
	{ExitTarget, "unreachable_target", "the recovery target cannot be reached exactly", as[*cofre.UnreachableError]},
	{ExitPreflight, "preflight", "restore refused before anything was touched", is(cofre.ErrPreflight)},
	{ExitUnproven, "unproven", "the restored copy differs from what was captured; nothing was replaced", is(cofre.ErrUnproven)},
	{ExitVerification, "verification_failed", "verification found problems", is(ErrFindings)},
	{ExitPartial, "partial", "published, but known to be incomplete", is(cofre.ErrPartial)},
	{ExitNoRepository, "no_repository", "there is no repository at that address", is(cofre.ErrNoRepo)},
	{ExitLocked, "locked", "locked by another process", is(cofre.ErrLocked)},
	{ExitWrongKey, "wrong_key", "wrong repository password", is(cofre.ErrWrongKey)},
	{ExitUnreachable, "unreachable", "repository, database or storage unreachable", is(cofre.ErrUnreachable)},
	{ExitNoSpace, "no_space", "disk full or read-only, or the output could not be written", isNoSpace},
	{ExitError, "error", "any other error", func(error) bool { return true }},
}

func is(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

// isNoSpace also knows what the system, or a program, says of a place outside the repository: files are restored
// and exported to any.
func isNoSpace(err error) bool {
	if tool, ok := errors.AsType[*cofre.ToolError](err); ok && strings.Contains(strings.ToLower(tool.Stderr), syscall.ENOSPC.Error()) {
		return true
	}
	return is(errOutput, cofre.ErrDiskFull, cofre.ErrReadOnly, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS)(err)
}

func as[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

// ExitCode is the code of an error, and its name in JSON. What fails as restore_command has PostgreSQL's own code.
func ExitCode(err error) (int, string) {
	if f, ok := errors.AsType[*fetchFailure](err); ok {
		return f.code, "fetch_failed"
	}
	for _, e := range exits {
		if e.fits(err) {
			return e.code, e.name
		}
	}
	return ExitError, "error"
}

// exitHelp is what the help says of exit codes, by ascending code.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for code := range ExitInterrupted + 1 {
		for _, e := range exits {
			if e.code == code {
				fmt.Fprintf(&b, "  %3d  %s\n", e.code, e.help)
			}
		}
	}
	return b.String()
}

// Interrupted turns whatever a command returned after a signal into ErrInterrupted: a child that was ended, or a
// connection that was closed, is the consequence and not the cause. What was left behind stays named.
func Interrupted(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), ErrInterrupted) {
		return err
	}
	hint := cofre.Hint(err)
	if left := leftBehind(err); left != nil {
		err = fmt.Errorf("%w; left behind: %v", ErrInterrupted, left)
	} else {
		err = ErrInterrupted
	}
	if hint == "" {
		return err
	}
	return cofre.WithHint(err, "%s", hint)
}
