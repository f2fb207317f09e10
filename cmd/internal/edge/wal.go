package edge

import (
	"context"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// WALStore opens the floor of a repository, where WAL rests as plain objects. It opens no repository: archiving
// a segment needs no password and must be quick.
func WALStore(ctx context.Context, r config.Repository) (cofre.Store, error) {
	c, err := StoreConfig(r)
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
func UnlockWAL(ctx context.Context, r config.Repository, st cofre.Store) func() (wal.Identity, error) {
	return func() (wal.Identity, error) {
		password, err := r.Password.Read()
		if err != nil {
			return wal.Identity{}, fmt.Errorf("read the password of the repository: %w: %w", cofre.ErrConfig, err)
		}
		return wal.Unlock(ctx, st, password)
	}
}

// WALArchives are the repositories that WAL goes to: the repository and every copy, all of them mandatory. One that
// cannot be opened fails what is archived, once the others have it.
func WALArchives(ctx context.Context, cfg *config.Config) []wal.Archive {
	var all []wal.Archive
	for _, r := range cfg.Repositories() {
		st, err := WALStore(ctx, r)
		all = append(all, wal.Archive{Store: st, Unusable: err})
	}
	return all
}
