package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// walStore opens the floor of the repository, where WAL rests as plain objects. It opens no repository: archiving
// a segment needs no password and must be quick.
func walStore(ctx context.Context, cfg *config.Config) (cofre.Store, error) {
	c, err := storeConfig(cfg.Repository)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, c)
}

func storeConfig(r config.Repository) (store.Config, error) {
	address, err := addressOf(r)
	if err != nil {
		return store.Config{}, err
	}
	c := store.Config{URL: address}
	return c, readSecrets("repository", credentials(r.Credentials, &c.AccessKey, &c.SecretKey, &c.SessionToken)...)
}

// unlockWAL reads the key for WAL with the repository's password, which takes a moment on purpose.
func unlockWAL(ctx context.Context, cfg *config.Config, st cofre.Store) func() (wal.Identity, error) {
	return func() (wal.Identity, error) {
		password, err := cfg.Repository.Password.Read()
		if err != nil {
			return wal.Identity{}, fmt.Errorf("read the password of the repository: %w: %w", cofre.ErrConfig, err)
		}
		return wal.Unlock(ctx, st, password)
	}
}

// walRecipient is whom WAL is encrypted for: all that archiving needs to know of the repository.
//
// Errors: cofre.ErrNoRepo where there is no repository with a key for WAL.
func walRecipient(ctx context.Context, st cofre.Store) (wal.Recipient, error) {
	r, err := wal.LoadRecipient(ctx, st)
	if errors.Is(err, cofre.ErrNotFound) {
		return r, cofre.WithHint(fmt.Errorf("%w: %w", err, cofre.ErrNoRepo), "make the repository with cofre init, or correct repository.url")
	}
	return r, err
}

// createWALKeys gives a new repository its key for WAL.
func createWALKeys(ctx context.Context, cfg *config.Config) error {
	st, err := walStore(ctx, cfg)
	if err != nil {
		return err
	}
	password, err := cfg.Repository.Password.Read()
	if err != nil {
		return err
	}
	_, err = wal.CreateKeys(ctx, st, password)
	return err
}

// checkWALKeys reads back the key for WAL, which no recovery point refers to.
func checkWALKeys(ctx context.Context, cfg *config.Config) ([]cofre.Finding, error) {
	st, err := walStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return wal.CheckKeys(ctx, st, unlockWAL(ctx, cfg, st))
}

// walArchive lets a base backup ask which of its segments have been archived.
type walArchive struct{ store cofre.Store }

// Missing asks for each segment by name.
func (a walArchive) Missing(ctx context.Context, system cofre.SystemID, segments []string) ([]string, error) {
	var missing []string
	for _, s := range segments {
		object, err := wal.ObjectName(system, s)
		if err != nil {
			return nil, err
		}
		switch _, err := a.store.Stat(ctx, object); {
		case errors.Is(err, cofre.ErrNotFound):
			missing = append(missing, s)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}
