package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/drilling"
)

// drillRecovery finds the way to the moment that a cluster is drilled to, and the point that it begins with.
//
// Errors: those of drilling.Job.Choose and of recoveryWay: that the moment cannot be reached is for the drill to say.
func (in *Installation) drillRecovery(ctx context.Context, d *drilling.Job) error {
	_, cat, err := in.open(ctx)
	if err != nil {
		return err
	}
	var w way
	err = d.Choose(in.cfg, func() (string, error) { return in.newestCheckpoint(ctx) }, func(to cofre.RecoveryTarget, ref string) (drilling.Recovery, error) {
		w, err = in.recoveryWay(ctx, cat, to, ref)
		return drilling.Recovery{Point: w.point, Target: w.target, Plan: w.recovery}, err
	})
	if err != nil {
		if point, c, missing := cat.Component(d.Point, catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindCluster}); missing == nil {
			d.Point, d.Root = string(point.ID), c.Root // of which it is said
		}
		return err
	}
	d.Recovery.Command, err = in.restoreCommand(w, nil)
	return err
}

// newestCheckpoint is the line of the newest checkpoint of the journal.
//
// Errors: cofre.ErrNotFound if there is no journal.
func (in *Installation) newestCheckpoint(ctx context.Context) (string, error) {
	k, err := in.knownJournal(ctx, "")
	if err != nil {
		return "", err
	}
	_, newest, err := k.Newest(ctx)
	return newest, err
}
