package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical/export"
)

type exportCommand struct {
	installation.ExportOptions
	format string
}

func newExportCommand(a *app) *cobra.Command {
	var c exportCommand
	cmd := &cobra.Command{
		Use:   "export POINT --to PATH",
		Short: "Write a database as files that stock tools read",
		Long: `Write the database of a recovery point as files for programs that know nothing of cofre:

  directory   a directory with an archive for pg_restore -Fd, globals.sql for psql, and what was recorded
  sql         a script for psql
  csv-table   the rows of one table, for a spreadsheet

A script takes a psql that knows \restrict (13.22, 14.19, 15.14, 16.10, 17.6,
18, or newer): an older one could be made to run commands by whoever had the
original, and stops at its first lines.

A spreadsheet computes fields that begin with = + - or @, which whoever wrote
the rows could use: --spreadsheet defuses them, and changes them by that.

--to - writes sql and csv-table to stdout.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Format = export.Format(c.format)
			if err := c.Check(); err != nil {
				return edge.UsageError(cmd, err)
			}
			c.Point = args[0]
			c.Command = func(point cofre.PointID) string { return commandLine(cmd, []string{string(point)}, "", nil) }
			c.Loss.Command = withoutLost(cmd, args, c.Loss.Without)
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.format, "format", "directory", "`FORMAT`: directory, sql or csv-table")
	f.StringVar(&c.To, "to", "", "`PATH` that does not exist, or - for stdout")
	f.StringVar(&c.Table, "table", "", "`SCHEMA.TABLE`, with csv-table")
	f.BoolVar(&c.Spreadsheet, "spreadsheet", false, "with csv-table, put an apostrophe before fields that a spreadsheet would compute, and say how many that changes")
	f.StringVar(&c.Source, "source", "", "`NAME` of the database, if the point has several")
	f.BoolVar(&c.Loss.Without, "without-lost", false, "write what can be read, and name what the repository has lost; the outcome is then incomplete (3)")
	addFilterFlags(cmd, &c.Filter)
	return cmd
}

func (c *exportCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	if c.To == "-" {
		c.Writer = edge.Raw(a.Out)
	}
	point, err := in.Export(ctx, c.ExportOptions)
	a.EndProgress()
	if err != nil && !errors.Is(err, cofre.ErrPartial) || c.Writer != nil {
		return err
	}
	return a.ShowExported(c.ExportOptions, point, err)
}
