package cofre

import (
	"errors"
	"fmt"
	"strings"
)

// Conditions that a caller may ask for with errors.Is, whatever adapter they come from.
var (
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("exists already")
	ErrAmbiguous   = errors.New("ambiguous")
	ErrLocked      = errors.New("locked by another process")
	ErrWrongKey    = errors.New("wrong password or key")
	ErrCorrupt     = errors.New("corrupt")
	ErrNoRepo      = errors.New("no repository here")
	ErrReadOnly    = errors.New("read-only")
	ErrDiskFull    = errors.New("disk full")
	ErrUnreachable = errors.New("unreachable")
	ErrDenied      = errors.New("permission denied")
	ErrConfig      = errors.New("configuration not usable")
	ErrPreflight   = errors.New("not possible as asked")
	ErrUnproven    = errors.New("could not be proven")
	ErrPartial     = errors.New("incomplete")
	ErrRefused     = errors.New("refused")
	ErrFindings    = errors.New("verification found problems")
	ErrInterrupted = errors.New("interrupted") // the cause of a context that a signal ended
)

// hinted carries what to do next beside an error, never inside its text.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint returns err with the next step for the person who reads it. The outermost hint of a chain is shown.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// Hint returns the next step that the chain of err carries, or "".
func Hint(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
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
