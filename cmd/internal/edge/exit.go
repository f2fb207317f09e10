package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"

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

// errUsage says that the command line itself is wrong.
var errUsage = errors.New("usage")

// exits lists every exit code with the condition behind it and what it means, by ascending code.
var exits = []struct {
	exit int
	code cofre.Code
	help string
}{
	{ExitOK, cofre.CodeOK, "done"},
	{ExitError, cofre.CodeError, "any other error"},
	{ExitUsage, cofre.CodeUsage, "command line or configuration not usable"},
	{ExitPartial, cofre.CodePartial, "published, but known to be incomplete"},
	{ExitNoRepository, cofre.CodeNoRepository, "there is no repository at that address"},
	{ExitLocked, cofre.CodeLocked, "locked by another process"},
	{ExitWrongKey, cofre.CodeWrongKey, "wrong repository password"},
	{ExitUnreachable, cofre.CodeUnreachable, "repository, database or storage unreachable"},
	{ExitNoSpace, cofre.CodeNoSpace, "disk full or read-only, or the output could not be written"},
	{ExitVerification, cofre.CodeFindings, "verification found problems"},
	{ExitTarget, cofre.CodeTarget, "the recovery target cannot be reached exactly"},
	{ExitGap, cofre.CodeGap, "WAL that is needed is missing"},
	{ExitPreflight, cofre.CodePreflight, "restore refused before anything was touched"},
	{ExitUnproven, cofre.CodeUnproven, "the restored copy differs from what was captured; nothing was replaced"},
	{ExitInterrupted, cofre.CodeInterrupted, "interrupted; nothing half done is visible"},
}

// ExitCode is the exit code of an error, and its name in JSON. What fails as restore_command has PostgreSQL's own code.
func ExitCode(err error) (int, cofre.Code) {
	if f, ok := errors.AsType[*fetchFailure](err); ok {
		return f.code, "fetch_failed"
	}
	code := codeOf(err)
	for _, e := range exits {
		if e.code == code {
			return e.exit, code
		}
	}
	return ExitError, cofre.CodeError
}

// codeOf knows two conditions that only a command line has.
func codeOf(err error) cofre.Code {
	code := cofre.CodeOf(err)
	switch {
	case code == cofre.CodeInterrupted:
	case errors.Is(err, errUsage):
		return cofre.CodeUsage
	case errors.Is(err, errOutput):
		return cofre.CodeNoSpace
	}
	return code
}

// exitHelp is what the help says of exit codes, by ascending code.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for _, e := range exits {
		fmt.Fprintf(&b, "  %3d  %s\n", e.exit, e.help)
	}
	return b.String()
}

// Interrupted turns whatever a command returned after a signal into cofre.ErrInterrupted: a child that was ended, or a
// connection that was closed, is the consequence and not the cause. What was left behind stays named.
func Interrupted(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), cofre.ErrInterrupted) {
		return err
	}
	hint := cofre.Hint(err)
	if left := leftBehind(err); left != nil {
		err = fmt.Errorf("%w; left behind: %v", cofre.ErrInterrupted, left)
	} else {
		err = cofre.ErrInterrupted
	}
	if hint == "" {
		return err
	}
	return cofre.WithHint(err, "%s", hint)
}
