package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

func newKitCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "kit",
		Short: "Print the recovery kit of the repository and of its copies",
		Long: `Print the recovery kit of the configured repository, and of its copies: where it is, where its password is, and how to
read it without cofre. Print it or keep it elsewhere; it holds no secret.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			kits, err := in.Kits(ctx)
			if err != nil {
				return err
			}
			return a.ShowKits(kits)
		}),
	}
}
