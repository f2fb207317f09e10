package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// Table is one table that is brought back, reading nothing else. With only Table set it is made under its own name, in the
// configured database.
type Table struct {
	// TableOptions without Server is of the configured one.
	rescue.TableOptions
	Database string // to bring it into; "" is the configured one
	// Command is the command that brings the same from another point, for hints. Nil leaves them without one.
	Command func(cofre.PointID) string

	made *rescue.Table
}

// Made says what a restore has made; nil if it did not get so far.
func (t *Table) Made() *rescue.TableOutcome {
	if t.made == nil {
		return nil
	}
	return t.made.Made()
}

func (*Table) kind() cofre.Kind { return cofre.KindDatabase }

func (*Table) called() string { return "table" }

func (*Table) replaces(cofre.Component) cofre.Message { return cofre.Message{} }

func (*Table) ofOneTable() {}

func (t *Table) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (t *Table) target(_ context.Context, in *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	o := t.TableOptions
	losses{repo, from}.into(&o.Loss, t.Command)
	var err error
	if o.Server, err = in.database(o.Server, t.Database); err != nil {
		return nil, err
	}
	t.made = rescue.NewTable(o)
	return t.made, nil
}

// Merge is a captured table of which the rows that the live one lacks are brought back. What is to change is known once it is staged:
// RestoreOptions.Approve is asked then.
type Merge struct {
	// MergeOptions without Server is of the configured one.
	rescue.MergeOptions
	Database string                     // of the live table; "" is the configured one
	Command  func(cofre.PointID) string // as of Table

	made *rescue.Merge
}

// Made is the comparison, and what was applied; nil if the restore did not get so far.
func (m *Merge) Made() *rescue.Merge { return m.made }

func (*Merge) kind() cofre.Kind { return cofre.KindDatabase }

func (*Merge) called() string { return "merge" }

func (*Merge) replaces(cofre.Component) cofre.Message { return cofre.Message{} }

func (*Merge) ofOneTable() {}

func (m *Merge) changes() bool { return m.made.Changes() != (rescue.Comparison{}) }

func (m *Merge) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (m *Merge) target(_ context.Context, in *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	o := m.MergeOptions
	losses{repo, from}.into(&o.Loss, m.Command)
	var err error
	if o.Server, err = in.database(o.Server, m.Database); err != nil {
		return nil, err
	}
	m.made = rescue.NewMerge(o)
	return m.made, nil
}

// database is a database of the server that was named, or else of the configured one.
func (in *Installation) database(named postgres.Config, database string) (postgres.Config, error) {
	server, err := in.server(named)
	if err == nil && database != "" {
		server = server.With(database)
	}
	return server, err
}
