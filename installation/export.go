package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/export"
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
	To     string         // a path that does not exist
	Writer io.Writer      // in place of To, for FormatSQL and FormatCSV
	Table  string         // schema.table, of FormatCSV
	Filter logical.Filter // of FormatSQL
}

// Export writes the database of a recovery point as files for programs that know nothing of cofre, and returns the point. A file that was
// not written to its end is removed; what a Writer has is not whole with an error.
//
// Errors: those of the repository and its catalog; cofre.ErrExists if To does; those of logical's exports and of writing.
func (in *Installation) Export(ctx context.Context, o ExportOptions) (cofre.PointID, error) {
	point, tree, err := in.capturedDatabase(ctx, o.Point, o.Source)
	if err != nil {
		return "", err
	}
	write := func(w io.Writer) error { return export.ExportSQL(ctx, tree, o.Filter, w, in.observer) }
	if o.Format == FormatCSV {
		write = func(w io.Writer) error { return export.ExportCSV(ctx, tree, o.Table, w, in.observer) }
	}
	switch {
	case o.Format == FormatDirectory:
		err = export.ExportDirectory(ctx, tree, o.To, in.observer)
	case o.Writer != nil:
		err = write(o.Writer)
	default:
		err = newFile(o.To, write)
	}
	return point.ID, err
}

// newFile writes a file that does not exist, and removes it if it was not written to its end: half a script looks whole.
func newFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return cofre.WithHint(fmt.Errorf("write %s: %w", path, cofre.ErrExists), cofre.Say("export.new_file", "name a file that does not exist"))
	}
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
