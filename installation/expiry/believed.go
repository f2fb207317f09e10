package expiry

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/retention"
)

// astray is how far the time of a point may be out of the order of publication before somebody may say that it is not believed: backups that run beside
// each other are published in another order than they began.
const astray = 24 * time.Hour

// Dated are points, oldest first, each with the time that counts: that of its own clock, unless the journal says that it is not believed.
func (h *History) Dated(points []cofre.RecoveryPoint) []cofre.RecoveryPoint {
	if len(h.taken) == 0 {
		return points
	}
	dated := slices.Clone(points)
	for i, p := range dated {
		if at, ok := h.taken[p.ID]; ok && p.Installation == h.Installation {
			dated[i] = movedTo(p, at)
		}
	}
	// Of one moment is the point whose time is not believed, and the one that was published next.
	slices.SortStableFunc(dated, func(a, b cofre.RecoveryPoint) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(h.order[a.ID], h.order[b.ID]))
	})
	return dated
}

// movedTo is a point with all its times moved so that it, and each of its components, began at a moment: none is newer than one of the point that is of that moment.
func movedTo(p cofre.RecoveryPoint, at time.Time) cofre.RecoveryPoint {
	by := at.Sub(p.StartedAt)
	p.StartedAt, p.PublishedAt = at, p.PublishedAt.Add(by)
	p.Components, p.Expired = slices.Clone(p.Components), slices.Clone(p.Expired)
	for i := range p.Components {
		c := &p.Components[i]
		c.StartedAt, c.EndedAt = at, at.Add(c.EndedAt.Sub(c.StartedAt))
	}
	for i := range p.Expired {
		p.Expired[i].StartedAt = at
	}
	return p
}

// Neighbour is the time that a point is taken to be of if its own is not believed: that of the point which was published next, or now. A point is younger by it than it
// is, if anything, so that it is kept longer. astray says that its own time is yet to come, or does not fit the order of publication.
func (h *History) Neighbour(points []cofre.RecoveryPoint, p cofre.RecoveryPoint, now time.Time) (at time.Time, isAstray bool) {
	order, next := h.order[p.ID], int64(0)
	at, isAstray = now, p.StartedAt.After(now.Add(retention.Skew))
	for _, q := range h.Dated(points) {
		other := h.order[q.ID]
		if q.Installation != p.Installation || q.ID == p.ID || order == 0 || other == 0 || q.StartedAt.After(now.Add(retention.Skew)) {
			continue
		}
		if other > order && (next == 0 || other < next) {
			next, at = other, q.StartedAt
		}
		apart := p.StartedAt.Sub(q.StartedAt)
		isAstray = isAstray || other > order && apart > astray || other < order && apart < -astray
	}
	return at, isAstray
}

// Disbelieve has the journal say that a person does not believe the time of a point which is there. done is false, and nothing is said, of a point whose time
// fits those of the others. read reads the journal.
//
// Errors: cofre.ErrConfig without a reason; those of read.
func Disbelieve(ctx context.Context, read func(context.Context, string, journaling.Reading) (*journaling.Verified, error), to cofre.Observer, points []cofre.RecoveryPoint, p cofre.RecoveryPoint, by, why string) (done bool, err error) {
	if why == "" {
		return false, cofre.Fail(cofre.Say("journal.time_why", "acknowledge that the time of a recovery point is wrong: without a reason"), cofre.ErrConfig)
	}
	h := &History{Installation: p.Installation}
	if _, err := read(ctx, "", journaling.Reading{Visit: func(e journal.Numbered) { h.Take(e) }}); err != nil {
		return false, err
	}
	at, isAstray := h.Neighbour(points, p, time.Now().UTC())
	if isAstray {
		fact := cofre.TimeDisbelieved{Said: p.StartedAt, Taken: at, By: by, Why: why}
		to.Observe(cofre.Event{Type: fact.EventType(), Point: p.ID, Fact: fact})
	}
	return isAstray, nil
}
