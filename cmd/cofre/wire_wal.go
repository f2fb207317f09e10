package main

import (
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
)

// createWALKeys gives a new repository its key for WAL.
func createWALKeys(ctx context.Context, cfg *config.Config) error {
	st, err := edge.WALStore(ctx, cfg)
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
	st, err := edge.WALStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return wal.CheckKeys(ctx, st, edge.UnlockWAL(ctx, cfg, st))
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
