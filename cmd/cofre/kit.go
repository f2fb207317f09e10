package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

func newKitCommand(a *app) *cobra.Command {
	var restore string
	cmd := &cobra.Command{
		Use:   "kit",
		Short: "Print the recovery kit of the repository and of its copies",
		Long: `Print the recovery kit of the configured repository, and of its copies: where it is, where its password is, and how to
read it without cofre. Print it or keep it elsewhere; it holds no secret.

It also holds the format, the small file that leads from the password to everything else. If the repository has lost it, or has another, --restore puts
it back from a file that holds the kit, or those lines of it, after an index was read with it; another one is kept below cofre/keys/.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			if restore != "" {
				return restoreFormat(ctx, a, in, restore)
			}
			kits, err := in.Kits(ctx)
			if err != nil {
				return err
			}
			return a.ShowKits(kits)
		}),
	}
	cmd.Flags().StringVar(&restore, "restore", "", "put back the format that the repository has lost, from the kit in `FILE`")
	return cmd
}

func restoreFormat(ctx context.Context, a *app, in *installation.Installation, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return cofre.WithHint(fmt.Errorf("read the recovery kit: %w: %w", err, cofre.ErrConfig), cofre.Say("kit.type_it", "type the lines from cofre-format-1 to cofre-format-end into a file, and name it"))
	}
	written, err := in.RestoreFormat(ctx, string(text))
	if err != nil {
		return err
	}
	return a.ShowRestoredFormat(written)
}
