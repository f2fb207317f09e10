package installation

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/export"
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

// ExportOptions say what is exported, and where to.
type ExportOptions struct {
	Point  string // an id, an unambiguous prefix of one, or latest; empty is latest
	Source string // name of the database, if the point has several
	Format Format
	To     string    // a path that does not exist
	Writer io.Writer // in place of To, for FormatSQL and FormatCSV
	Table  string    // schema.table, of FormatCSV
	// Spreadsheet, of FormatCSV, puts an apostrophe before fields that a spreadsheet would take for formulas: they are then not what was captured.
	Spreadsheet bool
	Filter      logical.Filter // of FormatSQL
	// Loss.Without writes what can be read; Loss.Command is for hints. Command is the command that exports the same from another point.
	Loss    logical.LossOptions
	Command func(cofre.PointID) string
}

// Check says what is wrong with the options that a person chose.
//
// Errors: ones for that person: an unknown format, no place, a table or a filter that the format would not heed.
func (o *ExportOptions) Check() error {
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

// Export writes the database of a recovery point as files for programs that know nothing of cofre, and returns the point. A file takes
// its name when it is whole and durable; what a Writer has is not whole with an error.
//
// Errors: those of the repository and its catalog; cofre.ErrPreflight if something is lost that is not to be left out; cofre.ErrPartial,
// after all was written, with what was left out; cofre.ErrExists if To does; those of logical's exports and of writing.
func (in *Installation) Export(ctx context.Context, o ExportOptions) (_ cofre.PointID, err error) {
	end := in.begin(ctx, cofre.RunExport, observe.About{})
	defer func() { end(err) }()
	point, tree, known, err := in.capturedDatabase(ctx, o.Point, o.Source)
	if err != nil {
		return "", err
	}
	known.into(&o.Loss, o.Command)
	tree, lost, err := o.leave(ctx, tree)
	if err != nil {
		return "", err
	}
	write := func(w io.Writer) error { return export.SQL(ctx, tree, o.Filter, w, in.observer) }
	if o.Format == FormatCSV {
		write = func(w io.Writer) error {
			n, err := export.CSV(ctx, tree, export.CSVOptions{Table: o.Table, Spreadsheet: o.Spreadsheet}, w, in.observer)
			if err == nil && n > 0 {
				in.warn(cofre.SayN("export.defused", int(n), "1 field that a spreadsheet would take for a formula has an apostrophe before it: it is not what was captured", "{{.n}} fields that a spreadsheet would take for formulas have an apostrophe before them: they are not what was captured"))
			}
			return err
		}
	}
	switch {
	case o.Format == FormatDirectory:
		err = export.Directory(ctx, tree, o.To, in.observer)
	case o.Writer != nil:
		err = write(o.Writer)
	default:
		err = export.File(o.To, write)
	}
	if logical.IsLost(err) && o.Loss.Command != "" && cofre.Hint(err) == "" {
		err = cofre.WithHint(err, cofre.Say("export.met_loss", "what is written is not whole; what can be read, with what is lost named: {{.command}}", "command", o.Loss.Command))
	}
	if err == nil {
		in.observer.Observe(cofre.Event{
			At: time.Now(), Type: cofre.Exported{}.EventType(), Point: point.ID, Source: cofre.SourceID{Kind: cofre.KindDatabase, Name: known.from.Component.Name},
			Fact: cofre.Exported{Format: string(o.Format), To: o.To, Table: o.Table},
		})
	}
	if err == nil && len(lost) > 0 {
		err = cofre.Fail(cofre.Say("export.without", "exported, without what the repository has lost: {{.what}}", "what", cofre.Series(lost...)), cofre.ErrPartial)
	}
	return point.ID, err
}

// leave gives the component as it can be read without what is lost of what the export needs, and names that.
func (o ExportOptions) leave(ctx context.Context, tree cofre.Tree) (cofre.Tree, []cofre.Message, error) {
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

// capturedDatabase finds the database component that a point holds, by the source's name if there are several, and opens it.
func (in *Installation) capturedDatabase(ctx context.Context, ref, source string) (cofre.RecoveryPoint, cofre.Tree, losses, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return cofre.RecoveryPoint{}, nil, losses{}, err
	}
	ref = cmp.Or(ref, catalog.Latest)
	want := catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindDatabase, Name: source}
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return point, nil, losses{}, err
	}
	in.warn(loss.Incomplete(cat, ref, point, want)...)
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return point, nil, losses{}, err
	}
	tree, err := repo.Tree(ctx, comp.Root)
	return point, tree, losses{repo, loss.Choice{Point: point, Component: comp, Catalog: cat, Damage: damage}}, err
}

// losses are what is known to be lost of one component, and where all of it is.
type losses struct {
	repo reader
	from loss.Choice
}

// into tells it to whoever reads the component; command brings the same from another point.
func (l losses) into(o *logical.LossOptions, command func(cofre.PointID) string) {
	o.Known = l.from.Lost()
	o.Elsewhere = func(ctx context.Context, schema, table string) string {
		point, _, ok := l.from.Holder(ctx, l.repo, schema, table)
		if !ok || command == nil {
			return ""
		}
		return command(point)
	}
}
