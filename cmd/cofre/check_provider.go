package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

func newCheckProviderCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check-provider BUCKET",
		Short: "Try whether the configured storage does what backups and restores need of it",
		Long: `Write, read, list, overwrite and delete objects in an existing bucket of the configured storage, below a prefix of
their own that is emptied in the end; nothing else in the bucket is touched. The checks are those that every store
cofre knows has to pass. Names that a provider refuses are told; a name it mistakes for another is an error.`,
		Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, in *installation.Installation, args []string) error {
			report, err := in.CheckProvider(ctx, args[0])
			if err != nil && !errors.Is(err, cofre.ErrFindings) {
				return err
			}
			return a.ShowProvider(report, err)
		}),
	}
}
