package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

func newPruneCommand(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Give back the space that no recovery point needs",
		Long: `Delete from the repository what no recovery point refers to any more, and write many small files as few.

What nothing refers to is announced first, and deleted by a run a day later, so that backups on other machines may go on meanwhile.
No recovery point is changed.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			done, err := in.Prune(ctx, dryRun)
			if err != nil {
				return err
			}
			return a.ShowPruned(done)
		}),
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go, and change nothing")
	return cmd
}
