package cofre

import (
	"fmt"
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

// String says the target in words.
func (t RecoveryTarget) String() string {
	s := "the end of the WAL"
	switch {
	case !t.At.IsZero():
		s = "time " + t.At.UTC().Format(time.RFC3339Nano)
	case t.LSN != 0:
		s = "LSN " + t.LSN.String()
	case t.XID != 0:
		s = fmt.Sprintf("transaction %d", t.XID)
	case t.Name != "":
		s = fmt.Sprintf("restore point %q", t.Name)
	case t.Immediate:
		s = "the end of the base backup"
	}
	if t.Exclusive {
		s += " (exclusive)"
	}
	return s
}
