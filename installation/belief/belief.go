// Package belief holds a catalog against the journal whenever somebody asks what is the latest, or what is missing: which times count, which points are gone, and which
// have expired and are there again. It changes nothing, and writes nothing into the journal. Read Reader first.
package belief

import (
	"context"
	"errors"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/journal"
)

// Reader reads what is believed. All must be set.
type Reader struct {
	Installation string
	// Know says what is known of the journal before it is read.
	Know func() (*journaling.Known, error)
	// Again reads the catalog once more: what was published, or expired, while the journal was read is not said to be gone, or back.
	Again func(context.Context) (*catalog.Catalog, error)
	Warn  func(...cofre.Message)
}

// Of is what the journal says of the points of a catalog. If the newest by its own clock is not the newest, or one that has expired is there, Warn is told. The journal
// is read after the catalog, so that what it does not say of a point nobody has said.
func (r Reader) Of(ctx context.Context, points []cofre.RecoveryPoint) catalog.Belief {
	h, l := &expiry.History{Installation: r.Installation}, &record.Ledger{Installation: r.Installation}
	k, err := r.Know()
	res, err := journaling.Verify(ctx, k, err, journaling.Reading{Visit: func(e journal.Numbered) {
		h.Take(e)
		l.Take(e)
	}})
	if res == nil || res.Verified == nil {
		if err != nil && !errors.Is(err, cofre.ErrNotFound) { // a repository of before has none
			r.Warn(cofre.Say("journal.not_compared", "whether recovery points are gone is not known, because the journal could not be read: {{.cause}}", "cause", err))
		}
		return catalog.Belief{Points: points}
	}
	r.Warn(h.Overtaken(points)...)
	gone, back := l.Gone(points), l.Back(points)
	if len(gone)+len(back) > 0 {
		if cat, err := r.Again(ctx); err == nil {
			again := slices.Collect(cat.List(catalog.Want{}))
			gone, back = l.Gone(slices.Concat(points, again)), l.Back(slices.DeleteFunc(again, func(p cofre.RecoveryPoint) bool { return !slices.Contains(back, p.ID) }))
		}
	}
	r.Warn((&record.Difference{Back: back}).Messages()...)
	b := catalog.Belief{Points: h.InOrder(slices.Concat(points, gone)), Gone: record.Named(gone), Back: map[cofre.PointID]bool{}, Doubt: l.Doubt(points, res, err)}
	for _, id := range back {
		b.Back[id] = true
	}
	return b
}
