package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

func newCheckCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Send a mark through the whole way of WAL, and read it back",
		Long: `Write a mark into the WAL of the configured cluster, end its segment, wait until it is in the repository and in every
copy, read it back from each, and look for the mark. What doctor finds by looking, check finds by doing.

It needs a role that may call pg_switch_wal, and costs at most one segment of WAL.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			done, err := in.WAL().Check(ctx, installation.CheckOptions{Timeout: timeout})
			a.EndProgress()
			return a.ShowChecked(ctx, done, err)
		}),
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how `LONG` to wait for the segment")
	return cmd
}
