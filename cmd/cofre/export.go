package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/logical"
)

type exportCommand struct {
	format string
	to     string
	table  string
	source string
	filter logical.Filter
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

--to - writes sql and csv-table to stdout.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(); err != nil {
				return edge.UsageError(cmd, err)
			}
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args[0])
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.format, "format", "directory", "`FORMAT`: directory, sql or csv-table")
	f.StringVar(&c.to, "to", "", "`PATH` that does not exist, or - for stdout")
	f.StringVar(&c.table, "table", "", "`SCHEMA.TABLE`, with csv-table")
	f.StringVar(&c.source, "source", "", "`NAME` of the database, where the point has several")
	addFilterFlags(cmd, &c.filter)
	return cmd
}

func (c *exportCommand) check() error {
	switch {
	case c.format != "directory" && c.format != "sql" && c.format != "csv-table":
		return cofre.WithHint(fmt.Errorf("unknown format %q", c.format), "use directory, sql or csv-table")
	case c.to == "":
		return cofre.WithHint(errors.New("an export needs a place"), "give --to PATH")
	case c.format == "csv-table" && c.table == "":
		return cofre.WithHint(errors.New("csv-table is of one table"), "give --table SCHEMA.TABLE")
	case c.format == "directory" && c.to == "-":
		return cofre.WithHint(errors.New("a directory cannot be written to stdout"), "give --to DIR, or --format sql")
	}
	return nil
}

func (c *exportCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, ref string) error {
	point, tree, err := capturedDatabase(ctx, a, cfg, repo, ref, c.source)
	if err != nil {
		return err
	}
	obs, end := a.progress(ctx)
	defer end()
	switch {
	case c.format == "directory":
		err = logical.ExportDirectory(ctx, tree, c.to, obs)
	case c.to == "-":
		return c.write(ctx, tree, a.Out, obs)
	default:
		err = c.file(ctx, tree, obs)
	}
	end()
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(map[string]string{"point": string(point.ID), "format": c.format, "written": c.to})
	}
	fmt.Fprintf(a.Out, "wrote %s, from recovery point %s\n", c.to, point.ID)
	if c.format == "directory" {
		fmt.Fprintf(a.Out, "next: pg_restore -d DATABASE -j 2 %s\n", filepath.Join(c.to, logical.ArchiveDir))
	}
	return nil
}

func (c *exportCommand) write(ctx context.Context, tree cofre.Tree, w io.Writer, obs cofre.Observer) error {
	if c.format == "csv-table" {
		return logical.ExportCSV(ctx, tree, c.table, w, obs)
	}
	return logical.ExportSQL(ctx, tree, c.filter, w, obs)
}

// file writes to a new file, which is removed where the export did not come to its end: half a script looks whole.
func (c *exportCommand) file(ctx context.Context, tree cofre.Tree, obs cofre.Observer) (err error) {
	f, err := os.OpenFile(c.to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cofre.WithHint(fmt.Errorf("write %s: %w", c.to, cofre.ErrExists), "name a file that does not exist")
	}
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	err = errors.Join(c.write(ctx, tree, f, obs), f.Sync(), f.Close())
	if err != nil {
		err = errors.Join(err, os.Remove(c.to))
	}
	return err
}
