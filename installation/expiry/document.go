package expiry

import (
	"time"

	"github.com/trustlayer/cofre"
)

// Document is an Expiry as a program reads it.
type Document struct {
	Removed   bool         `json:"removed"`
	Sources   []Source     `json:"sources"`
	Decisions []Decision   `json:"decisions"`
	WAL       *WALDocument `json:"wal"` // null if every moment is promised
	Frees     *Frees       `json:"frees,omitempty"`
}

// Source is what an expiry does to one source.
type Source struct {
	Kind   cofre.Kind `json:"kind"`
	Name   string     `json:"name"`
	Kept   int        `json:"kept"`
	Goes   int        `json:"goes"`
	Oldest time.Time  `json:"oldest,omitzero"`       // of the whole ones, before
	After  time.Time  `json:"oldest_after,omitzero"` // and after
	Frozen *Frozen    `json:"frozen,omitempty"`
}

// Frozen says since when nothing of a source expires, and why.
type Frozen struct {
	Since    time.Time      `json:"since"`
	Messages cofre.Messages `json:"messages"`
}

// Decision is what becomes of one component.
type Decision struct {
	Point    cofre.PointID  `json:"point"`
	Kind     cofre.Kind     `json:"kind"`
	Name     string         `json:"name"`
	At       time.Time      `json:"at"`
	Keep     bool           `json:"keep"`
	Messages cofre.Messages `json:"messages"`
}

// WALDocument is the WAL that goes.
type WALDocument struct {
	Since   time.Time  `json:"promised_since"`
	Systems []OfSystem `json:"systems"`
}

// Document returns what a program reads. Removed says whether anything went.
func (e *Expiry) Document() Document {
	d := Document{Frees: e.Frees, Removed: len(e.Gone) > 0 || (e.WAL != nil && e.WAL.Removed && len(e.WAL.Systems) > 0), Sources: []Source{}, Decisions: []Decision{}}
	for _, s := range e.Sources {
		of := Source{Kind: s.ID.Kind, Name: s.ID.Name, Kept: s.Kept, Goes: s.Expired, Oldest: s.Oldest, After: s.Moves}
		if f := s.Frozen; f != nil {
			of.Frozen = &Frozen{f.Since, cofre.Messages{f.Reason}}
		}
		d.Sources = append(d.Sources, of)
	}
	for _, x := range e.Decisions {
		d.Decisions = append(d.Decisions, Decision{x.Point, x.Source.Kind, x.Source.Name, x.At, x.Keep, x.Reasons})
	}
	if e.WAL != nil {
		d.WAL = &WALDocument{e.WAL.Since.UTC(), e.WAL.Systems}
	}
	return d
}
