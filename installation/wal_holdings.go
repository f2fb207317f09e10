package installation

import (
	"context"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
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

// holding is what one repository holds of one system's WAL.
type holding struct {
	repository config.Repository
	store      cofre.Store
	inv        *wal.Inventory
	err        error // why it could not be asked
}

// each hands over, for every system of which there are base backups or WAL, what each repository holds of it, in
// the order of the configuration, together with the base backups of all systems.
//
// Errors: those of the repository. One of a copy is in its holding.
func (w WAL) each(ctx context.Context, visit func([]holding, []recovery.BaseBackup) error) error {
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
	all, systems, err := w.stores(ctx)
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
			if h.err == nil {
				h.inv, h.err = wal.ReadInventory(ctx, h.store, system, sizes[system], walstore.Unlock(ctx, w.in.cfg, h.repository, h.store))
			}
			if i == 0 && h.err != nil {
				return h.err
			}
		}
		if err := visit(of, backups); err != nil {
			return err
		}
	}
	return nil
}

// stores opens the floor of each repository, and lists the systems whose WAL is there.
//
// Errors: those of the repository. One of a copy is in its holding.
func (w WAL) stores(ctx context.Context) ([]holding, []cofre.SystemID, error) {
	repositories := w.in.cfg.Repositories()
	all := make([]holding, len(repositories))
	var systems []cofre.SystemID
	for i, r := range repositories {
		h := &all[i]
		h.repository = r
		if h.store, h.err = walstore.Open(ctx, r); h.err == nil {
			var here []cofre.SystemID
			here, h.err = wal.Systems(ctx, h.store)
			systems = append(systems, here...)
		}
		if i == 0 && h.err != nil {
			return nil, nil, h.err
		}
	}
	return all, systems, nil
}

// asked is what each repository holds; nil of one that could not be asked.
func asked(all []holding) []*wal.Inventory {
	inventories := make([]*wal.Inventory, len(all))
	for i, h := range all {
		if h.err == nil {
			inventories[i] = h.inv
		}
	}
	return inventories
}

// named is what each repository holds, with its address.
func named(all []holding) (held []walhealth.Held) {
	for _, h := range all {
		held = append(held, walhealth.Held{URL: h.repository.URL, Inventory: h.inv, Err: h.err})
	}
	return held
}
