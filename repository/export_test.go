package repository

import (
	"context"
	"errors"
	"time"

	"github.com/kopia/kopia/repo"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/manifests"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/store"
)

// FlushEvery changes how often a capture begun from now on is flushed.
func FlushEvery(r *Repository, every time.Duration) { r.flushEvery = every }

// AwaitFlush returns when everything that the session has stored is flushed.
func AwaitFlush(s cofre.Session) {
	if err := s.(*session).writer.Flush(context.Background()); err != nil {
		panic(err)
	}
}

// WithStore puts a store in the place of the one that a repository writes to.
func WithStore(r *Repository, wrap func(cofre.Store) cofre.Store) {
	s := wrap(r.store)
	r.store, r.notes, r.blobs.Store, r.blobs.Seals.Store = s, s, s, s
}

// InitOn makes a repository on a store of any kind.
func InitOn(ctx context.Context, c Config, s cofre.Store) error {
	b := blobs.New(s)
	if err := initialize(ctx, c, b); err != nil {
		return err
	}
	r, err := openOn(ctx, c, s, s)
	if err != nil {
		return err
	}
	return errors.Join(r.born(ctx, b.Seals), r.Close(ctx))
}

// OpenOn opens the repository on a store of any kind.
func OpenOn(ctx context.Context, c Config, s cofre.Store) (*Repository, error) {
	return openOn(ctx, c, s, s)
}

// Forget has a repository know no more than one that was just opened: what it was about to write down when its store died is gone.
func Forget(r *Repository) {
	for _, r := range []*Repository{r, r.pastSelf} {
		if r != nil {
			r.blobs.Seals.Forget()
			r.blobs.Forget()
		}
	}
}

// WithClock opens a repository once more, by another clock.
func WithClock(ctx context.Context, r *Repository, now func() time.Time) (*Repository, error) {
	other, err := r.withClock(ctx, now)
	if other != nil {
		other.flushEvery = flushEvery
	}
	return other, err
}

// PublishAll makes points visible without proving anything, many with one write.
func PublishAll(ctx context.Context, r *Repository, points []cofre.RecoveryPoint) error {
	return r.writeManifests(ctx, "publish", func(w repo.DirectRepositoryWriter) error {
		for _, p := range points {
			for _, c := range p.Components {
				if err := manifests.SaveSnapshot(ctx, w, clientUser, p, c); err != nil {
					return err
				}
			}
			if _, err := w.PutManifest(ctx, manifests.Labels(p.ID), p); err != nil {
				return err
			}
		}
		return nil
	})
}

// Compact writes all manifests as one.
func Compact(ctx context.Context, r *Repository) error { return r.compactManifests(ctx, 0) }

// CapturesSayEvery changes how often a long capture says that it goes on, until it is undone.
func CapturesSayEvery(every time.Duration) (restore func()) { return pruning.SayEvery(every) }

// InitBefore makes a repository as versions did that knew no key.
func InitBefore(ctx context.Context, c Config) error {
	s, err := store.Open(ctx, c.store(true))
	if err != nil {
		return err
	}
	b := blobs.New(s)
	if err := initialize(ctx, c, b); err != nil {
		return err
	}
	if err := b.Seals.Flush(ctx); err != nil {
		return err
	}
	r, err := Open(ctx, c)
	if err != nil {
		return err
	}
	WithoutKey(r)
	return errors.Join(r.disownMaintenance(ctx), r.Close(ctx))
}

// WithoutKey has a repository write seals as versions did that knew no key.
func WithoutKey(r *Repository) { r.blobs.Seals.Key, r.blobs.Seals.Raised = nil, false }

// PruneWith prunes by other limits.
func PruneWith(ctx context.Context, r *Repository, limits pruning.Limits) (*cofre.Pruned, error) {
	return r.prune(ctx, false, limits)
}
