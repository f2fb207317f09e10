package recovering

import (
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
	why := cofre.Say("recover.ended_at", "the plan ends at {{.want}}, and the recovery ended at {{.reached}}", "want", want, "reached", reached)
	if reached > want {
		why = cofre.Say("recover.went_past", "the plan ends at {{.want}}, and the recovery went past it, to {{.reached}}", "want", want, "reached", reached)
	}
	return notAsPlanned(o, why, promoted)
}

// notAsPlanned is the error of a recovery that did not end where its plan does.
func notAsPlanned(o Options, why cofre.Message, promoted bool) error {
	err := error(&cofre.UnreachableError{Target: o.Recovery.Message(), Why: why})
	if promoted { // a server that cannot pause, as no snapshot of the primary was whole, goes on by itself
		return cofre.WithHint(err, cofre.Say("recover.promoted_itself", "the server has promoted the copy in {{.dir}} itself, there; it is not what was asked for: find what is wrong with cofre wal status and cofre verify --level content, then restore again with --delta", "dir", o.DataDir))
	}
	return cofre.WithHint(err, cofre.Say("recover.not_promoted", "the copy in {{.dir}} is not promoted; find what is wrong with cofre wal status and cofre verify --level content, then restore again with --delta", "dir", o.DataDir))
}

// endedEarly explains a server that has refused to go on without the rest of the WAL.
func endedEarly(o Options, log string) error {
	if o.Plan == nil {
		return &cofre.UnreachableError{Target: o.Recovery.Message(), Why: cofre.Say("recover.wal_ends_before", "the WAL ends before it")}
	}
	why := cofre.Say("recover.wal_ended_somewhere", "the plan stops after the record at {{.want}}, and the WAL ended before it; the server does not say at which record", "want", o.Plan.Stop)
	if lsn := redoDone(log); lsn != 0 {
		why = cofre.Say("recover.wal_ended_after", "the plan stops after the record at {{.want}}, and the WAL ended before it, after the record at {{.reached}}", "want", o.Plan.Stop, "reached", lsn)
	}
	return notAsPlanned(o, why, false)
}
