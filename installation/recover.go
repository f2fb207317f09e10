package installation

import (
	"cmp"
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

// Cluster is where a cluster is restored to, until when it recovers, and what then.
type Cluster struct {
	// Options without Plan, RestoreCommand and EndCommand, which follow from the repository. Dir must be set. Jobs of 0 are the
	// number of CPUs up to 4. Action "" is to pause, or to promote if Recovery is the end of the WAL.
	restoring.Options
	// Start runs the server on a private socket until the target is reached, and carries out the action.
	Start     bool
	Superuser string // with Start, the role to ask with; "" is postgres
}

// Recover brings back a cluster, ready to recover to a moment, and with Start recovers it. RestoreOptions.Point names the base backup to
// begin with; without it the recovery target chooses. The observer is told what was chosen before anything else.
//
// Errors: *cofre.UnreachableError and *cofre.GapError if the target cannot be reached exactly; those of Restore, and of
// recovering.Run, after which what was restored stays: what it lacks is the recovery.
func (in *Installation) Recover(ctx context.Context, c Cluster, o RestoreOptions) (_ *Restored, err error) {
	end := in.begin(ctx, cofre.RunRestore, observe.About{What: "cluster"})
	defer func() { end(err) }()
	r, err := in.recovery(ctx, c, &o)
	if err != nil {
		return nil, err
	}
	return in.Restore(ctx, r, o)
}

// PlanRecovery says what Recover would do, and touches nothing.
//
// Errors: those of Recover before anything is touched; cofre.ErrPreflight with the plan, if something forbids it.
func (in *Installation) PlanRecovery(ctx context.Context, c Cluster, o RestoreOptions) (*cofre.Plan, error) {
	r, err := in.recovery(ctx, c, &o)
	if err != nil {
		return nil, err
	}
	return in.PlanRestore(ctx, r, o)
}

// recovery chooses how the target of a cluster is reached, and the point to begin with.
func (in *Installation) recovery(ctx context.Context, c Cluster, o *RestoreOptions) (*clusterRestore, error) {
	_, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	if end := (cofre.RecoveryTarget{Timeline: c.Recovery.Timeline}); c.Action == "" && c.Recovery == end {
		c.Action = settings.ActionPromote
	}
	c.Action, c.Superuser = cmp.Or(c.Action, settings.ActionPause), cmp.Or(c.Superuser, "postgres")
	w, err := in.recoveryWay(ctx, cat, c.Recovery, o.Point)
	if err != nil {
		return nil, err
	}
	asked := c.Recovery
	chosen := cofre.RecoveryChosen{Target: asked, Point: w.point}
	if w.recovery != nil {
		chosen.Stop, chosen.Timeline, chosen.Segments = w.recovery.Stop, w.recovery.Timeline, len(w.recovery.Segments)
	}
	command, err := in.restoreCommand(w, c.Tablespaces)
	if err != nil {
		return nil, err
	}
	cofre.Tell(in.observer, chosen)
	o.Point = string(w.point)
	c.Recovery, c.Plan, c.RestoreCommand, c.Jobs = w.target, w.recovery, command, sources.Parallel(c.Jobs)
	if command != "" {
		// The key of the repository's WAL must not stay in a cluster that serves.
		c.EndCommand = "rm -rf " + datadir.SpoolDir
	}
	return &clusterRestore{Cluster: c, asked: asked, command: o.Command, in: in}, nil
}

// clusterRestore is the Restorable of a cluster of which is known how its target is reached.
type clusterRestore struct {
	Cluster
	asked     cofre.RecoveryTarget     // Recovery before the way to it was known
	relations map[string]cofre.Message // what the files are of which something was lost, by path
	without   string                   // the command that goes on without what is lost; empty if there is none
	command   func(cofre.PointID) string
	in        *Installation
	made      *restoring.Target
	// recovered is how far the server came; nil if none was started.
	recovered *recovering.Result
}

// clusterTarget is the data directory, and the server that recovers in it.
type clusterTarget struct {
	*restoring.Target
	r *clusterRestore
}

var _ cofre.Recoverer = clusterTarget{}

// Recover runs the server if that was asked for, until it has reached the target.
func (t clusterTarget) Recover(ctx context.Context, obs cofre.Observer, done *cofre.Outcome) (err error) {
	t.r.recovered, err = t.r.recover(ctx, obs, done)
	return err
}

func (*clusterRestore) kind() cofre.Kind  { return cofre.KindCluster }
func (*clusterRestore) called() string    { return "cluster" }
func (r *clusterRestore) goingOn() string { return r.without }

func (r *clusterRestore) replaces(cofre.Component) cofre.Message {
	if !r.Delta && !r.MoveAside {
		return cofre.Message{}
	}
	return cofre.Say("replace.cluster", "replace the data directory {{.dir}}", "dir", r.Dir)
}

func (r *clusterRestore) target(ctx context.Context, in *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	o := r.Options
	r.waysOn(ctx, in, repo, from, &o.Loss)
	r.made = restoring.NewTarget(o)
	return clusterTarget{r.made, r}, nil
}

// instead is another base backup that reaches the same target and is not known to have lost anything: the newest of before, or else of
// after. The end of another base backup is another moment.
func (r *clusterRestore) instead(ctx context.Context, in *Installation, from loss.Choice) (cofre.PointID, bool) {
	if r.asked.Immediate {
		return "", false
	}
	quiet := *in
	quiet.observer = cofre.Discard
	for _, o := range from.Others() {
		if len(o.Lost()) > 0 || o.Component.Partial {
			continue
		}
		if _, err := quiet.recoveryWay(ctx, from.Catalog, r.asked, string(o.Point.ID)); err == nil {
			return o.Point.ID, true
		}
	}
	return "", false
}

// state is how far a restored cluster is. What a person will want next follows from it alone.
type state int

const (
	restored    state = iota // not started
	paused                   // at its target, running
	promoted                 // and shut down
	notPromoted              // and shut down
)

// recover runs the server of a cluster that was just restored, if it was asked to, until it has reached the target. One that is paused
// there is left running, since whoever asks for a pause wants to look; any other is shut down.
//
// Errors: those of recovering.Run: the restored directory stays, what it lacks is the recovery. cofre.ErrPartial, with all done, if
// a database of the copy may be damaged.
func (r *clusterRestore) recover(ctx context.Context, obs cofre.Observer, done *cofre.Outcome) (*recovering.Result, error) {
	found, reached, err := r.run(ctx, obs, done.Restored)
	if err != nil {
		return found, err
	}
	if found != nil {
		cofre.Tell(obs, cofre.ClusterRecovered{LSN: found.LSN, Timeline: found.Timeline, CommitAt: found.CommitAt, Promoted: found.Promoted, Paused: found.Paused != nil})
	}
	if err := r.next(reached, found, done); err != nil {
		return found, err
	}
	if r.made.Losses() && (reached == promoted || reached == notPromoted) {
		if err := r.tellEmpty(obs, done); err != nil {
			return found, err
		}
	}
	if torn := r.made.Torn(); len(torn) > 0 {
		return found, cofre.WithHint(cofre.Fail(cofre.Say("recover.restored", "restored cluster"), cofre.ErrPartial, cofre.Fail(cofre.Series(torn...))),
			cofre.Say("recover.torn", "everything else is as it was. To have that database: begin with a base backup that was not being taken then, cofre restore cluster POINT; cofre list names them"))
	}
	return found, nil
}

func (r *clusterRestore) run(ctx context.Context, obs cofre.Observer, dir string) (*recovering.Result, state, error) {
	environ, secrets := walstore.Environment(r.in.cfg)
	if r.RestoreCommand != "" {
		if err := walorigin.LeaveKeys(ctx, r.in.cfg, dir); err != nil {
			return nil, restored, err
		}
	}
	if r.RestoreCommand != "" && len(secrets) > 0 && (!r.Start || r.Action == settings.ActionPause) {
		obs.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(cofre.Say("recover.variables",
			"the server's restore_command reads its keys from the environment: whoever starts the server must have set {{.names}}", "names", secrets)))
	}
	if !r.Start {
		return nil, restored, nil
	}
	found, err := recovering.Run(ctx, recovering.Options{
		DataDir: dir, Recovery: r.Recovery, Plan: r.Plan, Action: r.Action, Superuser: r.Superuser,
		Detached: r.Action == settings.ActionPause, Observer: obs, Env: environ,
	})
	if err == nil && found.Paused != nil {
		return found, paused, nil
	}
	if found != nil && found.Server != nil {
		if err == nil && r.made.Losses() {
			r.relations = found.Relations(ctx, r.Superuser, r.made.LostPaths())
		}
		err = errors.Join(err, found.Server.Close())
	}
	if err = errors.Join(err, walorigin.ForgetSpool(ctx, dir)); err != nil {
		return nil, restored, err
	}
	if found.Promoted {
		return found, promoted, nil
	}
	return found, notPromoted, nil
}

// next adds the commands for a cluster that is this far.
func (r *clusterRestore) next(s state, found *recovering.Result, done *cofre.Outcome) error {
	switch s {
	case paused:
		found.Paused.Next(done, r.Superuser)
		return nil
	case promoted:
		next, err := r.made.Next(true)
		done.Next = next
		return err
	case notPromoted:
		return nil
	}
	if r.RestoreCommand != "" {
		recovering.ForgetKey(done, "")
	}
	return nil
}
