package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

type adoptCommand struct {
	installation.AdoptOptions
	dryRun bool
	yes    bool
}

func newAdoptCommand(a *app) *cobra.Command {
	var c adoptCommand
	cmd := &cobra.Command{
		Use:   "adopt DIR",
		Short: "Make a restored cluster the original: it archives, and acts, again",
		Long: `Make the restored cluster in DIR the original. Until then it is a copy that acts on nothing.

The history of its timeline, and what it has written since its promotion, are archived; then the settings that kept it
from acting are removed, exactly those, and with --restart a copy that runs is restarted and backed up at once. If
the archive has another timeline of this number, nothing is changed. Interrupted anywhere, the same command goes on.

The original must not run any more: both would archive, follow the same subscriptions and run the same jobs.

  cofre adopt /var/lib/postgresql/15/restored --dry-run
  cofre adopt /var/lib/postgresql/15/restored --restart --yes`,
		Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, in *installation.Installation, args []string) error {
			c.Dir = args[0]
			return c.run(ctx, a, in)
		}),
	}
	f := cmd.Flags()
	f.BoolVar(&c.dryRun, "dry-run", false, "print the plan, and do nothing")
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&c.Restart, "restart", false, "restart a copy that runs, and take a base backup of it")
	f.StringVar(&c.Superuser, "superuser", "postgres", "the `ROLE` to connect with to a copy that runs")
	return cmd
}

func (c *adoptCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	if c.dryRun {
		plan, err := in.PlanAdoption(ctx, c.AdoptOptions)
		if err != nil {
			return err
		}
		return a.PrintPlan(plan, nil)
	}
	c.AdoptOptions.Confirm = func(plan *cofre.Plan) error {
		if !a.JSON && !a.Quiet {
			a.WritePlan(a.Err, plan)
		}
		return a.Confirm(ctx, c.yes, cofre.Say("adopt.question", "make {{.dir}} the original", "dir", c.Dir))
	}
	done, err := in.Adopt(ctx, c.AdoptOptions)
	a.EndProgress()
	if done == nil {
		return err
	}
	return a.ShowAdopted(ctx, done, err)
}
