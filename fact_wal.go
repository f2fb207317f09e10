package cofre

import "time"

// WALArchived says that a file of pg_wal is durable where it belongs: what archive_command handed over in the repository and every copy,
// what was streamed in the one repository that is named.
type WALArchived struct {
	System SystemID `json:"system_identifier"`
	File   string   `json:"file"`
	// Repository is the address of the one that has it; empty if the repository and every copy have it.
	Repository string `json:"repository,omitempty"`
	// Stored is in how many repositories it is new: 0 if all had it, byte for byte, or it was archived ahead.
	Stored int `json:"stored"`
	Ahead  int `json:"ahead,omitempty"` // how many further files are archived by now
}

// WALLag says how far a repository, or the archiving of the server, is behind. It is told when that begins, once a minute while it lasts, and when it
// has ended: everything is 0 then.
type WALLag struct {
	Repository string   `json:"repository,omitempty"` // its address; empty if it is the server that waits for archive_command
	System     SystemID `json:"system_identifier,omitempty"`
	Received   LSN      `json:"received_lsn,omitempty"` // up to where this host has it
	Stored     LSN      `json:"stored_lsn,omitempty"`   // up to where the repository has it
	Bytes      int64    `json:"bytes,omitempty"`        // that wait on this host
	Files      int      `json:"files,omitempty"`        // that wait on the server
	// Since is when the first of it began to wait; zero if that is not known, or nothing waits.
	Since time.Time `json:"since,omitzero"`
}

// WALExpiry is what of one system's WAL nothing kept and nothing promised needs in one repository.
type WALExpiry struct {
	System     SystemID  `json:"system_identifier"`
	Repository string    `json:"repository"`     // its address
	Since      time.Time `json:"promised_since"` // where the window begins that the configuration promises
	Segments   int       `json:"segments"`
	Objects    int       `json:"objects"`
	First      string    `json:"first,omitempty"` // of the segments, by name
	Last       string    `json:"last,omitempty"`
}

// WALExpiryDecided says what may go. Nothing is removed yet.
type WALExpiryDecided struct{ WALExpiry }

// WALExpired says what was removed.
type WALExpired struct{ WALExpiry }

// GapFound is WAL that is missing, damaged, or does not go on: no recovery gets past it.
type GapFound struct {
	System   SystemID `json:"system_identifier"`
	Timeline Timeline `json:"timeline"`
	From     string   `json:"from"` // first and last segment, by name
	To       string   `json:"to"`
	BreaksAt LSN      `json:"breaks_at,omitempty"` // the segment is there, and its records end here
	Why      string   `json:"why,omitempty"`
	State    string   `json:"state"` // open, acknowledged or superseded
	Alarm    bool     `json:"alarm"` // the present cannot be recovered because of it, and nobody acknowledged it
}

// GapAcknowledged says that a person knows of a gap, so that it alarms no more.
type GapAcknowledged struct {
	System   SystemID `json:"system_identifier"`
	Timeline Timeline `json:"timeline"`
	From     string   `json:"from"`
	To       string   `json:"to"`
	By       string   `json:"by"`
	Why      string   `json:"why"`
}

// OriginChange is in which way a repository believes others than before of those that archive.
type OriginChange string

// The changes.
const (
	OriginAdmitted OriginChange = "admitted" // a key is believed
	OriginRevoked  OriginChange = "revoked"  // what a key signs from now on is not
	OriginRequired OriginChange = "required" // nothing is believed any more but what an admitted key has signed
)

// WALOriginChanged says that somebody who has the password changed whom a repository believes of those that archive.
type WALOriginChanged struct {
	System     SystemID     `json:"system_identifier"`
	Repository string       `json:"repository"` // its address
	Change     OriginChange `json:"change"`
	Key        string       `json:"fingerprint,omitempty"` // of the key; empty if it is of none
	Host       string       `json:"host,omitempty"`        // whose key it is, as that says
	By         string       `json:"by"`
	Own        bool         `json:"own,omitempty"` // it is of the host itself, admitted by its backup of the cluster
	Name       string       `json:"-"`             // of the record, among those of the system
	Record     []byte       `json:"-"`             // as the repository holds it, for the journal to keep
}

// WALReadBack says that a mark went all the way: the server wrote it, its segment was archived, and it was read back.
type WALReadBack struct {
	System     SystemID      `json:"system_identifier"`
	Segment    string        `json:"segment"`
	LSN        LSN           `json:"lsn"`        // of the mark
	Repository string        `json:"repository"` // its address
	Took       time.Duration `json:"took_ns"`    // from the end of the segment until it was there
}

// EventType names the fact.
func (WALArchived) EventType() EventType      { return "wal_archived" }
func (WALLag) EventType() EventType           { return "wal_lag" }
func (WALExpiryDecided) EventType() EventType { return "wal_expiry_decided" }
func (WALExpired) EventType() EventType       { return "wal_expired" }
func (GapFound) EventType() EventType         { return "gap_found" }
func (GapAcknowledged) EventType() EventType  { return "gap_acknowledged" }
func (WALOriginChanged) EventType() EventType { return "wal_origin_changed" }
func (WALReadBack) EventType() EventType      { return "wal_read_back" }
