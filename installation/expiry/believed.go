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
	h.sort(dated)
	return dated
}

// sort has points oldest first. Of one moment is a point whose time is not believed, and the one that was published next.
func (h *History) sort(points []cofre.RecoveryPoint) {
	slices.SortStableFunc(points, func(a, b cofre.RecoveryPoint) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(h.latest(a.ID), h.latest(b.ID)))
	})
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

// InOrder are points as Dated has them, and none of a later time than one that was published after it: the order of the journal is known, and one of the two
// clocks was wrong. The earlier of their times counts, so that nothing seems to be newer than somebody knows.
func (h *History) InOrder(points []cofre.RecoveryPoint) []cofre.RecoveryPoint {
	ordered := slices.Clone(h.Dated(points))
	slices.SortStableFunc(ordered, func(a, b cofre.RecoveryPoint) int { return a.StartedAt.Compare(b.StartedAt) })
	backwards := make([]int, 0, len(ordered))
	for i, p := range ordered {
		if p.Installation == h.Installation && h.latest(p.ID) > 0 {
			backwards = append(backwards, i)
		}
	}
	slices.SortFunc(backwards, func(a, b int) int { return cmp.Compare(h.latest(ordered[b].ID), h.latest(ordered[a].ID)) })
	var after *cofre.RecoveryPoint // of those that were published later, the earliest by its own clock
	moved := false
	for _, i := range backwards {
		p := ordered[i]
		if after != nil && ahead(p, *after) && p.StartedAt.After(after.StartedAt) {
			ordered[i], moved = movedTo(p, after.StartedAt), true
		}
		if h.order[p.ID] > 0 && (after == nil || p.PublishedAt.Before(after.PublishedAt)) {
			after = &p
		}
	}
	if moved {
		h.sort(ordered)
	}
	return ordered
}

// Overtaken says that the newest point by the clocks of those that made points was published before another one, which is the newest. It is zero if clocks and journal
// agree on which is.
func (h *History) Overtaken(points []cofre.RecoveryPoint) cofre.Messages {
	own := slices.DeleteFunc(slices.Clone(points), func(p cofre.RecoveryPoint) bool { return p.Installation != h.Installation })
	if len(own) == 0 {
		return nil
	}
	claims, ordered := h.Dated(own), h.InOrder(own)
	p, newest := claims[len(claims)-1], ordered[len(ordered)-1]
	if p.ID == newest.ID {
		return nil
	}
	return cofre.Messages{
		cofre.Say("journal.overtaken", "{{.newest}} is the newest point, of {{.at}}: {{.point}} says that it is of {{.other}}, and was published before it", "newest", newest.ID, "at", newest.StartedAt, "point", p.ID, "other", p.StartedAt),
		cofre.Say("journal.overtaken_next", "one of two clocks was wrong; if that of {{.point}} was ahead, say so once: cofre journal acknowledge {{.point}} --why 'its clock was ahead'; if that of {{.newest}} was behind, name {{.newest}} there", "point", p.ID, "newest", newest.ID),
	}
}

// latest is the number of the entry before which a point was published at the latest; 0 if the journal says nothing of it.
func (h *History) latest(p cofre.PointID) int64 { return cmp.Or(h.order[p], h.found[p]) }

// ahead reports whether a point claims to have been published after another, which was published later. An entry is written at once, but not in the same moment.
func ahead(p, later cofre.RecoveryPoint) bool {
	return p.PublishedAt.Sub(later.PublishedAt) > cofre.ClockSkew
}

// Neighbour is the time that a point is taken to be of if its own is not believed: that of the point which was published next, or now. A point is younger by it than it
// is, if anything, so that it is kept longer. astray says that its own time is yet to come, or does not fit the order of publication.
func (h *History) Neighbour(points []cofre.RecoveryPoint, p cofre.RecoveryPoint, now time.Time) (at time.Time, isAstray bool) {
	published, by, next := h.order[p.ID], h.latest(p.ID), int64(0)
	at, isAstray = now, p.StartedAt.After(now.Add(retention.Skew))
	for _, q := range h.Dated(points) {
		if q.Installation != p.Installation || q.ID == p.ID || by == 0 || h.latest(q.ID) == 0 || q.StartedAt.After(now.Add(retention.Skew)) {
			continue
		}
		other := h.order[q.ID]
		if other > by && (next == 0 || other < next) {
			next, at = other, q.StartedAt
		}
		isAstray = isAstray || other > by && ahead(p, q) || published > h.latest(q.ID) && ahead(q, p)
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
