package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/coverage"
	"github.com/trustlayer/cofre/lease"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/manifests"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
	"github.com/trustlayer/cofre/store"
)

var _ cofre.Pruner = (*Repository)(nil)

// pruneLease is the right to prune.
const pruneLease = "prune"

// Prune gives back what no point refers to, and writes many small files as few. It works beside captures, publications and restores, on
// whatever machine; package pruning says why. Bytes are deleted by the second run, a day after the first has announced them.
// dryRun does nothing, needs no right to write, and says what would be done.
//
// Errors: ErrReadOnly; ErrLocked if somebody else prunes, or has taken the lease meanwhile; ErrCorrupt if something that names what a
// point needs cannot be read: nothing is pruned then; those of the store; that of ctx. After any error every point is as it was, and
// the next call goes on.
func (r *Repository) Prune(ctx context.Context, dryRun bool) (*cofre.Pruned, error) {
	done, err := r.prune(ctx, dryRun, pruning.Usual)
	if err != nil {
		return nil, fmt.Errorf("prune repository %s: %w", r.URL(), err)
	}
	return done, nil
}

// Frees is Prune as a dry run, if components had left the catalog. Errors are as of Prune.
func (r *Repository) Frees(ctx context.Context, what ...cofre.Expiry) (*cofre.Pruned, error) {
	points, err := r.points(ctx)
	if err != nil {
		return nil, err
	}
	p := r.pruner(pruning.Usual, true)
	p.Roots = func(ctx context.Context) ([]string, error) {
		roots, err := r.roots(ctx)
		return manifests.Without(roots, points, what), err
	}
	ctx, a := blobs.Try(ctx)
	done, err := p.Run(ctx)
	return done, a.Done(err)
}

func (r *Repository) pruner(limits pruning.Limits, dryRun bool) *pruning.Pruner {
	return &pruning.Pruner{
		Store: r.store, Kopia: r.kopia, Blobs: r.blobs, Key: r.blobs.Seals.Key, Limits: limits, DryRun: dryRun,
		ByName:  r.blobs.Indexes.ByName,
		Refresh: func(ctx context.Context) error { return trouble.Of("read its indexes", r.refresh(ctx)) },
		Flush:   func(ctx context.Context, w repo.RepositoryWriter) error { return trouble.Of("flush", r.flush(ctx, w)) },
		Past: func(ctx context.Context) (repo.DirectRepositoryWriter, error) {
			past, err := r.past(ctx)
			if err != nil {
				return nil, err
			}
			return past.kopia, nil
		},
		Roots:     r.roots,
		Directory: r.readDirectory,
		Lost: func(ctx context.Context) (map[content.ID]string, error) {
			known, err := r.readDamage(ctx)
			if err != nil || len(known) == 0 {
				return nil, err
			}
			return r.lost(ctx, known)
		},
	}
}

func (r *Repository) prune(ctx context.Context, dryRun bool, limits pruning.Limits) (*cofre.Pruned, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := r.pruner(limits, dryRun)
	if dryRun {
		ctx, a := blobs.Try(ctx)
		done, err := p.Run(ctx)
		return done, a.Done(err)
	}
	if r.config.ReadOnly {
		return nil, fmt.Errorf("it was opened to read: %w", cofre.ErrReadOnly)
	}
	held, err := lease.Acquire(ctx, r.store, pruneLease, lease.Options{For: "prune"})
	if err != nil {
		return nil, err
	}
	p.Commit = held.Commit
	during, stop := held.Keep(ctx)
	done, err := r.pruneUnder(during, p)
	if lost := context.Cause(during); err != nil && ctx.Err() == nil && lost != nil {
		err = errors.Join(lost, err)
	}
	stop()
	return done, errors.Join(err, r.giveBack(ctx, held))
}

func (r *Repository) pruneUnder(ctx context.Context, p *pruning.Pruner) (*cofre.Pruned, error) {
	if err := seal.Mend(ctx, r.store, r.blobs.Seals.Key); err != nil {
		return nil, err
	}
	undo, err := r.indexesVouched(ctx)
	defer undo()
	if err != nil {
		return nil, err
	}
	if err := r.compactManifests(ctx, 2); err != nil {
		return nil, err
	}
	// The library asks for ever for what a store that is gone does not answer.
	attempt, a := blobs.Try(ctx)
	done, err := p.Run(attempt)
	if err = a.Done(err); err != nil {
		return nil, err
	}
	now, err := store.Clock(ctx, r.store)
	if err != nil {
		return nil, err
	}
	return done, coverage.Sweep(ctx, r.store, r, now, p.Commit)
}

// past is the repository by a clock that stands in the past, for marks that never win against what is stored meanwhile: see condemn.
// It is opened once, for that takes the derivation of a key, and closed with r.
func (r *Repository) past(ctx context.Context) (*Repository, error) {
	r.pastLock.Lock()
	defer r.pastLock.Unlock()
	if r.pastSelf == nil {
		past, err := r.withClock(ctx, func() time.Time { return condemnedAt })
		if err != nil {
			return nil, err
		}
		r.pastSelf = past
	}
	return r.pastSelf, trouble.Of("read its indexes", r.pastSelf.refresh(ctx))
}

// roots are the objects that points and snapshots, also those of others, refer to.
func (r *Repository) roots(ctx context.Context) ([]string, error) {
	points, err := r.points(ctx)
	if err != nil {
		return nil, err
	}
	roots, err := manifests.Snapshots(ctx, r.kopia)
	if err != nil {
		return nil, trouble.Of("list snapshots", err)
	}
	for _, p := range points {
		for _, c := range p.Components {
			roots = append(roots, string(c.Root))
		}
	}
	return roots, nil
}
