package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation"
)

type restoreConfigCommand struct {
	restoreOptions
	to      string
	inPlace bool
	noOwner bool
	paths   []string
}

func newRestoreConfigCommand(a *app) *cobra.Command {
	var c restoreConfigCommand
	cmd := &cobra.Command{
		Use:   "config POINT",
		Short: "Bring back configuration files",
		Long: `Bring back the configuration files of a recovery point: into a folder, or to where they were. In place, each file
is staged and compared beside its place, and what it replaces is kept beside it. A folder that exists must be empty, and
keeps its owner and mode.

  cofre restore config latest --to /tmp/before
  cofre restore config latest --in-place --path /opt/trustlayer/.env`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (c.to == "") != c.inPlace {
				return cofre.WithHint(edge.UsageError(cmd, errors.New("a restore of files needs a place")), "give one of --to DIR and --in-place")
			}
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args[0])
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().StringVar(&c.to, "to", "", "a `DIR` that does not exist or is empty")
	cmd.Flags().BoolVar(&c.inPlace, "in-place", false, "to where the files were captured; what is there is kept beside them")
	cmd.Flags().BoolVar(&c.noOwner, "no-owner", false, "everything belongs to the user who restores, without set-id bits")
	cmd.Flags().StringArrayVar(&c.paths, "path", nil, "only this `PATH` or pattern, may be repeated")
	return cmd
}

func (c *restoreConfigCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, ref string) error {
	r := restoring{options: c.restoreOptions, kind: cofre.KindConfig, point: ref}
	r.target = func(from installation.Choice) (cofre.Target, error) {
		return files.NewTarget(files.TargetConfig{Installation: cfg.Name, Name: from.Component.Name, To: c.to, Paths: c.paths, NoOwner: c.noOwner}), nil
	}
	if c.inPlace {
		r.replaces = func(cofre.Component) string { return "replace the files that are there" }
	}
	return a.restore(ctx, cfg, repo, r)
}
