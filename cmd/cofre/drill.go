package main

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/drilling"
)

func newDrillCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Prove that backups restore, by restoring them where they touch nothing",
		Long: `Restore what is captured to a place of its own, compare it with what was captured, ask what the configuration asks (drill
in cofre.yaml), and leave nothing. What was established, and how long each step took, is in the journal.

The server of a drill touches nothing real: it has a data directory of its own and a socket in it, no network address, no
archiving, no subscriptions, no foreign servers, and no libraries that begin to work by themselves.`,
	}
	cmd.AddCommand(newDrillDatabaseCommand(a), newDrillClusterCommand(a), newDrillStorageCommand(a), newDrillConfigCommand(a), newDrillCleanCommand(a))
	return cmd
}

type drillCommand struct {
	drilling.Options
	kind   cofre.Kind
	dryRun bool
}

// usualKeep is how long a drilled server stays if nobody says.
const usualKeep = 24 * time.Hour

func newDrillDatabaseCommand(a *app) *cobra.Command {
	c := drillCommand{kind: cofre.KindDatabase}
	cmd := c.command(a, "Restore a database into a throwaway PostgreSQL, compare it, and ask it", `Restore the dump of a database into a throwaway PostgreSQL of the major version that it was captured with, and compare it as
restore database does: every row by its checksum, sequences, large objects, and what the catalogs say of every object, with
owners, grants and policies. Then it is asked what drill.checks and drill.row_security of the configuration ask.

Each thing that differs, or has another answer than the right one, is a finding, printed by name; the command then exits with
20. What this machine lacks, such as an extension, is said before anything is restored (23).

--point random draws the point by the hash of the newest checkpoint of the journal, so that nobody chooses a kind one.

With --keep the server stays, and the command says how to connect to it and until when: then the next drill removes it, or
cofre drill clean at any time. What a drill that was killed has left, the next one removes, too.

  cofre drill database --dry-run
  cofre drill database
  cofre drill database --point random
  cofre drill database --keep=2h`)
	cmd.Flags().IntVarP(&c.Jobs, "jobs", "j", 0, "`N` sessions at once (default: the number of CPUs up to 4)")
	return cmd
}

func newDrillClusterCommand(a *app) *cobra.Command {
	c := drillCommand{kind: cofre.KindCluster}
	cmd := c.command(a, "Recover the cluster to a moment in a throwaway directory, and look at all of it", `Restore the newest base backup, recover it with the archived WAL to the newest moment, and promote it, in a folder of its own. Then
it is looked at: that the recovery ended where its plan promised, every page by its checksum, every table and B-tree index by
pg_amcheck if this machine has it, each database by connecting to it; and one database is asked what drill.checks and
drill.row_security of the configuration ask. Each that is not as it must be is a finding, printed by name; the command then exits
with 20. So it does if the moment cannot be reached, as if WAL is missing.

--moment random recovers to a position between the base backup and the newest moment that is drawn by the hash of the newest
checkpoint of the journal, so that nobody chooses a kind one.

Tablespaces lie in the folder of the drill, also those that the WAL creates: nothing is written where the original has its own.

  cofre drill cluster --dry-run
  cofre drill cluster
  cofre drill cluster --moment random
  cofre drill cluster --keep=2h`)
	cmd.Flags().StringVar(&c.Moment, "moment", drilling.Newest, "`MOMENT` that is recovered to: newest or random")
	cmd.Flags().IntVarP(&c.Jobs, "jobs", "j", 0, "`N` files at once (default: the number of CPUs up to 4)")
	return cmd
}

func newDrillStorageCommand(a *app) *cobra.Command {
	c := drillCommand{kind: cofre.KindStorage}
	cmd := c.command(a, "Restore the objects into a folder, and compare them", `Restore the buckets into a folder of their own, and compare every object with what was captured: its bytes, as they are read back, and its
metadata; and the settings of the buckets. Each that differs is a finding, printed by name; the command then exits with 20.

  cofre drill storage
  cofre drill storage --point random`)
	cmd.Flags().IntVarP(&c.Jobs, "jobs", "j", 0, "`N` objects at once (default: 8)")
	return cmd
}

func newDrillConfigCommand(a *app) *cobra.Command {
	c := drillCommand{kind: cofre.KindConfig}
	return c.command(a, "Restore the configuration files into a folder, and compare them", `Restore the configuration files into a folder of their own, and compare each with what was captured: bytes, mode, owner if this user may give
files away, links and times. Each that differs is a finding, printed by name; the command then exits with 20.

  cofre drill config
  cofre drill config --keep=1h`)
}

// command is the command of one kind, with the flags that all have.
func (c *drillCommand) command(a *app, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   string(c.kind),
		Short: short,
		Long:  long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("keep") && c.Keep < time.Minute {
				return edge.Usage(cofre.WithHint(cofre.Fail(cofre.Say("drill.short_keep", "--keep is shorter than a minute")), cofre.Say("drill.keep_form", "as in --keep=2h, or --keep for a day")))
			}
			if c.Moment != "" && c.Moment != drilling.Newest && c.Moment != drilling.Random {
				return edge.Usage(cofre.WithHint(cofre.Fail(cofre.Say("drill.no_moment", "--moment {{.moment}} is none", "moment", c.Moment)), cofre.Say("drill.moments", "it is newest or random")))
			}
			c.Command = func(point cofre.PointID) string { return "cofre drill " + string(c.kind) + " --point " + string(point) }
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.Point, "point", "latest", "`POINT`: an id, a prefix of one, latest or random")
	f.StringVar(&c.Source, "source", "", "`NAME` of the component, if the point has several of the kind")
	f.DurationVar(&c.Keep, "keep", 0, "leave what was restored for this `DURATION`: with --keep alone, a day")
	f.Lookup("keep").NoOptDefVal = usualKeep.String()
	f.BoolVar(&c.dryRun, "dry-run", false, "print the plan, and restore nothing")
	return cmd
}

func (c *drillCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	if c.dryRun {
		plan, err := in.PlanDrill(ctx, c.kind, c.Options)
		a.EndProgress()
		if plan == nil {
			return err
		}
		return cmp.Or(a.PrintPlan(plan, err), err)
	}
	c.Planned = func(plan *cofre.Plan) error { return a.ConfirmPlan(ctx, plan, cofre.Message{}, true) }
	r, err := in.Drill(ctx, c.kind, c.Options)
	a.EndProgress()
	if r == nil {
		return err
	}
	return a.ShowDrill(ctx, r, err)
}

func newDrillCleanCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Remove what drills were to keep, and what killed ones have left",
		Long: `End and remove what drills of this machine were to keep, and what drills that were killed have left. Drills that go on
are left alone. It needs no repository.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			removed, err := in.CleanDrills(ctx)
			return a.ShowDrillsRemoved(removed, err)
		}),
	}
}
