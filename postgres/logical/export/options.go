package export

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Format is what an export is written as.
type Format string

// The formats of an export.
const (
	FormatDirectory Format = "directory" // an archive for pg_restore -Fd, globals.sql for psql, and what was recorded
	FormatSQL       Format = "sql"       // a script for psql
	FormatCSV       Format = "csv-table" // the rows of one table
)

// Formats lists the formats of an export.
func Formats() []Format { return []Format{FormatDirectory, FormatSQL, FormatCSV} }

// Options say what is exported of a database, and where to.
type Options struct {
	Format Format
	To     string    // a path that does not exist
	Writer io.Writer // in place of To, for FormatSQL and FormatCSV
	Table  string    // schema.table, of FormatCSV
	// Spreadsheet, of FormatCSV, puts an apostrophe before fields that a spreadsheet would take for formulas: they are then not what was captured.
	Spreadsheet bool
	Filter      logical.Filter // of FormatSQL
	// Loss.Without writes what can be read; Loss.Command is for hints.
	Loss logical.LossOptions
}

// Check says what is wrong with the options that a person chose.
//
// Errors: ones for that person: an unknown format, no place, a table or a filter that the format would not heed.
func (o *Options) Check() error {
	switch {
	case !slices.Contains(Formats(), o.Format):
		return cofre.WithHint(cofre.Fail(cofre.Say("export.unknown_format", "unknown format \"{{.format}}\"", "format", o.Format)), cofre.Say("export.formats", "use directory, sql or csv-table"))
	case o.To == "":
		return cofre.WithHint(cofre.Fail(cofre.Say("export.no_place", "an export needs a place")), cofre.Say("export.place", "give --to PATH"))
	case o.Format == FormatCSV && o.Table == "":
		return cofre.WithHint(cofre.Fail(cofre.Say("export.one_table", "csv-table is of one table")), cofre.Say("export.table", "give --table SCHEMA.TABLE"))
	case o.Format != FormatCSV && o.Table != "":
		return cofre.WithHint(cofre.Fail(cofre.Say("export.not_one_table", "--table goes with --format csv-table: {{.format}} is of the whole database", "format", o.Format)), cofre.Say("export.table_alone", "add --format csv-table; or leave --table out"))
	case o.Format != FormatCSV && o.Spreadsheet:
		return cofre.WithHint(cofre.Fail(cofre.Say("export.not_spreadsheet", "--spreadsheet goes with --format csv-table")), cofre.Say("export.spreadsheet_alone", "add --format csv-table --table SCHEMA.TABLE; or leave --spreadsheet out"))
	case o.Format != FormatSQL && !o.Filter.All():
		return cofre.WithHint(cofre.Fail(cofre.Say("export.not_filtered", "nothing can be left out of {{.format}}", "format", o.Format)), cofre.Say("export.filtered", "add --format sql; or have pg_restore choose from the whole archive"))
	case o.Format == FormatDirectory && o.To == "-":
		return cofre.WithHint(cofre.Fail(cofre.Say("export.directory_stdout", "a directory cannot be written to stdout")), cofre.Say("export.no_stdout", "give --to DIR, or --format sql"))
	}
	return nil
}

// Leave gives the component as it can be read without what is lost of what the export needs, and names that.
//
// Errors: those of logical.LossOptions; cofre.ErrNotFound if there is no such table.
func (o Options) Leave(ctx context.Context, tree cofre.Tree) (cofre.Tree, []cofre.Message, error) {
	tree, c, err := o.Loss.Open(ctx, tree)
	if err != nil {
		return nil, nil, fmt.Errorf("export: %w", err)
	}
	entries, others := []*pgarchive.Entry(nil), []string{logical.GlobalsFile}
	switch o.Format {
	case FormatCSV:
		named, _ := c.InUTF8()
		a, err := logical.FindArchived(named.TOC, o.Table, false)
		if err != nil {
			return nil, nil, fmt.Errorf("export table %s: %w", o.Table, err)
		}
		entries, others = a.Data, nil
	case FormatSQL:
		sel, err := c.Choose(o.Filter)
		if err != nil {
			return nil, nil, fmt.Errorf("export SQL: %w", err)
		}
		entries, others = sel.Entries(pgarchive.SectionData), nil
	default:
		for i := range c.TOC.Entries {
			entries = append(entries, &c.TOC.Entries[i])
		}
	}
	return o.Loss.Leave(ctx, tree, &c, o.Loss.Of(&c, entries, others...))
}
