package cofre

import (
	"encoding/json"
	"time"
)

// ExpiryDecided says which components of one source may go, of how many. Nothing has gone yet.
type ExpiryDecided struct {
	Expiring []ExpiringComponent `json:"expiring"`
	Kept     int                 `json:"kept"`
}

// ExpiringComponent is a component that no rule keeps.
type ExpiringComponent struct {
	Point    PointID  `json:"point"`
	Messages Messages `json:"reasons"`
}

// ExpiryBegun says what is about to leave the catalog. Unless the run fails, it has left it, whatever becomes of the run.
type ExpiryBegun struct {
	Points []ExpiringPoint `json:"points"`
}

// ExpiringPoint is a recovery point of which components go, or all of it.
type ExpiringPoint struct {
	Point PointID `json:"point"`
	Whole bool    `json:"whole,omitempty"` // nothing of it stays
}

// PointFound says that the catalog has a recovery point that the journal did not know: a run ended between the two, or was of a version that knows
// of no journal.
type PointFound struct {
	Point RecoveryPoint `json:"point"`
}

// JournalDamageAcknowledged says that a person knows that an object of the journal is damaged for good.
type JournalDamageAcknowledged struct {
	Object string `json:"object"`
	Found  string `json:"found"` // the code of what was found
	By     string `json:"by"`
	Why    string `json:"why"`
}

// PolicySigned says that a person has signed the backup policy.
type PolicySigned struct {
	Number int             `json:"number"`
	Digest string          `json:"digest"`
	Terms  json.RawMessage `json:"terms"` // policy.Terms
	By     string          `json:"by"`
	Note   string          `json:"note,omitempty"`
}

// LossAcknowledged says that a person knows that a recovery point is lost.
type LossAcknowledged struct {
	By  string `json:"by"`
	Why string `json:"why"`
}

// TimeDisbelieved says that a person does not believe the time of a recovery point, which a wrong clock has made, and which it is taken to be of.
type TimeDisbelieved struct {
	Said  time.Time `json:"said"`
	Taken time.Time `json:"taken"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
}

// PointExpired says that components of a recovery point left the catalog, or all of it. Their bytes stay until they are pruned.
type PointExpired struct {
	Point      PointID            `json:"point"`
	Whole      bool               `json:"whole"` // nothing of the point is left
	Components []ExpiredComponent `json:"components"`
	Messages   Messages           `json:"reasons"` // of each component
	// Late says that another run took it out, and ended before it could say so.
	Late bool `json:"late,omitempty"`
	// Left is the point as it is now, unless Whole.
	Left RecoveryPoint `json:"-"`
}

// EventType names the fact.
func (ExpiryDecided) EventType() EventType    { return "expiry_decided" }
func (ExpiryBegun) EventType() EventType      { return "expiry_begun" }
func (PointExpired) EventType() EventType     { return "point_expired" }
func (PointFound) EventType() EventType       { return "point_found" }
func (LossAcknowledged) EventType() EventType { return "loss_acknowledged" }

// EventType is "policy_signed".
func (PolicySigned) EventType() EventType { return "policy_signed" }

// EventType is "time_disbelieved".
func (TimeDisbelieved) EventType() EventType { return "time_disbelieved" }

// EventType is "journal_damage_acknowledged".
func (JournalDamageAcknowledged) EventType() EventType { return "journal_damage_acknowledged" }
