package cofre

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
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
	ErrAttention   = conditionOf(Say("condition.attention", "not everything is well"))
	ErrUnknown     = conditionOf(Say("condition.unknown", "not everything is known"))
	ErrAtRisk      = conditionOf(Say("condition.at_risk", "at risk"))
	ErrInterrupted = conditionOf(Say("condition.interrupted", "interrupted")) // the cause of a context that a signal ended
)

// ErrDeclined is ErrRefused of a person who was asked to confirm, and did not: nothing failed.
var ErrDeclined = fmt.Errorf("%w", ErrRefused)

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

// HintOf returns the next step that the chain of err carries, or the zero message. The outermost hint of a chain counts. A full disk
// has one that goes without saying.
func HintOf(err error) Message {
	var h *hinted
	switch {
	case errors.As(err, &h):
		return h.hint
	case is(ErrDiskFull, syscall.ENOSPC, syscall.EDQUOT)(err):
		return Say("error.make_room", "free space on the disk that this is about (df -h), then run the same command again")
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
	From, To string // first and last missing segment, by name; if WAL breaks, the segment that it breaks in

	BreaksAt LSN    `json:",omitempty"` // where it breaks: what is needed from here on is not what is there
	Why      string `json:",omitempty"` // what is found there; without BreaksAt, why the segment cannot be read at all
	Said     Teller `json:"-"`          // Why as a message, of a type that can be compared; nil if it has none
	// Refused says that the segment is there, and nobody has signed it who is believed: Why says who has, if anybody.
	Refused bool `json:",omitempty"`
}

// Breaks reports whether the WAL is there and does not go on: everything but a part of one segment can be read.
func (e *GapError) Breaks() bool { return e.BreaksAt != 0 }

// Damaged reports whether the segment is there, and cannot be read.
func (e *GapError) Damaged() bool { return e.Why != "" && e.BreaksAt == 0 && !e.Refused }

// why is what was found, for a person.
func (e *GapError) why() Message {
	if e.Said == nil {
		return Verbatim(e.Why)
	}
	return e.Said.Message()
}

func (e *GapError) Error() string { return e.Message().Text }

// Message is the error for a person.
func (e *GapError) Message() Message {
	switch {
	case e.Refused:
		return Say("gap.refused", "the WAL of timeline {{.timeline}} ends before segment {{.segment}}, which is refused: {{.why}}", "timeline", e.Timeline, "segment", e.From, "why", e.why())
	case e.Damaged():
		return Say("gap.damaged", "gap in the WAL of timeline {{.timeline}}: segment {{.segment}} cannot be read: {{.why}}", "timeline", e.Timeline, "segment", e.From, "why", e.why())
	case e.Why != "":
		return Say("gap.breaks", "the WAL of timeline {{.timeline}} breaks at {{.lsn}}, in segment {{.segment}}: {{.why}}", "timeline", e.Timeline, "lsn", e.BreaksAt, "segment", e.From, "why", e.why())
	case strings.HasSuffix(e.From, ".history"):
		return Say("gap.history", "the history of timeline {{.timeline}} is not archived: {{.file}} is missing, and nothing is recovered along it", "timeline", e.Timeline, "file", e.From)
	case e.From == e.To:
		return Say("gap.segment", "gap in the WAL of timeline {{.timeline}}: segment {{.segment}} is missing", "timeline", e.Timeline, "segment", e.From)
	}
	return Say("gap.segments", "gap in the WAL of timeline {{.timeline}}: segments {{.from}} to {{.to}} are missing", "timeline", e.Timeline, "from", e.From, "to", e.To)
}

// UnreachableError says that a recovery target cannot be reached exactly, and which moments nearest to it can.
type UnreachableError struct {
	Target  Message // the zero one if nothing at all can be recovered
	Why     Message
	Nearest []Message // with the flags to type
}

func (e *UnreachableError) Error() string { return e.Message().Text }

// Message is the error for a person.
func (e *UnreachableError) Message() Message {
	switch {
	case e.Target.IsZero():
		return Say("target.nothing", "nothing can be recovered: {{.why}}", "why", e.Why)
	case len(e.Nearest) == 0:
		return Say("target.unreachable", "recovery target {{.target}} cannot be reached: {{.why}}", "target", e.Target, "why", e.Why)
	}
	return Say("target.nearest", "recovery target {{.target}} cannot be reached: {{.why}} (reachable: {{.nearest}})", "target", e.Target, "why", e.Why, "nearest", List(e.Nearest...))
}

// ToolError says that a program cofre ran did not do what it was run for.
type ToolError struct {
	Program string // base name, with its version if known
	Exit    int    // exit status; -1 when a signal ended it
	Stderr  string // the end of what it said, secrets removed
}

func (e *ToolError) Error() string {
	s := e.Message().Text
	if t := strings.TrimSpace(e.Stderr); t != "" {
		s += ": " + t
	}
	return s
}

// Message is the error for a person, without what the program said.
func (e *ToolError) Message() Message {
	if e.Exit < 0 {
		return Say("tool.signal", "{{.program}} was ended by a signal", "program", e.Program)
	}
	return Say("tool.exit", "{{.program}} exited with status {{.status}}", "program", e.Program, "status", e.Exit)
}

// Retryable reports whether the operation that failed with err may be tried again as it is. It asks the chain
// of err for a method Retryable() bool.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}
