package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/difference"
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
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				if len(args) == 2 {
					return showDifference(ctx, a, in, args[0], args[1])
				}
				return c.run(ctx, a, in, args[0])
			})
		},
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
	if a.JSON {
		return a.Document(shown)
	}
	p := shown.Point.RecoveryPoint
	a.ShowPoint(p, shown.Point.Damage)
	for _, comp := range p.Components {
		if facts := shown.Databases[comp.Name]; facts != nil && comp.Kind == cofre.KindDatabase {
			a.ShowTables(facts)
		}
		if facts := shown.Files[comp.Name]; facts != nil && comp.Kind == cofre.KindConfig {
			a.ShowFiles(comp.Name, facts)
		}
	}
	return nil
}

// showDifference shows what changed from one point to another.
func showDifference(ctx context.Context, a *app, in *installation.Installation, from, to string) error {
	d, err := in.Difference(ctx, from, to)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(struct {
			From    cofre.PointID       `json:"from"`
			To      cofre.PointID       `json:"to"`
			Changes []difference.Change `json:"changes"`
		}{d.From.ID, d.To.ID, d.Changes})
	}
	screen.Columns(a.Out, nil, [][]string{
		{a.Text(cofre.Say("show.from", "from")), string(d.From.ID), a.Clocks(d.From.StartedAt)},
		{a.Text(cofre.Say("show.to", "to")), string(d.To.ID), a.Clock(d.To.StartedAt)},
	})
	fmt.Fprintln(a.Out)
	if len(d.Changes) == 0 {
		a.Line(a.Out, cofre.Say("show.nothing_changed", "nothing changed"))
		return nil
	}
	var rows [][]string
	for _, ch := range d.Changes {
		rows = append(rows, []string{ch.Component, a.Beside(ch.Change, ch.Messages), a.Beside(ch.What, ch.Messages), ch.Object, a.Beside(ch.Detail, ch.Messages)})
	}
	screen.Columns(a.Out, []string{a.Text(cofre.Say("heading.component", "COMPONENT")), a.Text(cofre.Say("heading.change", "CHANGE")), a.Text(cofre.Say("heading.what", "WHAT")), a.Text(cofre.Say("heading.object", "OBJECT")), a.Text(cofre.Say("heading.detail", "DETAIL"))}, rows)
	return nil
}
