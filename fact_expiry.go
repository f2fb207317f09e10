package cofre

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

// PointExpired says that components of a recovery point left the catalog, or all of it. Their bytes stay until they are pruned.
type PointExpired struct {
	Point      PointID            `json:"point"`
	Whole      bool               `json:"whole"` // nothing of the point is left
	Components []ExpiredComponent `json:"components"`
	Messages   Messages           `json:"reasons"` // of each component
}

// EventType names the fact.
func (ExpiryDecided) EventType() EventType { return "expiry_decided" }
func (PointExpired) EventType() EventType  { return "point_expired" }
