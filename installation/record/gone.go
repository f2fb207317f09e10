package record

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

// Gone are the points that the journal says were published, that did not expire, and that are not there: with what it says of them, which is when they began, when they
// were published, and kinds of components.
func (l *Ledger) Gone(there []cofre.RecoveryPoint) []cofre.RecoveryPoint {
	var gone []cofre.RecoveryPoint
	for _, id := range l.Compare(Catalog{Points: there, First: math.MaxInt64, Now: time.Now()}).Gone {
		p := cofre.RecoveryPoint{ID: id, Installation: l.Installation}
		k := l.points[id]
		said := factsOf(k.facts)
		p.StartedAt, p.PublishedAt, p.Components = said.StartedAt, said.PublishedAt, said.Components
		for _, facts := range k.left {
			for _, x := range factsOf(facts).Components {
				if i := slices.IndexFunc(p.Components, func(c cofre.Component) bool { return c.Kind == x.Kind }); i >= 0 {
					p.Components = slices.Delete(p.Components, i, i+1)
				}
			}
		}
		gone = append(gone, p)
	}
	return gone
}

// Back are the points that have expired whole, as the journal says, and are there.
func (l *Ledger) Back(there []cofre.RecoveryPoint) []cofre.PointID {
	return l.Compare(Catalog{Points: there, First: math.MaxInt64, Now: time.Now()}).Back
}

// pointFacts are what an entry says of a point. What cannot be read of it says nothing.
type pointFacts struct {
	StartedAt   time.Time         `json:"started_at"`
	PublishedAt time.Time         `json:"published_at"`
	Components  []cofre.Component `json:"components"`
}

func factsOf(facts json.RawMessage) (f pointFacts) {
	_ = json.Unmarshal(facts, &f)
	return f
}

// Named are points by their ids.
func Named(points []cofre.RecoveryPoint) map[cofre.PointID]bool {
	named := map[cofre.PointID]bool{}
	for _, p := range points {
		named[p.ID] = true
	}
	return named
}

// Doubt is why points may be gone that the journal does not name: it is not what this machine has seen of it, or an entry is lost that was written after the newest of the
// points that are there. What it has lost of older times makes no other point the newest. err is what reading it has returned with res.
func (l *Ledger) Doubt(there []cofre.RecoveryPoint, res *journaling.Verified, err error) error {
	if !errors.Is(err, cofre.ErrFindings) {
		return nil
	}
	why := cofre.Say("journal.may_hide", "the journal is not whole, and recovery points may be gone that it would name")
	if !res.AsSeen {
		return cofre.WithHint(cofre.Fail(why, err), cofre.HintOf(err))
	}
	newest := int64(0)
	for _, p := range there {
		if k := l.points[p.ID]; k != nil && p.Installation == l.Installation {
			newest = max(newest, k.number)
		}
	}
	for _, f := range res.Findings {
		if last, lost := journal.LostEntry(f); lost && last >= newest {
			return cofre.WithHint(cofre.Fail(why, err), cofre.HintOf(err))
		}
	}
	return nil
}
