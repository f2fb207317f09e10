package installation

import (
	"cmp"
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/drilling"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/observe"
)

// Drill restores a database, a cluster, files or objects to a place of its own, which touches nothing real, compares it with what was captured, and asks a database what
// the configuration asks. Nothing is left, also of drills that were killed.
//
// Errors: those of drilling.Job.Drill, with the result; those of the repository and its catalog.
func (in *Installation) Drill(ctx context.Context, kind cofre.Kind, o drilling.Options) (_ *drilling.Result, err error) {
	end := in.begin(ctx, cofre.RunDrill, observe.About{What: string(kind)})
	defer func() { err = end(err) }()
	d, err := in.drillOf(ctx, kind, o)
	if err != nil {
		return d.Unreachable(err)
	}
	return d.Drill(ctx)
}

// PlanDrill says what Drill would do. A server is started to look at, and nothing is restored into it. A plan that is refused is returned with
// the error.
//
// Errors: those of Drill before anything is restored.
func (in *Installation) PlanDrill(ctx context.Context, kind cofre.Kind, o drilling.Options) (*cofre.Plan, error) {
	d, err := in.drillOf(ctx, kind, o)
	if err != nil {
		return nil, err
	}
	return d.PlanOnly(ctx)
}

// CleanDrills removes what drills of this machine have left, or were to keep, and says what it was. Those that go on are left alone.
//
// Errors: that something cannot be removed; the rest is.
func (in *Installation) CleanDrills(ctx context.Context) ([]drilling.Record, error) {
	state, err := in.cfg.StateFolder()
	if err != nil {
		return nil, err
	}
	return drilling.Rooms{State: state}.Sweep(ctx, true)
}

func (in *Installation) drillOf(ctx context.Context, kind cofre.Kind, o drilling.Options) (drilling.Job, error) {
	d := drilling.Job{Options: o, Questions: drilling.Questions(in.cfg.Drill), Observer: in.observer, Of: cofre.SourceID{Installation: in.cfg.Name, Kind: kind, Name: cmp.Or(o.Source, string(kind))}}
	d.Rooms.Folder = in.cfg.Drill.Directory
	var err error
	if d.Rooms.State, err = in.cfg.StateFolder(); err != nil {
		return d, err
	}
	d.Point = cmp.Or(d.Point, catalog.Latest)
	if o.Point == drilling.Random {
		_, cat, err := in.open(ctx)
		if err != nil {
			return d, err
		}
		want := catalog.Want{Installation: in.cfg.Name, Kind: kind, Name: o.Source}
		d.Point, d.Drawn, err = drilling.Draw(cat, want, func() (string, error) { return in.newestCheckpoint(ctx) })
		if err != nil {
			return d, err
		}
	}
	if kind == cofre.KindCluster {
		if err := in.drillRecovery(ctx, &d); err != nil {
			return d, err
		}
	}
	d.Prepare = func(ctx context.Context, target drilling.Opener) (drilling.Prepared, error) {
		p, err := in.prepare(ctx, drillable{kind, target}, RestoreOptions{Point: d.Point, Source: o.Source, Command: o.Command})
		if err != nil {
			return drilling.Prepared{}, err
		}
		return drilling.Prepared{Repository: p.repo, Request: p.request, Elsewhere: p.elsewhere}, nil
	}
	return d, nil
}

// drillable is a component as a Restorable whose target is a place that is made for it.
type drillable struct {
	of   cofre.Kind
	open drilling.Opener
}

func (d drillable) kind() cofre.Kind                     { return d.of }
func (d drillable) called() string                       { return string(d.of) }
func (drillable) replaces(cofre.Component) cofre.Message { return cofre.Message{} }

func (drillable) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (d drillable) target(ctx context.Context, _ *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	return d.open(ctx, repo, from)
}
