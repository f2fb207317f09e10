package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// createWALKeys gives a repository that has no key for WAL one, and reports whether it had none.
func (in *Installation) createWALKeys(ctx context.Context, r config.Repository) (made bool, err error) {
	st, err := walstore.Open(ctx, r)
	if err != nil {
		return false, err
	}
	password, err := r.Password.Read()
	if err != nil {
		return false, err
	}
	_, had := wal.LoadRecipient(ctx, st)
	recipient, err := wal.CreateKeys(ctx, st, password)
	if made = err == nil && errors.Is(had, cofre.ErrNotFound); made {
		cofre.Tell(in.observer, cofre.KeyMade{Repository: r.URL, Key: "wal", Public: recipient.String()})
	}
	return made, err
}

// baseBackups lists the base backups of an installation, oldest first, with the size of WAL segments by system.
func baseBackups(cat *catalog.Catalog, installation string) ([]recovery.BaseBackup, map[cofre.SystemID]int64, error) {
	var backups []recovery.BaseBackup
	sizes := map[cofre.SystemID]int64{}
	for p := range cat.List(catalog.Want{Installation: installation, Kind: cofre.KindCluster}) {
		for _, c := range p.Components {
			if c.Kind != cofre.KindCluster {
				continue
			}
			s, err := physical.ParseSummary(c.Facts)
			if err != nil {
				return nil, nil, fmt.Errorf("read the facts of the base backup of %s: %w", p.ID, err)
			}
			sizes[s.SystemID] = s.WALSegmentSize
			backups = append(backups, recovery.BaseBackup{
				Point: p.ID, SystemID: s.SystemID, Timeline: s.Timeline, Start: s.StartLSN, Stop: s.StopLSN,
				StartedAt: s.StartedAt, StoppedAt: s.StoppedAt, Bytes: c.Bytes, OwnWAL: s.WALIncluded, OwnWALOnly: s.OwnWALOnly, ForeignWAL: s.ForeignWAL, Partial: c.Partial, Dropping: s.Dropping,
			})
		}
	}
	return backups, sizes, nil
}

// walCopies adds to an inventory what the copies hold, and returns them to be read from. One that cannot be asked is
// told of and left out: what is planned then comes from the others.
func walCopies(ctx context.Context, cfg *config.Config, inv *wal.Inventory, warn func(string)) []*fetch.Copy {
	var copies []*fetch.Copy
	for i, r := range cfg.Copies {
		open := func(ctx context.Context) (cofre.Store, wal.Identity, error) {
			st, err := walstore.Open(ctx, r)
			if err != nil {
				return nil, wal.Identity{}, err
			}
			id, err := walstore.Unlock(ctx, r, st)()
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
		copies = append(copies, &fetch.Copy{URL: r.URL, Open: func(context.Context) (cofre.Store, wal.Identity, error) { return st, id, nil }})
	}
	return copies
}
