package installation

import (
	"context"
	"errors"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/observe"
)

// HoldOptions say what is held, and why. Point and Why must be set.
type HoldOptions struct {
	Point string     // as catalog.Catalog.Find takes it
	Kind  cofre.Kind // only components of this kind; empty for all
	Why   string
	Until time.Time // zero for no end
}

// Hold keeps a recovery point, or its components of a kind, whatever retention says. It is durable, in the journal, when Hold returns nil.
//
// Errors: cofre.ErrConfig without a reason, or with an end that is past; cofre.ErrFindings if the journal takes no entry; those of the repository and of catalog.Catalog.Find; any of the journal.
func (in *Installation) Hold(ctx context.Context, o HoldOptions) (_ *cofre.Hold, err error) {
	end := in.begin(ctx, cofre.RunHold, observe.About{})
	defer func() { err = end(err) }()
	now := time.Now().UTC()
	if o.Why == "" {
		return nil, cofre.Fail(cofre.Say("hold.why", "hold a recovery point: without a reason"), cofre.ErrConfig)
	}
	if !o.Until.IsZero() && !o.Until.After(now) {
		return nil, cofre.Fail(cofre.Say("hold.past", "hold a recovery point until {{.until}}: that is past", "until", o.Until), cofre.ErrConfig)
	}
	repo, err := in.changing(ctx)
	if err != nil {
		return nil, err
	}
	cat, err := in.catalog(ctx, repo)
	if err != nil {
		return nil, err
	}
	p, err := cat.Find(o.Point, catalog.Want{Installation: in.Name(), Kind: o.Kind})
	if err != nil {
		return nil, err
	}
	by := observe.Here(in.Version)
	h := cofre.Hold{ID: cofre.NewHoldID(), Point: p.ID, Kind: o.Kind, Owner: by.User + "@" + by.Host, Reason: o.Why, Since: now, Until: o.Until.UTC()}
	if o.Until.IsZero() {
		h.Until = time.Time{}
	}
	in.tellOf(p.ID, cofre.PointHeld{Hold: h})
	return &h, in.written(notHeld())
}

// LiftHold ends a hold. It is durable, in the journal, when LiftHold returns nil.
//
// Errors: cofre.ErrConfig without a reason; cofre.ErrNotFound if there is no such hold; cofre.ErrFindings if the journal takes no entry; those of Holds; any of the journal.
func (in *Installation) LiftHold(ctx context.Context, id, why string) (_ *cofre.Hold, err error) {
	end := in.begin(ctx, cofre.RunLiftHold, observe.About{})
	defer func() { err = end(err) }()
	if why == "" {
		return nil, cofre.Fail(cofre.Say("hold.lift_why", "lift a hold: without a reason"), cofre.ErrConfig)
	}
	if _, err := in.changing(ctx); err != nil {
		return nil, err
	}
	holds, err := in.Holds(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range holds {
		if h.ID == id {
			by := observe.Here(in.Version)
			in.tellOf(h.Point, cofre.HoldLifted{Hold: h, By: by.User + "@" + by.Host, Why: why})
			return &h, in.written(notHeld())
		}
	}
	return nil, cofre.WithHint(cofre.Fail(cofre.Say("hold.none", "hold {{.id}}", "id", id), cofre.ErrNotFound), cofre.Say("hold.list", "cofre hold lists them"))
}

// Holds are the holds that were not lifted, oldest first, also those that have ended.
//
// Errors: cofre.ErrFindings if the journal is not whole: a hold may be missing from it; those of the repository.
func (in *Installation) Holds(ctx context.Context) ([]cofre.Hold, error) {
	repo, _, err := in.open(ctx) // the catalog says whose installation is meant
	if err != nil {
		return nil, err
	}
	_, holds, err := in.history(ctx, repo, nil)
	return holds, err
}

func (in *Installation) tellOf(point cofre.PointID, fact cofre.Fact) {
	in.observer.Observe(cofre.Event{Type: fact.EventType(), Point: point, Fact: fact})
}

func notHeld() cofre.Message {
	return cofre.Say("hold.not_written", "the journal does not have it, so it does not count")
}

// written waits until the journal has what was told; if it does not, that means what is said.
func (in *Installation) written(means cofre.Message) error {
	cause := in.unwritten()
	if in.book == nil && cause == nil {
		cause = cofre.ErrNotFound
	}
	if cause == nil {
		return nil
	}
	return lookAtIt(cofre.Fail(means, cause))
}

// history reads of the journal what retention goes by, and what else goes by it. A repository of before has none.
func (in *Installation) history(ctx context.Context, repo reader, also *record.Ledger) (*expiry.History, []cofre.Hold, error) {
	h := &expiry.History{Installation: in.Name()}
	_, err := in.Journal().Verify(ctx, "", journaling.Reading{Visit: func(e journal.Numbered) {
		h.Take(e)
		if also != nil {
			also.Take(e)
		}
	}})
	if errors.Is(err, cofre.ErrNotFound) {
		return h, nil, nil
	}
	if err != nil {
		return nil, nil, lookAtIt(cofre.Fail(cofre.Say("expire.journal", "a hold may be missing from the journal, so nothing expires"), err))
	}
	return h, h.Holds(func(sealed string) (string, error) { return journaling.Reason(ctx, repo, sealed) }), nil
}
