package installation

import (
	"context"
	"slices"

	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/walhealth"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// WAL is the archived WAL of an installation, in its repository and in every copy.
type WAL struct{ in *Installation }

// WAL leads to what is done with archived WAL.
func (in *Installation) WAL() WAL { return WAL{in} }

// each hands over, for every system of which there are base backups or WAL, what each repository holds of it, in
// the order of the configuration, together with the base backups of all systems.
//
// Errors: those of the repository. One of a copy is in what it holds.
func (w WAL) each(ctx context.Context, visit func([]walstore.Holding, []recovery.BaseBackup) error) error {
	repo, err := w.in.reading(ctx)
	if err != nil {
		return err
	}
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return err
	}
	// Those of every installation: WAL belongs to a system, and what one of them needs is needed.
	backups, sizes, err := physical.BaseBackups(cat.List(catalog.Want{}))
	if err != nil {
		return err
	}
	all, systems, err := walstore.Everywhere(ctx, w.in.cfg.Repositories())
	if err != nil {
		return err
	}
	for _, b := range backups {
		systems = append(systems, b.SystemID)
	}
	slices.Sort(systems)
	for _, system := range slices.Compact(systems) {
		of := slices.Clone(all)
		for i := range of {
			h := &of[i]
			if h.Err == nil {
				h.Inventory, h.Err = wal.ReadInventory(ctx, h.Store, system, sizes[system], walstore.Unlock(ctx, w.in.cfg, h.Repository, h.Store))
			}
			if i == 0 && h.Err != nil {
				return h.Err
			}
		}
		if err := visit(of, backups); err != nil {
			return err
		}
	}
	return nil
}

// asked is what each repository holds; nil of one that could not be asked.
func asked(all []walstore.Holding) []*wal.Inventory {
	inventories := make([]*wal.Inventory, len(all))
	for i, h := range all {
		if h.Err == nil {
			inventories[i] = h.Inventory
		}
	}
	return inventories
}

// named is what each repository holds, with its address.
func named(all []walstore.Holding) (held []walhealth.Held) {
	for _, h := range all {
		held = append(held, walhealth.Held{URL: h.Repository.URL, Inventory: h.Inventory, Err: h.Err})
	}
	return held
}
