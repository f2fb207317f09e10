package installation

import (
	"context"

	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/sealing"
	"github.com/trustlayer/cofre/installation/standing"
	"github.com/trustlayer/cofre/status"
)

// Status says how the installation stands. What could not be read is said in it, and makes no error.
//
// Errors: that of ctx.
func (in *Installation) Status(ctx context.Context) (*status.Status, error) {
	in.pastSaid = true // by what is returned
	return standing.Of(ctx, in.cfg, in.cfg.Objectives.RPO.Duration, in.Seen, func(ctx context.Context) (*standing.Opened, error) {
		repo, err := in.reading(ctx)
		if err != nil {
			return nil, err
		}
		o := &standing.Opened{Name: in.cfg.Name}
		o.Vault, _ = repo.(journaling.Vault)
		if o.Catalog, err = in.catalog(ctx, repo); err != nil {
			return o, err
		}
		o.Name = in.cfg.Name
		if o.Catalog.Lacks() == nil { // by another's format no seal is believed, and sealing would be the wrong advice
			if o.Unsealed, err = sealing.Open(ctx, repo); err != nil {
				return o, err
			}
		}
		o.Damage, err = damageOf(ctx, repo)
		return o, err
	})
}
