package installation

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/installation/reserve"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/retention"
)

// ExpireOptions say what goes. The zero value carries out what the configuration says.
type ExpireOptions struct {
	DryRun bool // removes nothing
	// Keep are other rules than those of the configuration, as config.Config.Keeping takes them. They are only simulated.
	Keep []string
	// Confirm is told what goes, if it is anything, before anything does. Its error ends the expiry, as it is. Nil confirms.
	Confirm func(*expiry.Expiry) error
}

// Planned reports whether nothing is removed.
func (o ExpireOptions) Planned() bool { return o.DryRun || len(o.Keep) > 0 }

// Expire takes out of the catalog what no rule of the configuration keeps, component by component, and then removes the WAL that nothing
// kept and nothing promised needs. The bytes of components stay until they are pruned. Interrupted anywhere, the next call goes on.
//
// Errors: cofre.ErrConfig if the rules are wrong; cofre.ErrCorrupt if recovery points may be hidden; cofre.ErrFindings if the journal names one that is gone; that of Confirm; those of the repository and of cofre.Repository.Expire; of copies, beside
// what the others have. What is gone is returned with an error, too.
func (in *Installation) Expire(ctx context.Context, o ExpireOptions) (_ *expiry.Expiry, err error) {
	end := in.begin(ctx, cofre.RunExpire, observe.About{})
	defer func() { err = end(err) }()
	cfg, err := in.cfg.Keeping(o.Keep...)
	if err != nil {
		return nil, err
	}
	if o.Planned() {
		repo, err := in.reading(ctx)
		if err != nil {
			return nil, err
		}
		e, err := in.planExpiry(ctx, cfg, repo, time.Time{})
		if err == nil {
			err = e.Ask(ctx, repo)
		}
		return e, err
	}
	reserve.Do(ctx, in.cfg.Repository, reserve.Give)
	repo, err := in.writing(ctx)
	if err != nil {
		return nil, err
	}
	now, err := walstore.Clock(ctx, cfg.Repository)
	if err != nil {
		return nil, err
	}
	e, err := in.planExpiry(ctx, cfg, repo, now)
	if err != nil || e.Empty() {
		return e, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(e); err != nil {
			return e, err
		}
	}
	err = in.carryOut(ctx, repo, e)
	if errors.Is(err, cofre.ErrNotFound) { // somebody else has let it go meanwhile
		if e, err = in.planExpiry(ctx, cfg, repo, now); err == nil && !e.Empty() {
			err = in.carryOut(ctx, repo, e)
		}
	}
	return e, err
}

// carryOut lets go what an expiry has decided: components first, since WAL that goes before the base backups that need it would leave them
// without use.
//
// The journal says beforehand what goes: a run that is killed leaves nobody in doubt who took it.
func (in *Installation) carryOut(ctx context.Context, repo cofre.Repository, e *expiry.Expiry) error {
	begun := e.Begun()
	for some := range slices.Chunk(begun, 500) { // an entry has 64 KiB at most
		cofre.Tell(in.observer, cofre.ExpiryBegun{Points: some})
	}
	if len(begun) > 0 {
		if err := in.written(cofre.Say("expire.not_written", "the journal does not say what is to go, so nothing expires")); err != nil {
			return err
		}
	}
	gone, err := repo.Expire(ctx, e.Expiries()...)
	if err != nil {
		return err
	}
	e.Gone = gone
	why, now := e.Reasons(), time.Now()
	for _, g := range gone {
		fact := cofre.PointExpired{Point: g.Point.ID, Whole: g.Whole, Messages: why[g.Point.ID], Left: g.Left}
		for _, c := range g.Components {
			fact.Components = append(fact.Components, c.Expire(now))
		}
		in.tellOf(g.Point.ID, fact)
	}
	since, goes := e.Promised()
	if since.IsZero() {
		return nil
	}
	e.WAL, err = in.WAL().expire(ctx, since, goes, true)
	return err
}

// planExpiry decides. storeNow is what the clock of the store has just said; zero if it was not asked.
func (in *Installation) planExpiry(ctx context.Context, cfg *config.Config, repo reader, storeNow time.Time) (*expiry.Expiry, error) {
	now := time.Now()
	first, err := in.journalSize(ctx)
	if err != nil {
		return nil, err
	}
	cat, err := in.catalog(ctx, repo)
	if err = cmp.Or(err, expiry.Hidden(cat)); err != nil {
		return nil, err
	}
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	ledger := &record.Ledger{Installation: in.Name()}
	history, holds, err := in.history(ctx, repo, ledger)
	if err != nil {
		return nil, err
	}
	points := slices.Collect(cat.List(catalog.Want{}))
	if err := ledger.NothingGone(points, first); err != nil {
		return nil, err
	}
	if !storeNow.IsZero() {
		if err := in.looker(repo).Warn(ctx, ledger, points, first); err != nil {
			return nil, err
		}
	}
	input := expiry.Input(cfg, cat.List(catalog.Want{Installation: in.Name()}), damage, history)
	input.Holds = holds
	input.Now, input.StoreNow = now, storeNow
	e := &expiry.Expiry{Plan: retention.Decide(input)}
	e.Tell(in.observer)
	if since, goes := e.Promised(); !since.IsZero() {
		e.WAL, err = in.WAL().expire(ctx, since, goes, false)
	}
	return e, err
}
