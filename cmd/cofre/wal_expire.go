package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

type walExpireCommand struct {
	dryRun bool
	yes    bool
}

func newWALExpireCommand(a *app) *cobra.Command {
	var c walExpireCommand
	cmd := &cobra.Command{
		Use:   "expire",
		Short: "Remove WAL that nothing kept and nothing promised needs",
		Long: `Remove the WAL that no base backup in the catalog needs and that is older than the window that cluster.keep promises.

Every base backup in the catalog keeps the WAL that makes it consistent, and the newest one older than the window keeps
all WAL since. Without a base backup, nothing goes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "say how much would go, and remove nothing")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *walExpireCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	e, err := in.WAL().Expirable(ctx)
	if err != nil {
		return err
	}
	since := e.Since.UTC()
	verb := "to be removed"
	if !c.dryRun && len(e.Systems) > 0 {
		if err := a.confirm(ctx, c.yes, fmt.Sprintf("remove %d WAL segments from before %s", e.Segments, since.Format("2006-01-02 15:04:05Z"))); err != nil {
			return err
		}
		if e, err = in.WAL().Expire(ctx, e); err != nil {
			return err
		}
		verb = "removed"
	}
	if a.JSON {
		return a.Document(struct {
			Since   string                    `json:"promised_since"`
			Removed bool                      `json:"removed"`
			Systems []installation.ExpiredWAL `json:"systems"`
		}{since.Format("2006-01-02T15:04:05Z"), verb == "removed", e.Systems})
	}
	if a.Quiet && (len(e.Systems) == 0 || verb == "removed") {
		return nil
	}
	if len(e.Systems) == 0 {
		fmt.Fprintf(a.Out, "nothing to remove: all WAL is needed by a base backup or since %s\n", since.Format("2006-01-02 15:04:05Z"))
	}
	for _, of := range e.Systems {
		place := ""
		if of.Copy != "" {
			place = " in " + of.Copy
		}
		fmt.Fprintf(a.Out, "system %s: %d segments %s%s\n", of.System, of.Segments, verb, place)
	}
	return nil
}
