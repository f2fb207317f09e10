package cofre

import (
	"crypto/rand"
	"strings"
	"time"
)

// Hold keeps components of a recovery point whatever retention says, until it ends or is lifted.
type Hold struct {
	ID     string    `json:"id"`
	Point  PointID   `json:"point"`
	Kind   Kind      `json:"kind,omitempty"` // only components of this kind; empty for all
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero for no end
}

// NewHoldID makes the id of a hold.
func NewHoldID() string { return strings.ToLower(rand.Text()[:6]) }

// PointHeld says that a recovery point is held from now on.
type PointHeld struct {
	Hold Hold `json:"hold"`
}

// HoldLifted says that a hold is no more.
type HoldLifted struct {
	Hold Hold   `json:"hold"`
	By   string `json:"by"`
	Why  string `json:"why"`
}

// EventType names the fact.
func (PointHeld) EventType() EventType  { return "point_held" }
func (HoldLifted) EventType() EventType { return "hold_lifted" }
