package cofre

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"strings"
	"time"
)

// PointID identifies a recovery point: the UTC second at which its backup began and four random letters,
// 20261124T214512Z-k3f9, so that ids sort by time and an unambiguous prefix is easy to type.
type PointID string

// NewPointID makes the id of a recovery point whose backup began at startedAt.
func NewPointID(startedAt time.Time) PointID {
	var b [5]byte
	// crypto/rand.Read never fails since Go 1.24: it ends the process instead.
	_, _ = rand.Read(b[:])
	suffix := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:4]
	return PointID(startedAt.UTC().Format("20060102T150405Z") + "-" + suffix)
}

// RecoveryPoint is a set of components that were published together: the unit of the catalog, of retention
// and of every promise. It is plain data; the repository keeps it as JSON, and these field names are its format.
type RecoveryPoint struct {
	ID           PointID     `json:"id"`
	Installation string      `json:"installation"` // the configuration's name
	Host         string      `json:"host"`
	StartedAt    time.Time   `json:"started_at"`
	PublishedAt  time.Time   `json:"published_at"`
	Version      string      `json:"cofre_version"`
	Components   []Component `json:"components"`
	// Findings are what is known to be missing or wrong since the point was published: what the captures could not
	// take (CheckCapture), and what the checks between components said, such as an object that the captured database
	// names and the captured storage lacks. Empty means: checked, nothing found.
	Findings []Finding `json:"findings,omitempty"`
	// Expired are the components that the point had and that left it. Everything else of it is as it was.
	Expired []ExpiredComponent `json:"expired,omitempty"`
	// WAL is the newest archived segment of each cluster when the point was published: what was there by then, nobody takes away unseen.
	WAL []WALHead `json:"wal,omitempty"`
}

// WALHead is an archived segment as it was at a moment.
type WALHead struct {
	System   SystemID `json:"system_identifier"`
	Timeline Timeline `json:"timeline"`
	Segment  string   `json:"segment"`
	Digest   string   `json:"digest"` // of its content, as the header of its object has it
}

// The Checks of findings that a backup makes by itself. CheckSource is of a source that could not be captured at all,
// by its name; CheckCapture of something of a source that is not in its component, by its own name.
const (
	CheckSource  = "source"
	CheckCapture = "capture"
)

// Missing returns the sources that the backup was asked for and could not capture: of each the finding that says
// why, with the name of the source as Object.
func (p RecoveryPoint) Missing() []Finding {
	var missing []Finding
	for _, f := range p.Findings {
		if f.Check == CheckSource {
			missing = append(missing, f)
		}
	}
	return missing
}

// Component returns the component of the given kind and name; an empty name takes the first of the kind.
func (p RecoveryPoint) Component(kind Kind, name string) (Component, bool) {
	for _, c := range p.Components {
		if c.Kind == kind && (name == "" || c.Name == name) {
			return c, true
		}
	}
	return Component{}, false
}

// Bytes is the sum of the components' logical sizes.
func (p RecoveryPoint) Bytes() int64 {
	var n int64
	for _, c := range p.Components {
		n += c.Bytes
	}
	return n
}

// Stored is what the point added to the repository, compressed and encrypted.
func (p RecoveryPoint) Stored() int64 {
	var n int64
	for _, c := range p.Components {
		n += c.Stored
	}
	return n
}

// Component is what one capture left in the repository.
type Component struct {
	Kind      Kind      `json:"kind"`
	Name      string    `json:"name"` // of the source: the database's name, "storage", "config"
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Content             // where and how much

	// Facts is what the source recorded beside the bytes, in a format of its own (logical.Facts, files.Facts, …).
	Facts json.RawMessage `json:"facts,omitempty"`
	// Warnings are things the operator should know though the capture is whole.
	Warnings []string `json:"warnings,omitempty"`
	// Partial is true if something that should be in the component is known to be missing; the findings
	// of the point or the facts name it. A partial component is published, never called a success.
	Partial bool `json:"partial,omitempty"`

	Messages Messages `json:"messages,omitempty"` // of the warnings
}

// Label is how a person knows the source that it was captured from.
func (c Component) Label() string { return SourceID{Kind: c.Kind, Name: c.Name}.Label() }

// Content says where a component's tree is and how much is in it.
type Content struct {
	Root    ObjectID `json:"root"`
	Entries int64    `json:"entries"`
	Bytes   int64    `json:"bytes"`     // logical: as read from the source
	Stored  int64    `json:"new_bytes"` // what this capture added to the repository, compressed and encrypted
}

// Finding is one fact that a check established about a recovery point, and that a person must act on.
type Finding struct {
	Check  string `json:"check"`            // structure, content, closure, …
	Kind   Kind   `json:"kind,omitempty"`   // of the component it is about
	Name   string `json:"name,omitempty"`   // of the component, if the check knows it
	Object string `json:"object,omitempty"` // what is affected, by name
	// Repository is the address of the one that it is in, if there are several.
	Repository string `json:"repository,omitempty"`

	What string `json:"what"` // what is wrong, in a sentence without a period

	Messages Messages `json:"messages,omitempty"`
}
