package installation

import (
	"cmp"
	"context"
	"io"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/export"
)

// ExportOptions say what is exported, and where to.
type ExportOptions struct {
	Point  string // an id, an unambiguous prefix of one, or latest; empty is latest
	Source string // name of the database, if the point has several
	export.Options
	// Command is the command that exports the same from another point, for hints.
	Command func(cofre.PointID) string
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
	tree, lost, err := o.Leave(ctx, tree)
	if err != nil {
		return "", err
	}
	write := func(w io.Writer) error { return export.SQL(ctx, tree, o.Filter, w, in.observer) }
	if o.Format == export.FormatCSV {
		write = func(w io.Writer) error {
			n, err := export.CSV(ctx, tree, export.CSVOptions{Table: o.Table, Spreadsheet: o.Spreadsheet}, w, in.observer)
			if err == nil && n > 0 {
				in.warn(cofre.SayN("export.defused", int(n), "1 field that a spreadsheet would take for a formula has an apostrophe before it: it is not what was captured", "{{.n}} fields that a spreadsheet would take for formulas have an apostrophe before them: they are not what was captured"))
			}
			return err
		}
	}
	switch {
	case o.Format == export.FormatDirectory:
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
