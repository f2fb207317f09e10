package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
)

// createWALKeys gives a new repository its key for WAL.
func createWALKeys(ctx context.Context, r config.Repository) error {
	st, err := edge.WALStore(ctx, r)
	if err != nil {
		return err
	}
	password, err := r.Password.Read()
	if err != nil {
		return err
	}
	_, err = wal.CreateKeys(ctx, st, password)
	return err
}

// checkWAL reads back all the WAL of a repository and its key, which no recovery point refers to.
func checkWAL(ctx context.Context, r config.Repository) ([]cofre.Finding, error) {
	st, err := edge.WALStore(ctx, r)
	if err != nil {
		return nil, err
	}
	unlock := sync.OnceValues(edge.UnlockWAL(ctx, r, st))
	found, err := wal.CheckKeys(ctx, st, unlock)
	if err != nil || len(found) > 0 {
		return found, err
	}
	id, err := unlock()
	if errors.Is(err, cofre.ErrNotFound) {
		return nil, nil // a repository without a key for WAL holds none
	}
	if err != nil {
		return nil, err
	}
	if found, err = wal.CheckSegments(ctx, st, id); err != nil {
		return found, err
	}
	histories, err := wal.CheckHistories(ctx, st, id)
	return append(found, histories...), err
}

// walCopies adds to an inventory what the copies hold, and returns them to be read from. One that cannot be asked is
// told of and left out: what is planned then comes from the others.
func walCopies(ctx context.Context, cfg *config.Config, inv *wal.Inventory, warn func(string)) []*wal.Copy {
	var copies []*wal.Copy
	for i, r := range cfg.Copies {
		open := func(ctx context.Context) (cofre.Store, wal.Identity, error) {
			st, err := edge.WALStore(ctx, r)
			if err != nil {
				return nil, wal.Identity{}, err
			}
			id, err := edge.UnlockWAL(ctx, r, st)()
			return st, id, err
		}
		st, id, err := open(ctx)
		var held *wal.Inventory
		if err == nil {
			held, err = wal.ReadInventory(ctx, st, inv.SystemID, inv.SegmentSize, func() (wal.Identity, error) { return id, nil })
		}
		if err != nil {
			warn(fmt.Sprintf("copies[%d] is left out of the plan: %s", i, cofre.OneLine(err)))
			continue
		}
		inv.Merge(held)
		copies = append(copies, &wal.Copy{URL: r.URL, Open: func(context.Context) (cofre.Store, wal.Identity, error) { return st, id, nil }})
	}
	return copies
}

// walArchive lets a base backup ask which of its segments have been archived.
type walArchive struct {
	store cofre.Store
	all   []wal.Archive // the repository and its copies
}

// Holds asks the repository.
func (a walArchive) Holds(ctx context.Context, system cofre.SystemID, name string, content []byte) (bool, error) {
	return wal.Holds(ctx, wal.Archive{Store: a.store}, system, name, content)
}

// PutHistory puts it into the repository and its copies.
func (a walArchive) PutHistory(ctx context.Context, system cofre.SystemID, tli cofre.Timeline, content []byte) error {
	return wal.ArchiveHistory(ctx, a.all, system, tli, content)
}

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
