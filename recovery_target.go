package cofre

import (
	"strconv"
	"time"
)

// RecoveryTarget says until when a cluster is recovered. At most one of At, LSN, XID, Name and Immediate is
// set; none means the end of the WAL.
//
// Source: PostgreSQL, documentation of recovery_target_* (runtime-config-wal, Recovery Target).
type RecoveryTarget struct {
	At        time.Time `json:"at,omitzero"`
	LSN       LSN       `json:"lsn,omitempty"`
	XID       uint64    `json:"xid,omitempty"`
	Name      string    `json:"name,omitempty"`
	Immediate bool      `json:"immediate,omitempty"`

	// Exclusive stops just before the target; PostgreSQL's default is to include it. Applies to At, LSN and XID.
	Exclusive bool `json:"exclusive,omitempty"`
	// Timeline to recover along; 0 takes the newest that the base backup leads to.
	Timeline Timeline `json:"timeline,omitempty"`
}

// Check says what is wrong with a target that a person chose.
//
// Errors: ones for that person: more than one target, exclusion of a target that has no moment before it.
func (t RecoveryTarget) Check() error {
	given := 0
	for _, set := range []bool{!t.At.IsZero(), t.LSN != 0, t.XID != 0, t.Name != "", t.Immediate} {
		if set {
			given++
		}
	}
	if given > 1 {
		return WithHint(Fail(Say("target.several", "more than one recovery target")), Say("target.one", "give one of --at, --lsn, --xid, --name and --immediate"))
	}
	if t.Exclusive && t.At.IsZero() && t.LSN == 0 && t.XID == 0 {
		return Fail(Say("usage.exclusive", "--exclusive applies to --at, --lsn and --xid"))
	}
	return nil
}

// String says the target in English.
func (t RecoveryTarget) String() string { return t.Message().Text }

// Message says the target in words.
func (t RecoveryTarget) Message() Message {
	m := Say("target.end_of_wal", "the end of the WAL")
	switch {
	case !t.At.IsZero():
		m = Say("target.time", "time {{.at}}", "at", t.At.UTC().Format(time.RFC3339Nano))
	case t.LSN != 0:
		m = Say("target.lsn", "LSN {{.lsn}}", "lsn", t.LSN)
	case t.XID != 0:
		m = Say("target.transaction", "transaction {{.xid}}", "xid", strconv.FormatUint(t.XID, 10))
	case t.Name != "":
		m = Say("target.restore_point", `restore point "{{.name}}"`, "name", t.Name)
	case t.Immediate:
		m = Say("target.end_of_base_backup", "the end of the base backup")
	}
	if t.Exclusive {
		m = Say("target.exclusive", "{{.target}} (exclusive)", "target", m)
	}
	return m
}
