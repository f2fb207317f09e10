// Package walstore opens what archiving and fetching WAL need of an installation: the floor of its repositories, where WAL rests as
// plain objects, and the key that reads it.
//
// It knows no repository format and imports none: PostgreSQL starts a process for each segment, and pays for whatever that
// process links. The rest of the product is package installation.
package walstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// Open opens the floor of a repository. It opens no repository: archiving a segment needs no password and must be quick.
//
// Errors: those of Config and of store.Open.
func Open(ctx context.Context, r config.Repository) (cofre.Store, error) {
	c, err := Config(r)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, c)
}

// Config is how the floor of a repository is reached.
//
// Errors: those of Repository.Address; cofre.ErrConfig if its credentials cannot be read.
func Config(r config.Repository) (store.Config, error) {
	address, err := r.Address()
	if err != nil {
		return store.Config{}, err
	}
	c := store.Config{URL: address}
	return c, config.ReadSecrets("repository", r.Credentials.Into(&c.AccessKey, &c.SecretKey, &c.SessionToken)...)
}

// Unlock returns the function that reads the key for WAL with the repository's password, which takes a moment on purpose. What it
// reads comes from whom the repository believes.
//
// Errors, of that function: cofre.ErrConfig without a password that can be read; those of wal.Unlock.
func Unlock(ctx context.Context, cfg *config.Config, r config.Repository, st cofre.Store) func() (wal.Identity, error) {
	unlock := unlocking(ctx, r, st)
	return func() (wal.Identity, error) {
		id, err := unlock()
		if err != nil {
			return id, err
		}
		return believing(cfg, r, st, id), nil
	}
}

// Systems opens a repository and lists the systems that it has WAL of. The key for it is read once, when it is asked for.
//
// Errors: those of Open and wal.Systems; of unlock those of Unlock's function.
func Systems(ctx context.Context, cfg *config.Config, r config.Repository) (st cofre.Store, systems []cofre.SystemID, unlock func() (wal.Identity, error), err error) {
	if st, err = Open(ctx, r); err != nil {
		return nil, nil, nil, err
	}
	if systems, err = wal.Systems(ctx, st); err != nil {
		return nil, nil, nil, err
	}
	return st, systems, sync.OnceValues(Unlock(ctx, cfg, r, st)), nil
}

func unlocking(ctx context.Context, r config.Repository, st cofre.Store) func() (wal.Identity, error) {
	return func() (wal.Identity, error) {
		password, err := r.Password.Read()
		if err != nil {
			return wal.Identity{}, fmt.Errorf("read the password of the repository: %w: %w", cofre.ErrConfig, err)
		}
		return wal.Unlock(ctx, st, password)
	}
}

// Archives are the repositories that WAL goes to: the repository and every copy, all of them mandatory. One that
// cannot be opened fails what is archived, once the others have it.
func Archives(ctx context.Context, cfg *config.Config) []wal.Archive {
	var all []wal.Archive
	for _, r := range cfg.Repositories() {
		all = append(all, ArchiveOf(ctx, cfg, r))
	}
	return all
}

// Clock is the time of the store of a repository.
//
// Errors: as of Open; those of the store.
func Clock(ctx context.Context, r config.Repository) (time.Time, error) {
	st, err := Open(ctx, r)
	if err != nil {
		return time.Time{}, err
	}
	return store.Clock(ctx, st)
}
