package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/manifests"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/trouble"
)

// catalogLease is the right to take something out of the manifests: to expire, and to write many of them as one. Manifests of two
// machines are merged whatever the order, but an entry that says "deleted" is left out when many are written as one; somebody who
// wrote them at that moment from what he had read before would bring back what was expired. Publishing only adds, and needs no lease.
const catalogLease = "catalog"

// manyManifests is how many manifest contents are written as one: each costs whoever lists points a request.
const manyManifests = 16

// Expire takes components of points, or whole points, out of the catalog, and their snapshots with them. A point that a component
// left is written anew without it, and says what went. Versions that know nothing of this list it with the components it has.
//
// In this order: the lease "catalog" is taken, the indexes are read, everything that goes and everything that is written anew is
// put into one content, the lease is asked whether it still holds, and the content, its pack and its index are written. Only the index
// makes it visible, so after a crash all of it is done or nothing; in the second case a pack is left that nothing refers to. No
// byte of what expired is touched: to prune is a second, later act.
//
// Errors: ErrReadOnly; ErrNotFound if one of what is named is not there; ErrLocked if somebody else is expiring; ErrCorrupt if the indexes
// or the points cannot be read, or if one index cannot, so that points may be hidden; those of the store; that of ctx. After any error nothing has expired, unless the store failed in the last
// request and had carried it out.
func (r *Repository) Expire(ctx context.Context, what ...cofre.Expiry) ([]cofre.Expired, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.config.ReadOnly {
		return nil, fmt.Errorf("expire: repository %s was opened to read: %w", r.URL(), cofre.ErrReadOnly)
	}
	if len(what) == 0 {
		return nil, nil
	}
	if err := r.Unread(ctx); err != nil {
		return nil, fmt.Errorf("expire: recovery points may be hidden: %w", err)
	}
	return r.take(ctx, what)
}

// take is Expire, whatever may be hidden.
func (r *Repository) take(ctx context.Context, what []cofre.Expiry) ([]cofre.Expired, error) {
	held, err := lease.Acquire(ctx, r.store, catalogLease, lease.Options{For: "expire"})
	if err != nil {
		return nil, fmt.Errorf("expire: %w", err)
	}
	about, err := pruning.Intend(ctx, r.store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("expire: %w", err), r.giveBack(ctx, held))
	}
	defer about.End(ctx)
	expired, err := r.expire(ctx, held, what)
	return expired, errors.Join(err, r.giveBack(ctx, held))
}

// giveBack releases a lease, also where nobody waits any more.
func (r *Repository) giveBack(ctx context.Context, held *lease.Lease) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := held.Release(bounded); err != nil && ctx.Err() == nil {
		return err
	}
	return nil // it ends with its term
}

func (r *Repository) expire(ctx context.Context, held *lease.Lease, what []cofre.Expiry) ([]cofre.Expired, error) {
	if err := r.refresh(ctx); err != nil {
		return nil, trouble.Of("expire: read its indexes", err)
	}
	var expired []cofre.Expired
	var ahead time.Time
	err := r.writeManifests(ctx, "expire", func(w repo.DirectRepositoryWriter) error {
		c, err := manifests.Read(ctx, w)
		if err != nil {
			return trouble.Of("expire: read recovery points", err)
		}
		for _, e := range what {
			gone, err := c.Expire(e, time.Now())
			if err != nil {
				return fmt.Errorf("expire %s: %w", e.Point, err)
			}
			expired = append(expired, gone)
		}
		if newest := c.Newest(); r.now == nil && !newest.Before(time.Now()) {
			ahead = newest.Add(time.Second)
			return errAhead
		}
		if err := c.Write(ctx, w); err != nil {
			return trouble.Of("expire: write the manifests", err)
		}
		return held.Commit(ctx, fmt.Sprintf("expire %d", len(what)))
	})
	if !errors.Is(err, errAhead) {
		return expired, err
	}
	// What says "deleted" is merged with what it deletes, and the later one holds: a clock ahead of ours has written the latter.
	later, err := r.withClock(ctx, func() time.Time { return ahead })
	if err != nil {
		return nil, fmt.Errorf("expire: %w", err)
	}
	expired, err = later.expire(ctx, held, what)
	return expired, errors.Join(err, later.Close(ctx), trouble.Of("expire: read its indexes", r.refresh(ctx)))
}

var errAhead = errors.New("a manifest has a time that is yet to come")

// withClock opens the repository once more, by another clock.
func (r *Repository) withClock(ctx context.Context, now func() time.Time) (*Repository, error) {
	other := &Repository{config: r.config, store: r.store, notes: r.notes, blobs: blobs.New(r.store), computing: blobs.NewTurns(), now: now}
	other.blobs.Indexes = r.blobs.Indexes
	return other, other.connect(ctx)
}

// compactManifests writes the manifests as one content if they are in many, and if nobody expires at this moment.
func (r *Repository) compactManifests(ctx context.Context, many int) error {
	if n, err := manifests.Contents(ctx, r.kopia); err != nil || n < many {
		return trouble.Of("count manifests", err)
	}
	if r.Unread(ctx) != nil {
		return nil // what was deleted would be there again once the index that cannot be read is brought back
	}
	held, err := lease.Acquire(ctx, r.store, catalogLease, lease.Options{For: "write manifests as one"})
	if errors.Is(err, cofre.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	about, err := pruning.Intend(ctx, r.store)
	if err == nil {
		defer about.End(ctx)
		err = r.refresh(ctx)
	}
	if err == nil {
		err = r.writeManifests(ctx, "write manifests as one", func(w repo.DirectRepositoryWriter) error {
			if err := manifests.Compact(ctx, w); err != nil {
				return err
			}
			return held.Commit(ctx, "write manifests as one")
		})
	}
	return errors.Join(trouble.Of("write manifests as one", err), r.giveBack(ctx, held))
}
