package journal

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
)

// StatementType is that of an in-toto statement, version 1.
const StatementType = "https://in-toto.io/Statement/v1"

// predicates is where our predicates are documented; the type of an entry's predicate is this and its Event, and /v1.
const predicates = "https://cofre.dev/journal/"

// Event says what happened.
type Event string

// The events.
const (
	EventPublished    Event = "point-published"
	EventFound        Event = "point-found" // published by a run that ended before it said so
	EventFailed       Event = "run-failed"
	EventVerified     Event = "verified"
	EventExpiring     Event = "expiry-begun"
	EventExpired      Event = "expired"
	EventHeld         Event = "held"
	EventReleased     Event = "hold-released"
	EventPruned       Event = "pruned"
	EventSealed       Event = "sealed" // the repository, under its password
	EventRestored     Event = "restored"
	EventDrilled      Event = "drilled"
	EventKey          Event = "key-changed"
	EventConfigured   Event = "configuration-changed"
	EventGap          Event = "gap-found"
	EventAcknowledged Event = "gap-acknowledged"
	EventOrigin       Event = "origin-changed"      // of WAL: whose is believed
	EventLoss         Event = "loss-acknowledged"   // of a recovery point
	EventTime         Event = "time-disbelieved"    // of a recovery point
	EventDamage       Event = "damage-acknowledged" // of the journal itself
	EventAdopted      Event = "adopted"
	EventExported     Event = "exported"
	EventSignedOff    Event = "signed-off"
)

// Entry is one thing that happened, as it is stored.
type Entry struct {
	Type      string    `json:"_type"`
	Subject   []Subject `json:"subject"`
	Predicate string    `json:"predicateType"`
	Body      Body      `json:"predicate"`
}

// Subject is what an entry is about: a recovery point, a report. Its digest is of the exact bytes that it names.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // sha256: hex
}

// Body is the predicate.
type Body struct {
	Event        Event         `json:"event"`
	At           time.Time     `json:"at"` // by the clock of the host
	Installation string        `json:"installation"`
	Host         string        `json:"host"`
	User         string        `json:"user"`
	Version      string        `json:"cofre_version"`
	Run          cofre.RunID   `json:"run,omitempty"`
	Point        cofre.PointID `json:"point,omitempty"`
	Code         cofre.Code    `json:"code,omitempty"` // of a run that failed
	Lease        *Fence        `json:"lease,omitempty"`
	// Configuration is the SHA-256 of the one with which it was done.
	Configuration string          `json:"configuration_sha256,omitempty"`
	Facts         json.RawMessage `json:"facts,omitempty"` // of the event; no names of content
	// Sealed names an encrypted object with what is not for everybody's eyes, by the SHA-256 of its stored bytes.
	Sealed string `json:"sealed,omitempty"`
	// Log is the SHA-256 of the log of the run, if the entry is the last of it: an encrypted object that says step by step what the run did.
	Log string `json:"log_sha256,omitempty"`
	// Nonce tells two entries that say the same apart, and a writer whose answer was lost its own entry.
	Nonce string `json:"nonce"`
}

// Fence is the lease under which something was done.
type Fence struct {
	Name       string `json:"name"`
	Generation int64  `json:"generation"`
}

// New makes an entry of what happened.
func New(b Body, about ...Subject) Entry {
	b.At = b.At.UTC()
	b.Nonce = rand.Text()
	if about == nil {
		about = []Subject{}
	}
	return Entry{StatementType, about, predicates + string(b.Event) + "/v1", b}
}

// parse reads an entry. What a later version adds is passed over.
//
// Errors: cofre.ErrCorrupt.
func parse(text []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
	}
	if e.Type != StatementType {
		return Entry{}, fmt.Errorf("%w: it is no statement of in-toto, version 1", cofre.ErrCorrupt)
	}
	return e, nil
}

// HoldFacts is what an entry says of a hold for everybody to read.
type HoldFacts struct {
	ID    string     `json:"id"`
	Kind  cofre.Kind `json:"kind,omitempty"`
	Owner string     `json:"owner,omitempty"`
	Since time.Time  `json:"since,omitzero"`
	Until time.Time  `json:"until,omitzero"`
}

// OriginFacts is what an entry says of a change of whose WAL a repository believes, for everybody to read.
type OriginFacts struct {
	System cofre.SystemID     `json:"system_identifier"`
	Change cofre.OriginChange `json:"change"`
	Key    string             `json:"fingerprint,omitempty"`
	Own    bool               `json:"own,omitempty"` // a backup admitted the key of its own host
}

// SignedPolicy is what was signed: the backup policy.
const SignedPolicy = "policy"

// PolicyFacts is what an entry says of a policy that somebody has signed, for everybody to read: what it says, and who has signed it, is sealed.
type PolicyFacts struct {
	What   string `json:"what"`
	Number int    `json:"number"`
	Digest string `json:"digest"` // SHA-256 of the terms
}

// DamageFacts is what an entry says of damage of the journal that a person knows: what a verification found.
type DamageFacts struct {
	Object string `json:"object"`
	Found  string `json:"found"` // the code of the finding
}

// VerifiedFacts is what an entry says of a verification for everybody to read.
type VerifiedFacts struct {
	Asked    cofre.Level `json:"level_asked"`
	Reached  cofre.Level `json:"level_reached"`
	Points   int         `json:"points"`
	Findings int         `json:"findings"`
	// Coverage is nil if nobody remembers what was read back.
	Coverage *CoverageFacts `json:"coverage,omitempty"`
	// Components are those of which something else is proven than the entries before say.
	Components []ProvenFacts `json:"components,omitempty"`
	// Continued says that the entry has more components of the verification that the one before is of.
	Continued bool `json:"continued,omitempty"`
}

// DrilledFacts is what an entry says of a drill for everybody to read.
type DrilledFacts struct {
	What       string           `json:"what"`
	BeganAt    time.Time        `json:"began_at"`
	Kind       cofre.Kind       `json:"kind"`
	Root       cofre.ObjectID   `json:"root"` // of the component, which says nothing of what is in it
	Drawn      bool             `json:"drawn,omitempty"`
	Depth      cofre.DrillDepth `json:"depth,omitempty"`
	PostgreSQL int              `json:"postgresql,omitempty"`
	Bytes      int64            `json:"bytes"`
	Compared   int              `json:"compared"`
	Differ     int              `json:"differ"`
	Asked      int              `json:"asked"`
	Wrong      int              `json:"wrong"`
	Findings   int              `json:"findings"`
	// Steps are how many milliseconds each step took.
	Steps map[cofre.DrillStage]int64 `json:"steps_ms"`
}

// CoverageFacts are how much of what is stored was read back.
type CoverageFacts struct {
	Window  int64       `json:"window_s"`
	Bytes   int64       `json:"bytes"`
	Proven  int64       `json:"proven_bytes"`
	Read    int64       `json:"read_bytes"`
	Deepest cofre.Level `json:"deepest_level"`
	// Objects are the SHA-256 of the objects that say what was read back.
	Objects []string `json:"objects,omitempty"`
}

// ProvenFacts name a component by its point, its kind and its root, which says nothing of what is in it.
type ProvenFacts struct {
	Point cofre.PointID  `json:"point"`
	Kind  cofre.Kind     `json:"kind"`
	Root  cofre.ObjectID `json:"root"`
	Level cofre.Level    `json:"level"` // the deepest that is proven; "" if it is known to be damaged
	At    time.Time      `json:"at,omitzero"`
}
