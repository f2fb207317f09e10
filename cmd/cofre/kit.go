package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/repository"
)

func newKitCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "kit",
		Short: "Print the recovery kit of the repository and of its copies",
		Long: `Print the recovery kit of the configured repository, and of its copies: where it is, where its password is, and how to
read it without cofre. Print it or keep it elsewhere; it holds no secret.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return printKits(cmd.Context(), a) },
	}
}

func printKits(ctx context.Context, a *app) error {
	return a.open(ctx, func(ctx context.Context, in *installation.Installation) error {
		kits, err := in.Kits(ctx)
		if err != nil {
			return err
		}
		return writeKits(a, kits)
	})
}

// writeKits prints the kit of one repository or more.
func writeKits(a *app, kits []*repository.RecoveryKit) error {
	if a.JSON {
		return a.Document(initDocument{kits[0], kits[1:]})
	}
	for i, kit := range kits {
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		fmt.Fprint(a.Out, a.Beside(kit.Text, kit.Messages))
	}
	return nil
}
