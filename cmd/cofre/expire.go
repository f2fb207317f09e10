package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/expiry"
)

type expireCommand struct {
	options installation.ExpireOptions
	yes     bool
}

func newExpireCommand(a *app) *cobra.Command {
	var c expireCommand
	cmd := &cobra.Command{
		Use:   "expire",
		Short: "Let go what retention does not keep, after saying what and why",
		Long: `Take out of the catalog the components of recovery points that no rule of keep: keeps, and remove the WAL that nothing kept needs.

A component stays while any rule of its section holds. Above every rule: the newest whole one of each source, what is newer, and the
number of keep.verified always stay; what fails does not age; and nothing of a source goes while its captures fail, or while the clocks of this host
and of the store are apart. Without keep:, dumps and storage are kept for 30 days, base backups and WAL for 7, configuration for 90.

--what-if answers as if its rule were written into the file: the other rules of the section stay. The days that a section without rules of its
own has go, as they would in the file; a rule is left out by giving it 0.

Every base backup that stays keeps the WAL that makes it consistent, and every moment of the days of cluster.keep.days stays reachable.

What goes leaves the catalog and cannot be brought back by cofre. The bytes stay in the repository until they are pruned.`,
		Example: `  cofre expire --dry-run
  cofre expire --what-if keep.days=7 --what-if database.keep.monthly=12
  cofre expire --yes`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error { return c.run(ctx, a, in) }),
	}
	cmd.Flags().BoolVar(&c.options.DryRun, "dry-run", false, "say what goes, what stays and why, and remove nothing")
	cmd.Flags().StringArrayVar(&c.options.Keep, "what-if", nil, "say what would go by another `RULE`, as keep.days=7 or database.keep.monthly=12, and remove nothing; may be given several times")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *expireCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	c.options.Confirm = func(e *expiry.Expiry) error { return a.ConfirmExpiry(ctx, e, c.yes) }
	e, err := in.Expire(ctx, c.options)
	if err != nil {
		return err
	}
	return a.ShowExpiry(e, c.options.Planned())
}
