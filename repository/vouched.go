package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
	"github.com/trustlayer/cofre/repository/vouching"
)

var _ cofre.Forgoer = (*Repository)(nil)

func (r *Repository) memory() vouching.Memory { return vouching.Memory{Dir: r.config.StateDir} }

// ledger is what the seals say. As long as the repository is not opened, that is of decay only.
func (r *Repository) ledger(ctx context.Context) (*seal.Ledger, error) {
	if r.kopia == nil {
		return seal.ReadLedger(ctx, r.store, nil, false)
	}
	return r.memory().Ledger(ctx, r.store, r.blobs.Seals.Key, r.kopia.UniqueID())
}

// Vouch proves by decryption what has no seal under the repository's key, and seals it: see vouching.Raiser.
//
// Errors: cofre.ErrFindings with the result; ErrReadOnly; those of the store; that of ctx.
func (r *Repository) Vouch(ctx context.Context, obs cofre.Observer) (*cofre.Sealed, error) {
	if r.config.ReadOnly {
		return nil, fmt.Errorf("seal: repository %s was opened to read: %w", r.URL(), cofre.ErrReadOnly)
	}
	if err := r.refresh(ctx); err != nil {
		return nil, trouble.Of("read its indexes", err)
	}
	raiser := &vouching.Raiser{Store: r.store, Blobs: r.blobs, Kopia: r.kopia, Password: r.config.Password.Reveal(), Memory: r.memory()}
	sealed, err := raiser.Raise(ctx, obs)
	if err != nil && !errors.Is(err, cofre.ErrFindings) {
		err = fmt.Errorf("seal repository %s: %w", r.URL(), trouble.Of("prove what is stored", err))
	}
	return sealed, err
}

func (r *Repository) forgoer() *vouching.Forgoer {
	return &vouching.Forgoer{Blobs: r.blobs, Kopia: r.kopia, Ledger: r.ledger, Flush: r.flush, Refresh: r.refresh, Condemn: r.condemn}
}

// Lost finds the sealed indexes that are lost: see vouching.Forgoer. What can be put back from the other copy is, unless r was opened to read.
//
// Errors: those of the store.
func (r *Repository) Lost(ctx context.Context) (*cofre.Lost, error) {
	if _, err := r.mend(ctx); err != nil {
		return nil, err
	}
	return r.forgoer().Lost(ctx)
}

// Rebuild writes an index of what is in packs and in no index.
//
// Errors: ErrReadOnly; those of the store.
func (r *Repository) Rebuild(ctx context.Context, l *cofre.Lost) error {
	return trouble.Of("rebuild an index", r.forgoer().Rebuild(ctx, l))
}

// Forgo has the seals say that lost indexes are gone on purpose.
//
// Errors: ErrReadOnly; those of the store.
func (r *Repository) Forgo(ctx context.Context, l *cofre.Lost) error {
	return r.forgoer().Forgo(ctx, l)
}

// Vouched reports whether only seals under the key are believed.
//
// Errors: those of the store.
func (r *Repository) Vouched(ctx context.Context) (bool, error) {
	if r.blobs.Seals.Raised {
		return true, nil
	}
	l, err := r.ledger(ctx)
	return err == nil && l.Raised, err
}

// indexesVouched refuses to prune by indexes that nobody with the password has written, or without one that somebody has: what they name would
// be taken for what nobody needs.
func (r *Repository) indexesVouched(ctx context.Context) (undo func(), err error) {
	return vouching.Indexes(ctx, r.kopia, r.blobs, r.ledger, r.refresh)
}

// Unread says which indexes cannot be read, so that points may be missing; nil if all are, or none that cannot is one that this repository has written.
//
// Errors: cofre.ErrCorrupt, with the name of one; those of the store.
func (r *Repository) Unread(ctx context.Context) error {
	if len(r.blobs.Indexes.Passed()) == 0 {
		return nil
	}
	l, err := r.ledger(ctx)
	if err != nil {
		return err
	}
	return vouching.Unread(ctx, r.blobs, l)
}

// NoneRead reports whether there are indexes, and none of them can be read: with the format of another repository, or all are damaged.
//
// Errors: those of the store.
func (r *Repository) NoneRead(ctx context.Context) (bool, error) {
	return vouching.NoneRead(ctx, r.blobs)
}

// decrypt decrypts the packs that no seal under the key vouches for. What only a hidden index names is not decrypted, and nothing is proven by the others.
func (v *verification) decrypt(ctx context.Context, d *damage, hidden bool) error {
	unproven := v.files.Unproven()
	if len(unproven) == 0 {
		return nil
	}
	if !hidden {
		v.Observer.Observe(vouching.Warning(len(unproven)))
	}
	return vouching.Decrypt(ctx, v.repo.kopia, v.repo.blobs, unproven, func(p vouching.Decrypted) error {
		name := v.repo.blobs.Naming.Name(p.Pack)
		if whole := len(p.Bad) == 0; whole && hidden {
			return nil
		} else if v.files.Note(ctx, name, whole); whole {
			return nil
		}
		what := "is as its seal says, which anybody can have written, and does not hold what was encrypted"
		d.problems = append(d.problems, seal.Problem{Name: name, What: what})
		for _, i := range p.Bad {
			d.found.add(i, fmt.Sprintf("is damaged: %s %s", name, what))
		}
		return nil
	})
}

// forged finds the contents that cannot be read of packs which a point takes over and which were written again since they were sealed.
func (r *Repository) forged(ctx context.Context, packs map[blob.ID]int64, used map[blob.ID]cofre.StoredObject) (map[content.ID]string, error) {
	l, err := r.ledger(ctx)
	if err != nil {
		return nil, err
	}
	doubtful, err := vouching.Doubts(ctx, r.store, r, l, used)
	if err != nil || len(doubtful) == 0 {
		return nil, err
	}
	found, err := r.examine(ctx, packs, doubtful)
	if err != nil {
		return nil, err
	}
	return found.lost, nil
}
