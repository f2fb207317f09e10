package installation

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/installation/reserve"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/sealing"
	"github.com/trustlayer/cofre/observe"
)

// Prune gives back the bytes of the repository that no recovery point refers to any more: what is announced now is deleted by a run
// a day later. Then the logs of runs go that are older than runs.Kept. With dryRun nothing is changed. It expires nothing.
//
// Errors: those of the repository; cofre.ErrLocked if somebody else prunes; with what was done, those of runs.Thin.
func (in *Installation) Prune(ctx context.Context, dryRun bool) (_ *cofre.Pruned, err error) {
	end := in.begin(ctx, cofre.RunPrune, observe.About{})
	defer func() { err = end(err) }()
	var repo any
	if dryRun {
		repo, err = in.reading(ctx)
	} else {
		reserve.Do(ctx, in.cfg.Repository, reserve.Give)
		repo, err = in.writing(ctx)
	}
	if err != nil {
		return nil, err
	}
	if !dryRun {
		if err := in.nothingLost(ctx); err != nil {
			return nil, err
		}
	}
	p, ok := repo.(cofre.Pruner)
	if !ok {
		return nil, fmt.Errorf("prune: a repository of this kind gives nothing back: %w", cofre.ErrConfig)
	}
	done, err := p.Prune(ctx, dryRun)
	if err == nil && !dryRun {
		cofre.Tell(in.observer, *done)
		if v, ok := repo.(runs.Vault); ok {
			err = runs.Thin(ctx, v.Floor())
		}
	}
	return done, err
}

// SealOptions say what is sealed. The zero value seals what is there.
type SealOptions struct {
	// WithoutLost goes on without sealed indexes that are lost for good, after Confirm was shown what is lost. Its error ends it, as it is.
	WithoutLost bool
	Confirm     func(*cofre.Lost) error
}

// Seal proves by decryption everything in the repository that has no seal under its password, and seals it; no other seal is believed from now on.
//
// Errors: cofre.ErrFindings with the result, if something is not what was encrypted: nothing is sealed then; without one, if the journal
// takes no entry; those of sealing.WithoutLost; those of the repository.
func (in *Installation) Seal(ctx context.Context, o SealOptions) (_ *cofre.Sealed, err error) {
	end := in.begin(ctx, cofre.RunSeal, observe.About{})
	defer func() { err = end(err) }()
	repo, err := in.changing(ctx)
	if err != nil {
		return nil, err
	}
	if !o.WithoutLost {
		return sealing.Seal(ctx, repo, in.observer)
	}
	return sealing.WithoutLost(ctx, repo, sealing.Losing{
		Observer: in.observer, Confirm: o.Confirm, Points: in.nothingLostOfAny, Written: func() error { return in.written(notHeld()) },
	})
}

// nothingLostOfAny are the points of the catalog, if it has all that the journal knows of, of any installation.
func (in *Installation) nothingLostOfAny(ctx context.Context) ([]cofre.RecoveryPoint, error) {
	if err := in.written(notHeld()); err != nil { // a journal that this run has made has its first entry then
		return nil, err
	}
	return in.compared(ctx, record.Looker.NothingLostOfAny)
}

// nothingLost refuses to prune while the catalog and the journal say that a recovery point is gone.
func (in *Installation) nothingLost(ctx context.Context) error {
	_, err := in.compared(ctx, record.Looker.NothingLost)
	return err
}

// compared are all points of the catalog, and what with says of them beside a journal that was as long before they were read.
func (in *Installation) compared(ctx context.Context, with func(record.Looker, context.Context, []cofre.RecoveryPoint, int64) error) ([]cofre.RecoveryPoint, error) {
	first, err := in.journalSize(ctx)
	if err != nil {
		return nil, err
	}
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	points := slices.Collect(cat.List(catalog.Want{}))
	return points, with(in.looker(repo), ctx, points, first)
}
