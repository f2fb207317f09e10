package edge

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// WALStore opens the floor of the repository, where WAL rests as plain objects. It opens no repository: archiving
// a segment needs no password and must be quick.
func WALStore(ctx context.Context, cfg *config.Config) (cofre.Store, error) {
	c, err := StoreConfig(cfg.Repository)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, c)
}

// StoreConfig is how the floor of a repository is reached.
//
// Errors: cofre.ErrConfig.
func StoreConfig(r config.Repository) (store.Config, error) {
	address, err := AddressOf(r)
	if err != nil {
		return store.Config{}, err
	}
	c := store.Config{URL: address}
	return c, ReadSecrets("repository", Credentials(r.Credentials, &c.AccessKey, &c.SecretKey, &c.SessionToken)...)
}

// UnlockWAL reads the key for WAL with the repository's password, which takes a moment on purpose.
func UnlockWAL(ctx context.Context, cfg *config.Config, st cofre.Store) func() (wal.Identity, error) {
	return func() (wal.Identity, error) {
		password, err := cfg.Repository.Password.Read()
		if err != nil {
			return wal.Identity{}, fmt.Errorf("read the password of the repository: %w: %w", cofre.ErrConfig, err)
		}
		return wal.Unlock(ctx, st, password)
	}
}

// WALRecipient is whom WAL is encrypted for: all that archiving needs to know of the repository.
//
// Errors: cofre.ErrNoRepo where there is no repository with a key for WAL.
func WALRecipient(ctx context.Context, st cofre.Store) (wal.Recipient, error) {
	r, err := wal.LoadRecipient(ctx, st)
	if errors.Is(err, cofre.ErrNotFound) {
		return r, cofre.WithHint(fmt.Errorf("%w: %w", err, cofre.ErrNoRepo), "make the repository with cofre init, or correct repository.url")
	}
	return r, err
}
