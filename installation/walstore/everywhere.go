package walstore

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Holding is what one repository holds of one system's WAL.
type Holding struct {
	Repository config.Repository
	Store      cofre.Store
	Inventory  *wal.Inventory // nil before it was read
	Err        error          // why it could not be asked
}

// Everywhere opens the floor of each repository, and lists the systems whose WAL is there.
//
// Errors: those of the first. One of a copy is in its holding.
func Everywhere(ctx context.Context, repositories []config.Repository) ([]Holding, []cofre.SystemID, error) {
	all := make([]Holding, len(repositories))
	var systems []cofre.SystemID
	for i, r := range repositories {
		h := &all[i]
		h.Repository = r
		if h.Store, h.Err = Open(ctx, r); h.Err == nil {
			var here []cofre.SystemID
			here, h.Err = wal.Systems(ctx, h.Store)
			systems = append(systems, here...)
		}
		if i == 0 && h.Err != nil {
			return nil, nil, h.Err
		}
	}
	return all, systems, nil
}
