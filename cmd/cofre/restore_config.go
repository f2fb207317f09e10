package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type restoreConfigCommand struct {
	restoreOptions
	installation.Files
	inPlace bool
}

func newRestoreConfigCommand(a *app) *cobra.Command {
	var c restoreConfigCommand
	cmd := &cobra.Command{
		Use:   "config POINT",
		Short: "Bring back configuration files",
		Long: `Bring back the configuration files of a recovery point: into a folder, or to where they were. In place, each file
is staged and compared next to its place, and what it replaces is kept next to it. A folder that exists must be empty, and
keeps its owner and mode.

  cofre restore config latest --to /tmp/before
  cofre restore config latest --in-place --path /opt/trustlayer/.env`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (c.To == "") != c.inPlace {
				return cofre.WithHint(edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.files_place", "a restore of files needs a place"))), cofre.Say("restore.files_place", "give one of --to DIR and --in-place"))
			}
			c.Point = args[0]
			return a.restore(cmd.Context(), restored(c.Files), c.restoreOptions)
		},
	}
	c.addFlags(cmd)
	cmd.Flags().StringVar(&c.To, "to", "", "a `DIR` that does not exist or is empty")
	cmd.Flags().BoolVar(&c.inPlace, "in-place", false, "to where the files were captured; what is there is kept next to them")
	cmd.Flags().BoolVar(&c.NoOwner, "no-owner", false, "everything belongs to the user who restores, without set-id bits")
	cmd.Flags().StringArrayVar(&c.Paths, "path", nil, "only this `PATH` or pattern, may be repeated")
	return cmd
}
