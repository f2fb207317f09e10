package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
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
	e, err := in.WAL().Expire(ctx, installation.ExpireOptions{DryRun: c.dryRun, Confirm: func(found *installation.WALExpiry) error {
		return a.Confirm(ctx, c.yes, cofre.SayN("wal.remove_question", found.Segments, "remove 1 WAL segment from before {{.since}}", "remove {{.n}} WAL segments from before {{.since}}", "since", found.Since.UTC()))
	}})
	if err != nil {
		return err
	}
	since, removed := e.Since.UTC(), e.Removed
	if a.JSON {
		return a.Document(struct {
			Since   string                    `json:"promised_since"`
			Removed bool                      `json:"removed"`
			Systems []installation.ExpiredWAL `json:"systems"`
		}{since.Format("2006-01-02T15:04:05Z"), removed, e.Systems})
	}
	if a.Quiet && (len(e.Systems) == 0 || removed) {
		return nil
	}
	if len(e.Systems) == 0 {
		a.Line(a.Out, cofre.Say("wal.nothing_to_remove", "nothing to remove: all WAL is needed by a base backup or since {{.since}}", "since", since))
	}
	for _, of := range e.Systems {
		what := cofre.SayN("wal.to_remove", of.Segments, "system {{.system}}: 1 segment to be removed", "system {{.system}}: {{.n}} segments to be removed", "system", of.System)
		if removed {
			what = cofre.SayN("wal.removed", of.Segments, "system {{.system}}: 1 segment removed", "system {{.system}}: {{.n}} segments removed", "system", of.System)
		}
		if of.Copy != "" {
			what = cofre.Say("wal.in_copy", "{{.what}} in {{.copy}}", "what", what, "copy", of.Copy)
		}
		a.Line(a.Out, what)
	}
	return nil
}
