package expiry

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// History is what the journal says of an installation that retention goes by. The zero value knows nothing.
type History struct {
	Installation string

	order   map[cofre.PointID]int64 // numbers of publication, from 1
	found   map[cofre.PointID]int64 // the same of entries that were written for points whose runs ended before they could: they were published at some time before
	proven  map[component]cofre.Level
	holds   map[string]held
	taken   map[cofre.PointID]time.Time // of points whose own time is not believed
	failing runs.Failing
}

// held is a hold, and the sealed object that has its reason.
type held struct {
	cofre.Hold
	sealed string
}

// component is one, as a verification names it.
type component struct {
	point cofre.PointID
	root  cofre.ObjectID
}

// Proven is the level at which the journal says that a component is proven; "" if it says nothing, or that it is damaged. Whether it was found out
// by another installation makes no difference.
func (h *History) Proven(point cofre.PointID, root cofre.ObjectID) cofre.Level {
	return h.proven[component{point, root}]
}

// News are the components of which something else is proven than the journal says: their bytes were read back, or they are damaged.
func (h *History) News(proofs []cofre.ComponentProof) []cofre.ComponentProof {
	var news []cofre.ComponentProof
	for _, c := range proofs {
		level, _ := c.Deepest()
		was := h.Proven(c.Point, c.Root)
		if level != was && (level == cofre.LevelContent || c.Damaged) {
			news = append(news, c)
		}
	}
	return news
}

// Take takes the next entry of the journal.
func (h *History) Take(e journal.Numbered) {
	if h.order == nil {
		h.order, h.found, h.proven, h.holds, h.taken = map[cofre.PointID]int64{}, map[cofre.PointID]int64{}, map[component]cofre.Level{}, map[string]held{}, map[cofre.PointID]time.Time{}
	}
	b := e.Body
	if b.Event == journal.EventVerified {
		h.verified(b)
	}
	if b.Installation != h.Installation {
		return
	}
	switch b.Event {
	case journal.EventPublished:
		h.order[b.Point] = e.Number + 1
		h.failing.Take(b)
	case journal.EventFound:
		h.found[b.Point] = e.Number + 1
	case journal.EventFailed:
		h.failing.Take(b)
	case journal.EventHeld:
		var f journal.HoldFacts
		// What cannot be read holds: its point is in the entry, and it has no end.
		_ = json.Unmarshal(b.Facts, &f)
		id := f.ID
		if id == "" {
			id = b.Nonce
		}
		h.holds[id] = held{cofre.Hold{ID: id, Point: b.Point, Kind: f.Kind, Owner: f.Owner, Since: f.Since, Until: f.Until}, b.Sealed}
	case journal.EventTime:
		var f cofre.TimeDisbelieved
		if json.Unmarshal(b.Facts, &f) == nil && !f.Taken.IsZero() {
			h.taken[b.Point] = f.Taken
		}
	case journal.EventReleased:
		var f journal.HoldFacts
		if json.Unmarshal(b.Facts, &f) == nil {
			delete(h.holds, f.ID)
		}
	}
}

func (h *History) verified(b journal.Body) {
	var f journal.VerifiedFacts
	if json.Unmarshal(b.Facts, &f) != nil {
		return
	}
	for _, c := range f.Components {
		h.proven[component{c.Point, c.Root}] = c.Level
	}
}

// Holds are the holds that were not lifted, also those that have ended, in the order in which they were made. Reason asks for what a sealed object
// says; what cannot be had is said to be unknown.
func (h *History) Holds(reason func(sealed string) (string, error)) []cofre.Hold {
	var all []cofre.Hold
	for _, k := range h.holds {
		why, err := reason(k.sealed)
		if k.Reason = why; err != nil {
			k.Reason = "?"
		}
		all = append(all, k.Hold)
	}
	slices.SortFunc(all, func(a, b cofre.Hold) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}
