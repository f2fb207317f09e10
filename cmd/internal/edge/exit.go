package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
)

// The exit codes. They are API: scripts and CronJobs decide by them. 0 to 130 follow restic if the meaning is
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
	ExitAttention    = 25
	ExitUnknown      = 26
	ExitAtRisk       = 27
	ExitInterrupted  = 130
)

// errUsage says that the command line itself is wrong.
var errUsage = errors.New("usage")

// exits lists every exit code with the condition behind it and what it means, by ascending code.
var exits = []struct {
	exit int
	code cofre.Code
	help cofre.Message
}{
	{ExitOK, cofre.CodeOK, cofre.Say("exit.ok", "done")},
	{ExitError, cofre.CodeError, cofre.Say("exit.error", "any other error")},
	{ExitUsage, cofre.CodeUsage, cofre.Say("exit.usage", "command line or configuration not usable")},
	{ExitPartial, cofre.CodePartial, cofre.Say("exit.partial", "published, but known to be incomplete")},
	{ExitNoRepository, cofre.CodeNoRepository, cofre.Say("exit.no_repository", "there is no repository at that address")},
	{ExitLocked, cofre.CodeLocked, cofre.Say("exit.locked", "locked by another process")},
	{ExitWrongKey, cofre.CodeWrongKey, cofre.Say("exit.wrong_key", "wrong repository password")},
	{ExitUnreachable, cofre.CodeUnreachable, cofre.Say("exit.unreachable", "repository, database or storage unreachable")},
	{ExitNoSpace, cofre.CodeNoSpace, cofre.Say("exit.no_space", "disk full or read-only, or the output could not be written")},
	{ExitVerification, cofre.CodeFindings, cofre.Say("exit.verification", "verification found problems")},
	{ExitTarget, cofre.CodeTarget, cofre.Say("exit.target", "the recovery target cannot be reached exactly")},
	{ExitGap, cofre.CodeGap, cofre.Say("exit.gap", "WAL that is needed is missing")},
	{ExitPreflight, cofre.CodePreflight, cofre.Say("exit.preflight", "restore refused before anything was touched")},
	{ExitUnproven, cofre.CodeUnproven, cofre.Say("exit.unproven", "the restored copy differs from what was captured, and was not published")},
	{ExitAttention, cofre.CodeAttention, cofre.Say("exit.attention", "status: something is to be looked at; everything that is promised can be restored")},
	{ExitUnknown, cofre.CodeUnknown, cofre.Say("exit.unknown", "status: something could not be read, so not everything is known")},
	{ExitAtRisk, cofre.CodeAtRisk, cofre.Say("exit.at_risk", "status: something that is promised cannot be restored now, or soon will not be")},
	{ExitInterrupted, cofre.CodeInterrupted, cofre.Say("exit.interrupted", "interrupted; no recovery point is half done")},
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
func exitHelp(say func(cofre.Message) string) string {
	var b strings.Builder
	b.WriteString(say(cofre.Say("exit.title", "Exit codes:")) + "\n")
	for _, e := range exits {
		fmt.Fprintf(&b, "  %3d  %s\n", e.exit, say(e.help))
	}
	return b.String()
}

// Interrupted turns whatever a command returned after a signal into cofre.ErrInterrupted: a child that was ended, or a
// connection that was closed, is the consequence and not the cause. What was left behind stays named.
func Interrupted(ctx context.Context, err error) error {
	if err == nil || !errors.Is(context.Cause(ctx), cofre.ErrInterrupted) {
		return err
	}
	hint := cofre.HintOf(err)
	if left := leftBehind(err); left != nil {
		err = fmt.Errorf("%w; left behind: %v", cofre.ErrInterrupted, left)
	} else {
		err = cofre.ErrInterrupted
	}
	if hint.IsZero() {
		return err
	}
	return cofre.WithHint(err, hint)
}
