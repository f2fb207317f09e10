package cofre

import (
	"fmt"
	"slices"
	"time"
)

// Expiry names what is to leave the catalog: components of a recovery point, or all of it.
type Expiry struct {
	Point PointID
	// Sources are those of the components that go. The point goes with its last component, and as a whole if Sources is empty.
	Sources []SourceID
}

// Expired says what left the catalog.
type Expired struct {
	Point      RecoveryPoint // as it was before
	Components []Component   // that left
	Whole      bool          // nothing of the point is in the catalog any more
	Left       RecoveryPoint // as it is now, unless Whole
}

// ExpiredComponent is what a recovery point remembers of a component that left it.
type ExpiredComponent struct {
	Kind      Kind      `json:"kind"`
	Name      string    `json:"name"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Bytes     int64     `json:"bytes"`
	Partial   bool      `json:"partial,omitempty"`
	ExpiredAt time.Time `json:"expired_at"`
}

// Expire is what is remembered of a component that leaves its point.
func (c Component) Expire(at time.Time) ExpiredComponent {
	return ExpiredComponent{Kind: c.Kind, Name: c.Name, StartedAt: c.StartedAt, EndedAt: c.EndedAt, Bytes: c.Bytes, Partial: c.Partial, ExpiredAt: at.UTC()}
}

// From takes what e names out of p, which stays as it is. It returns what is left of p and what left it.
//
// Errors: ErrNotFound if p has no component of one of the sources.
func (e Expiry) From(p RecoveryPoint, at time.Time) (left RecoveryPoint, gone Expired, err error) {
	gone.Point, left = p, p
	for _, id := range e.Sources {
		if !slices.ContainsFunc(p.Components, func(c Component) bool { return e.names(p, id, c) }) {
			return left, gone, fmt.Errorf("%s %s: %w", id.Kind, id.Name, ErrNotFound)
		}
	}
	left.Components, left.Expired = nil, slices.Clone(p.Expired)
	for _, c := range p.Components {
		goes := len(e.Sources) == 0 || slices.ContainsFunc(e.Sources, func(id SourceID) bool { return e.names(p, id, c) })
		if !goes {
			left.Components = append(left.Components, c)
			continue
		}
		gone.Components = append(gone.Components, c)
		left.Expired = append(left.Expired, c.Expire(at))
	}
	gone.Whole, gone.Left = len(left.Components) == 0, left
	return left, gone, nil
}

func (e Expiry) names(p RecoveryPoint, id SourceID, c Component) bool {
	return id.Kind == c.Kind && id.Name == c.Name && (id.Installation == "" || id.Installation == p.Installation)
}
