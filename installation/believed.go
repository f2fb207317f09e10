package installation

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

// believed is what the journal says of the points of a catalog: which times count, and which are gone. If the newest by its own clock is not the newest, the observer is
// told. The journal is read after the catalog, so that what it does not say of a point nobody has said; what was published in between is looked for in the catalog once more.
func (in *Installation) believed(ctx context.Context, repo reader, know func() (*journaling.Known, error)) func([]cofre.RecoveryPoint) catalog.Belief {
	return func(points []cofre.RecoveryPoint) catalog.Belief {
		h, l := &expiry.History{Installation: in.Name()}, &record.Ledger{Installation: in.Name()}
		k, err := know()
		res, err := journaling.Verify(ctx, k, err, journaling.Reading{Visit: func(e journal.Numbered) {
			h.Take(e)
			l.Take(e)
		}})
		if res == nil || res.Verified == nil {
			if err != nil && !errors.Is(err, cofre.ErrNotFound) { // a repository of before has none
				in.warn(cofre.Say("journal.not_compared", "whether recovery points are gone is not known, because the journal could not be read: {{.cause}}", "cause", err))
			}
			return catalog.Belief{Points: points}
		}
		in.warn(h.Overtaken(points)...)
		gone := l.Gone(points)
		if len(gone) > 0 {
			if again, err := catalog.Read(ctx, repo); err == nil {
				gone = l.Gone(slices.Concat(points, slices.Collect(again.List(catalog.Want{}))))
			}
		}
		return catalog.Belief{Points: h.InOrder(slices.Concat(points, gone)), Gone: record.Named(gone), Doubt: l.Doubt(points, res, err)}
	}
}
