package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

type showCommand struct {
	tables bool
	files  bool
}

func newShowCommand(a *app) *cobra.Command {
	var c showCommand
	cmd := &cobra.Command{
		Use:   "show POINT [POINT2]",
		Short: "Show one recovery point, or what changed between two",
		Long: `Show what a recovery point holds and what was recorded with it. With a second point, show what changed from
the first to the second: tables, rows, sequences, roles, policies, grants and files.

POINT is an id, an unambiguous prefix of one, or latest.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: a.with(func(ctx context.Context, in *installation.Installation, args []string) error {
			if len(args) == 2 {
				return showDifference(ctx, a, in, args[0], args[1])
			}
			return c.run(ctx, a, in, args[0])
		}),
	}
	cmd.Flags().BoolVar(&c.tables, "tables", false, "every table of the database with its exact rows and checksum")
	cmd.Flags().BoolVar(&c.files, "files", false, "every file of the configuration with mode, owner and size")
	return cmd
}

func (c *showCommand) run(ctx context.Context, a *app, in *installation.Installation, ref string) error {
	shown, err := in.Content(ctx, ref, installation.ContentOptions{Tables: c.tables, Files: c.files})
	if err != nil {
		return err
	}
	return a.ShowContent(shown)
}

func showDifference(ctx context.Context, a *app, in *installation.Installation, from, to string) error {
	d, err := in.Difference(ctx, from, to)
	if err != nil {
		return err
	}
	return a.ShowDifference(d)
}
