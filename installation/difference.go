package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/difference"
	"github.com/trustlayer/cofre/observe"
)

// Difference is what changed from one point to another.
type Difference struct {
	From, To cofre.RecoveryPoint
	Changes  []difference.Change // by component, in the order of cofre.Kinds
}

// Difference says what changed from one recovery point to another, by what was recorded with them: of files and objects no
// bytes are read, and of tables no rows. A point is given by its id, an unambiguous prefix of one, or latest.
//
// Errors: cofre.ErrNotFound and cofre.ErrAmbiguous for a point; those of the repository.
func (in *Installation) Difference(ctx context.Context, from, to string) (_ *Difference, err error) {
	end := in.begin(ctx, cofre.RunDifference, observe.About{})
	defer func() { end(err) }()
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	var d Difference
	if d.From, err = cat.Find(from, catalog.Want{Installation: in.cfg.Name}); err != nil {
		return nil, err
	}
	if d.To, err = cat.Find(to, catalog.Want{Installation: in.cfg.Name}); err != nil {
		return nil, err
	}
	if d.Changes, err = difference.Between(ctx, repo, d.From, d.To); err != nil {
		return nil, err
	}
	cofre.Tell(in.observer, cofre.Compared{From: d.From.ID, To: d.To.ID, Changes: len(d.Changes)})
	return &d, nil
}
