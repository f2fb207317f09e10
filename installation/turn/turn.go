// Package turn has one machine at a time do a job of an installation. Read Take.
package turn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/lease"
)

// giveBackBound is how long giving a lease back may take: it ends by itself otherwise.
const giveBackBound = 20 * time.Second

// Take takes the lease of a job by its name, so that of several machines one does it. held ends if the lease is lost; giveBack gives it back, also
// after ctx has ended. What is done by hand takes no lease. what is for people. It needs no password.
//
// Errors: cofre.ErrLocked, with the holder; cofre.ErrNoRepo; those of the store.
func Take(ctx context.Context, cfg *config.Config, name, what string) (held context.Context, giveBack func(), err error) {
	st, err := walstore.Open(ctx, cfg.Repository)
	if err != nil {
		return nil, nil, err
	}
	// A folder that nothing is mounted on is there as well, and takes leases.
	if _, err := walstore.ArchiveOf(ctx, cfg, cfg.Repository).Find(ctx); errors.Is(err, cofre.ErrNoRepo) {
		return nil, nil, err
	}
	sum := sha256.Sum256([]byte(name)) // a name may have what the name of a lease may not
	l, err := lease.Acquire(ctx, st, "agent/"+hex.EncodeToString(sum[:8]), lease.Options{For: what})
	if err != nil {
		return nil, nil, err
	}
	held, stop := l.Keep(ctx)
	return held, func() {
		stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackBound)
		defer cancel()
		_ = l.Release(ctx) // or it ends with its term
	}, nil
}
