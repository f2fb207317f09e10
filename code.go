package cofre

import (
	"errors"
	"strings"
	"syscall"
)

// Code names the condition of an error for programs: the same word stands in JSON, in events and behind an exit code.
// Codes are API, and never change their meaning.
type Code string

// The codes.
const (
	CodeOK           Code = "ok"
	CodeInterrupted  Code = "interrupted"
	CodeAttention    Code = "attention" // of a status: something is to be looked at
	CodeUnknown      Code = "unknown"   // something could not be read
	CodeAtRisk       Code = "at_risk"   // something that is promised cannot be restored
	CodeDeclined     Code = "declined"  // of a run: somebody was asked, and did not confirm; as the result of a command it is CodeError
	CodeKilled       Code = "killed"    // of a run whose process ended without a word; no error has it
	CodeUsage        Code = "usage"     // the command line, or the configuration
	CodeGap          Code = "gap"
	CodeTarget       Code = "unreachable_target"
	CodePreflight    Code = "preflight"
	CodeUnproven     Code = "unproven"
	CodeFindings     Code = "verification_failed"
	CodePartial      Code = "partial"
	CodeNoRepository Code = "no_repository"
	CodeLocked       Code = "locked"
	CodeWrongKey     Code = "wrong_key"
	CodeUnreachable  Code = "unreachable"
	CodeNoSpace      Code = "no_space"
	CodeError        Code = "error" // any other
)

// codes says which errors have a code: the first that fits counts, so that what was not cleaned up, or what was found
// beside it, does not hide why a run failed.
var codes = []struct {
	code Code
	fits func(error) bool
}{
	{CodeInterrupted, is(ErrInterrupted)},
	{CodeDeclined, is(ErrDeclined)},
	{CodeUsage, is(ErrConfig)},
	{CodeAtRisk, is(ErrAtRisk)},
	{CodeUnknown, is(ErrUnknown)},
	{CodeAttention, is(ErrAttention)},
	{CodeGap, as[*GapError]},
	{CodeTarget, as[*UnreachableError]},
	{CodePreflight, is(ErrPreflight)},
	{CodeUnproven, is(ErrUnproven)},
	{CodeFindings, is(ErrFindings)},
	{CodePartial, is(ErrPartial)},
	{CodeNoRepository, is(ErrNoRepo)},
	{CodeLocked, is(ErrLocked)},
	{CodeWrongKey, is(ErrWrongKey)},
	{CodeUnreachable, is(ErrUnreachable)},
	{CodeNoSpace, isNoSpace},
}

// CodeOf returns the code of an error; CodeOK for nil.
func CodeOf(err error) Code {
	if err == nil {
		return CodeOK
	}
	for _, c := range codes {
		if c.fits(err) {
			return c.code
		}
	}
	return CodeError
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

func as[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// isNoSpace also knows what the system, or a program, says of a place outside the repository: files are restored
// and exported to any.
func isNoSpace(err error) bool {
	if tool, ok := errors.AsType[*ToolError](err); ok && strings.Contains(strings.ToLower(tool.Stderr), syscall.ENOSPC.Error()) {
		return true
	}
	return is(ErrDiskFull, ErrReadOnly, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS)(err)
}
