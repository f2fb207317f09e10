package cofre

import (
	"context"
	"time"
)

// Verification says how a repository is verified.
type Verification struct {
	Level    Level
	Proven   Proven   // what was read back before; nil remembers nothing: everything is due
	Observer Observer // nil observes nothing
}

// Proven remembers which stored objects were read back and were as they were written, and says which are due to be read again. It may be used by
// several goroutines.
type Proven interface {
	// Due reports whether an object is to be read back now. Each object that is there is asked for once, at any level: together they are
	// what coverage is a share of.
	Due(o ReadBack) bool
	// At is when an object was last read back whole, as it is now; zero if it never was, or was found not to be as it was written.
	At(o ReadBack) time.Time
	// Note tells that an object was read back, and whether it was as it was written.
	Note(ctx context.Context, o ReadBack, whole bool)
	// Drop tells that nothing needs an object any more, whatever it holds.
	Drop(o ReadBack)
	// Component tells what is proven of a component.
	Component(c ComponentProof)
}

// ReadBack is an object that can be read back, as it is now. What was replaced or changed is another one.
type ReadBack struct {
	StoredObject
	Part Part
	Hash []byte // of what it must hold; nil if nobody knows
	With string // objects that have the same word here become due together; empty is the name
}

// Part is one of the things that a verification looks at.
type Part struct {
	What       string `json:"what"`                 // PartPoints or PartWAL
	Repository string `json:"repository,omitempty"` // the address of a copy; empty is the repository itself
}

// The parts.
const (
	PartPoints = "points" // what recovery points refer to, and the indexes that lead there
	PartWAL    = "wal"
)

// ComponentProof is what is proven of a component. Times are zero if it is not.
type ComponentProof struct {
	Point     PointID   `json:"point"`
	Source    SourceID  `json:"source"`
	Root      ObjectID  `json:"root"`
	Structure time.Time `json:"structure_at,omitzero"` // when everything that it refers to was last found to be there
	// Content is the time after which each of its bytes was read back, and was as it was written.
	Content time.Time `json:"content_at,omitzero"`
	Damaged bool      `json:"damaged,omitempty"`
}

// Deepest is the deepest level that is proven, and when it was; "" if none is.
func (c ComponentProof) Deepest() (Level, time.Time) {
	switch {
	case c.Damaged:
		return "", time.Time{}
	case !c.Content.IsZero():
		return LevelContent, c.Content
	case !c.Structure.IsZero():
		return LevelStructure, c.Structure
	}
	return "", time.Time{}
}

// Coverage says how much of what is stored was read back, how long ago, and how far each component is proven. It is a value of one moment, from
// which later ones are computed: what was read grows older.
type Coverage struct {
	At         time.Time        `json:"at"`        // of the verification that has established it
	Window     time.Duration    `json:"window_ns"` // within which everything is to be read back
	Parts      []CoveredPart    `json:"parts"`
	Components []ComponentProof `json:"components"`
}

// CoveredPart is one part in it.
type CoveredPart struct {
	Part
	Objects int      `json:"objects"`
	Bytes   int64    `json:"bytes"`
	Damaged int      `json:"damaged,omitempty"` // objects that were not as they were written
	Read    []ReadAt `json:"read"`              // oldest first; what was never read back, and what is damaged, is in none of them
}

// ReadAt is how many bytes were last read back in one hour.
type ReadAt struct {
	Hour  time.Time `json:"hour"` // its beginning
	Bytes int64     `json:"bytes"`
}

// Proven returns the bytes that were read back within the window before now, and all bytes that were there at c.At.
func (c Coverage) Proven(now time.Time) (proven, all int64) {
	for _, p := range c.Parts {
		of, in := p.Proven(now, c.Window)
		proven, all = proven+of, all+in
	}
	return proven, all
}

// Proven returns the bytes of the part that were read back within a window before now, and all of them.
func (p CoveredPart) Proven(now time.Time, window time.Duration) (proven, all int64) {
	for _, r := range p.Read {
		if age := now.Sub(r.Hour); age <= window && age >= -ClockSkew {
			proven += r.Bytes
		}
	}
	return proven, p.Bytes
}

// Share is the part of the bytes, from 0 to 1, that was read back within the window before now; 1 if there is nothing to be read.
func (c Coverage) Share(now time.Time) float64 {
	proven, all := c.Proven(now)
	if all == 0 {
		return 1
	}
	return float64(proven) / float64(all)
}

// Of returns what is proven of a component of a point that was published. One that the verification did not see is proven by its publication.
func (c Coverage) Of(p RecoveryPoint, component Component) ComponentProof {
	for _, proof := range c.Components {
		if proof.Point == p.ID && proof.Root == component.Root {
			if !proof.Damaged && proof.Structure.Before(p.PublishedAt) {
				proof.Structure = p.PublishedAt
			}
			return proof
		}
	}
	return ComponentProof{
		Point: p.ID, Source: SourceID{Installation: p.Installation, Kind: component.Kind, Name: component.Name}, Root: component.Root, Structure: p.PublishedAt,
	}
}

// PublishedLevel is the level at which a point is proven when it is published: Repository.Publish looks whether everything that it refers to is there.
const PublishedLevel = LevelStructure

// ClockSkew is how far two clocks may be apart, and a time ahead of now, before it is not believed.
const ClockSkew = 5 * time.Minute
