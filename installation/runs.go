package installation

import (
	"context"

	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/walstore"
)

// Runs lists what ran, the newest last. It needs no password. Runs that only this host knows of are listed also if the repository cannot be read: they
// come with the error.
//
// Errors: those of the repository; cofre.ErrFindings if the journal is not whole.
func (in *Installation) Runs(ctx context.Context, want runs.Want) ([]runs.Run, error) {
	if !in.cfg.NameGuessed {
		want.Installation = in.cfg.Name
	}
	var h runs.History
	marks := in.marks().Unended() // before the journal is read: of a run that ends, or is settled, meanwhile one of the two says so
	st, err := walstore.Open(ctx, in.cfg.Repository)
	if err == nil {
		var state string
		if state, err = in.cfg.StateFolder(); err == nil {
			err = journaling.Runs(ctx, st, state, &h)
		}
	}
	h.Marks(marks)
	return h.Runs(want), err
}

// Run says all that is known of one run, by its id, an unambiguous beginning or end of one, or latest. What of it could not be read is said in it.
//
// Errors: cofre.ErrNotFound and cofre.ErrAmbiguous; those of Runs, if the run is not among what could be read.
func (in *Installation) Run(ctx context.Context, name string) (*journaling.Detail, error) {
	all, unread := in.Runs(ctx, runs.Want{})
	r, err := journaling.FindRun(all, name)
	if err != nil && unread != nil {
		return nil, unread
	}
	if err != nil {
		return nil, err
	}
	repo, err := in.reading(ctx)
	v, _ := repo.(journaling.Vault)
	return journaling.Describe(ctx, r, v, err), nil
}
