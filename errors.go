package cofre

import (
	"errors"
	"fmt"
	"strings"
)

// Conditions that a caller may ask for with errors.Is, whatever adapter they come from.
var (
	ErrNotFound    = conditionOf(Say("condition.not_found", "not found"))
	ErrExists      = conditionOf(Say("condition.exists", "already exists"))
	ErrAmbiguous   = conditionOf(Say("condition.ambiguous", "ambiguous"))
	ErrLocked      = conditionOf(Say("condition.locked", "locked by another process"))
	ErrWrongKey    = conditionOf(Say("condition.wrong_key", "wrong password or key"))
	ErrCorrupt     = conditionOf(Say("condition.corrupt", "corrupt"))
	ErrNoRepo      = conditionOf(Say("condition.no_repository", "no repository here"))
	ErrReadOnly    = conditionOf(Say("condition.read_only", "read-only"))
	ErrDiskFull    = conditionOf(Say("condition.disk_full", "disk full"))
	ErrUnreachable = conditionOf(Say("condition.unreachable", "unreachable"))
	ErrDenied      = conditionOf(Say("condition.denied", "permission denied"))
	ErrConfig      = conditionOf(Say("condition.configuration", "configuration not usable"))
	ErrPreflight   = conditionOf(Say("condition.preflight", "cannot be done as requested"))
	ErrUnproven    = conditionOf(Say("condition.unproven", "could not be proven"))
	ErrPartial     = conditionOf(Say("condition.partial", "incomplete"))
	ErrRefused     = conditionOf(Say("condition.refused", "refused"))
	ErrFindings    = conditionOf(Say("condition.findings", "verification found problems"))
	ErrInterrupted = conditionOf(Say("condition.interrupted", "interrupted")) // the cause of a context that a signal ended
)

// hinted carries what to do next beside an error, never inside its text.
type hinted struct {
	error
	hint Message
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint returns err with the next step for the person who reads it. The outermost hint of a chain is shown. A hint is a
// Message; as a format with its arguments it has no code, and stays English for every reader.
func WithHint[M Message | string](err error, hint M, args ...any) error {
	if err == nil {
		return nil
	}
	switch hint := any(hint).(type) {
	case Message:
		return &hinted{err, hint}
	case string:
		return &hinted{err, Verbatim(fmt.Sprintf(hint, args...))}
	}
	return err
}

// Hint returns the next step that the chain of err carries, in English, or "".
func Hint(err error) string { return HintOf(err).Text }

// HintOf returns the next step that the chain of err carries, or the zero message. The outermost hint of a chain counts.
func HintOf(err error) Message {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return Message{}
}

// OneLine is the text of an error on one line: what a program said on several is separated by semicolons.
func OneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// GapError says that WAL which is needed is not in the repository: segments are missing, or one is there that does not go
// on with what is before it.
type GapError struct {
	Timeline Timeline
	From, To string // first and last missing segment, by name; where WAL breaks, the segment that it breaks in

	BreaksAt LSN    `json:",omitempty"` // where it breaks: what is needed from here on is not what is there
	Why      string `json:",omitempty"` // what is found there
}

func (e *GapError) Error() string {
	if e.Why != "" {
		return fmt.Sprintf("the WAL of timeline %d breaks at %s, in segment %s: %s", e.Timeline, e.BreaksAt, e.From, e.Why)
	}
	if strings.HasSuffix(e.From, ".history") {
		return fmt.Sprintf("the history of timeline %d is not archived: %s is missing, and nothing is recovered along it", e.Timeline, e.From)
	}
	if e.From == e.To {
		return fmt.Sprintf("gap in the WAL of timeline %d: segment %s is missing", e.Timeline, e.From)
	}
	return fmt.Sprintf("gap in the WAL of timeline %d: segments %s to %s are missing", e.Timeline, e.From, e.To)
}

// UnreachableError says that a recovery target cannot be reached exactly, and which moments nearest to it can.
type UnreachableError struct {
	Target  string
	Why     string
	Nearest []string // in words, with times in RFC 3339 or LSNs
}

func (e *UnreachableError) Error() string {
	s := fmt.Sprintf("recovery target %s cannot be reached: %s", e.Target, e.Why)
	if len(e.Nearest) > 0 {
		s += " (reachable: " + strings.Join(e.Nearest, ", ") + ")"
	}
	return s
}

// ToolError says that a program cofre ran did not do what it was run for.
type ToolError struct {
	Program string // base name, with its version where known
	Exit    int    // exit status; -1 when a signal ended it
	Stderr  string // the end of what it said, secrets removed
}

func (e *ToolError) Error() string {
	s := fmt.Sprintf("%s exited with status %d", e.Program, e.Exit)
	if e.Exit < 0 {
		s = e.Program + " was ended by a signal"
	}
	if t := strings.TrimSpace(e.Stderr); t != "" {
		s += ": " + t
	}
	return s
}

// Retryable reports whether the operation that failed with err may be tried again as it is. It asks the chain
// of err for a method Retryable() bool.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}
