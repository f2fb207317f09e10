package recovering

import (
	"fmt"

	"github.com/trustlayer/cofre"
)

// checkReached compares where a server stands with where the plan ends. fromLog says that reached is the start of the
// last record that was replayed, which is all that the log knows.
//
// Errors: *cofre.UnreachableError with both positions.
func checkReached(o Options, reached cofre.LSN, fromLog, promoted bool) error {
	p := o.Plan
	if p == nil {
		return nil
	}
	want := p.Reach
	if fromLog {
		want = p.Stop
	}
	if reached == want || p.Consistent && (fromLog || reached > want) {
		return nil
	}
	how := "ended at"
	if reached > want {
		how = "went past it, to"
	}
	return notAsPlanned(o, fmt.Sprintf("the plan ends at %s, and the recovery %s %s", want, how, reached), promoted)
}

// notAsPlanned is the error of a recovery that did not end where its plan does.
func notAsPlanned(o Options, why string, promoted bool) error {
	err := error(&cofre.UnreachableError{Target: o.Recovery.String(), Why: why})
	if promoted { // a server that cannot pause, as no snapshot of the primary was whole, goes on by itself
		return cofre.WithHint(err, cofre.Say("recover.promoted_itself", "the server has promoted the copy in {{.dir}} itself, there; it is not what was asked for: find what is wrong with cofre wal status and cofre verify --level content, then restore again with --delta", "dir", o.DataDir))
	}
	return cofre.WithHint(err, cofre.Say("recover.not_promoted", "the copy in {{.dir}} is not promoted; find what is wrong with cofre wal status and cofre verify --level content, then restore again with --delta", "dir", o.DataDir))
}

// endedEarly explains a server that has refused to go on without the rest of the WAL.
func endedEarly(o Options, log string) error {
	if o.Plan == nil {
		return &cofre.UnreachableError{Target: o.Recovery.String(), Why: "the WAL ends before it"}
	}
	reached := "where, the server does not say"
	if lsn := redoDone(log); lsn != 0 {
		reached = "after the record at " + lsn.String()
	}
	return notAsPlanned(o, fmt.Sprintf("the plan stops after the record at %s, and the WAL ended before it, %s", o.Plan.Stop, reached), false)
}
