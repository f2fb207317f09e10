package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

func newRestoreCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring back a database, a table, a cluster, objects or files",
		Long: `Bring back one component of a recovery point.

A copy is made, compared with what was captured, and only then taken into use. A database, a table, files and a cluster are
made in a new place, and take their name by a rename. Objects are brought into their buckets, and restore cluster --delta
rewrites a directory where it is. The plan says what is touched before the copy is proven, what is replaced, and where
that is kept; --dry-run prints it and stops.

POINT is an id, an unambiguous prefix of one, or latest: the newest point that has all of what is asked for. If newer
points do not, each is named with the reason before anything is done.`,
	}
	cmd.AddCommand(newRestoreDatabaseCommand(a), newRestoreTableCommand(a), newRestoreClusterCommand(a), newRestoreConfigCommand(a), newRestoreStorageCommand(a))
	return cmd
}

// restoreOptions are the flags of every restore.
type restoreOptions struct {
	installation.RestoreOptions
	dryRun bool
	yes    bool
	// again is the command that accepts these differences as well; nil if a copy that differs is not kept.
	again func(accept []string) string
}

func (o *restoreOptions) addFlags(cmd *cobra.Command) {
	o.Command = func(point cofre.PointID) string { return commandLine(cmd, []string{string(point)}, "", nil) }
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan, and do nothing")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask before something is replaced")
	cmd.Flags().StringVar(&o.Source, "source", "", "`NAME` of the component, if the point has several of the kind")
}

// restorer is one way to restore: of a component, or of a cluster until a moment.
type restorer struct {
	plan func(context.Context, *installation.Installation, installation.RestoreOptions) (*cofre.Plan, error)
	run  func(context.Context, *installation.Installation, installation.RestoreOptions) (*installation.Restored, error)
}

func restored(what installation.Restorable) restorer {
	return restorer{
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*cofre.Plan, error) {
			return in.PlanRestore(ctx, what, o)
		},
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*installation.Restored, error) {
			return in.Restore(ctx, what, o)
		},
	}
}

func untilMoment(c installation.Cluster) restorer {
	return restorer{
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*cofre.Plan, error) {
			return in.PlanRecovery(ctx, c, o)
		},
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*installation.Restored, error) {
			return in.Recover(ctx, c, o)
		},
	}
}

// restore shows the plan, asks if something gives way, and shows what was done.
func (a *app) restore(ctx context.Context, r restorer, o restoreOptions) error {
	return a.open(ctx, func(ctx context.Context, in *installation.Installation) error {
		if o.dryRun {
			plan, err := r.plan(ctx, in, o.RestoreOptions)
			if plan == nil {
				return err
			}
			return cmp.Or(a.PrintPlan(plan, err), err)
		}
		o.Confirm = func(plan *cofre.Plan, replaces cofre.Message) error { return a.ConfirmPlan(ctx, plan, replaces, o.yes) }
		done, err := r.run(ctx, in, o.RestoreOptions)
		a.EndProgress()
		if done == nil {
			return err
		}
		if done.Kept != nil && o.again != nil {
			err = cofre.WithHint(err, done.Decision(o.again))
		}
		return a.ShowRestored(ctx, done, err)
	})
}
