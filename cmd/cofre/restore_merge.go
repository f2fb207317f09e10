package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// mergeDocument is the JSON document of a merge. Outcome is nil where nothing was applied.
type mergeDocument struct {
	Point      cofre.PointID          `json:"point"`
	Comparison rescue.Comparison      `json:"comparison"`
	Preview    []rescue.RowDifference `json:"preview,omitempty"`
	Promise    cofre.Promise          `json:"promise"`
	Notes      []string               `json:"notes,omitempty"`
	Left       []rescue.LeftRows      `json:"left"` // rows that differ and stay as they are
	Outcome    *rescue.MergeOutcome   `json:"outcome,omitempty"`
	Error      *edge.ErrorDocument    `json:"error,omitempty"`
}

// runMerge compares a captured table with the live one, shows the difference, and applies it once confirmed.
func (c *restoreTableCommand) runMerge(ctx context.Context, a *app, in *installation.Installation) error {
	merge := &installation.Merge{
		Database: c.Database, Command: c.Table.Command,
		MergeOptions: rescue.MergeOptions{Server: c.Server, Table: c.Table.Table, Preview: c.preview, DeleteExtra: c.delete, Columns: c.columns, Loss: c.Loss},
	}
	compared := false
	c.Approve = func() (bool, error) {
		compared = true
		a.screen.end()
		return c.approve(ctx, a, merge.Made())
	}
	r, err := in.Restore(ctx, merge, c.RestoreOptions)
	a.screen.end()
	if !compared {
		return err
	}
	m := merge.Made()
	doc := mergeDocument{Point: r.Point, Comparison: m.Comparison, Preview: m.Preview, Promise: m.Promise(), Notes: m.Notes, Left: m.Left, Outcome: m.Done()}
	err = cmp.Or(err, m.Incomplete())
	if a.JSON {
		doc.Error = edge.DocumentOf(edge.Interrupted(ctx, err))
		return errors.Join(err, a.Document(doc))
	}
	if err == nil || errors.Is(err, cofre.ErrPartial) {
		printMerge(a, doc)
	}
	return err
}

// approve shows a comparison, and asks whether the live table shall be changed.
func (c *restoreTableCommand) approve(ctx context.Context, a *app, m *rescue.Merge) (bool, error) {
	// What differs is what was asked for; where nothing does, nothing is wrong.
	if !a.JSON && (!a.Quiet || m.Comparison != (rescue.Comparison{Same: m.Comparison.Same})) {
		printComparison(a, m)
	}
	changes := m.Changes()
	if c.dryRun || changes == (rescue.Comparison{}) {
		return !c.dryRun, nil
	}
	question := cofre.Say("merge.question", "bring back the rows of {{.table}}: {{.missing}} missing, {{.changed}} changed", "table", c.Table.Table, "missing", count(changes.Missing), "changed", count(changes.Changed))
	if c.delete {
		question = cofre.Say("merge.question_delete", "{{.question}}, and delete {{.extra}}", "question", question, "extra", count(changes.Extra))
	}
	err := a.confirm(ctx, c.yes, question)
	return err == nil, err
}

func printComparison(a *app, m *rescue.Merge) {
	columns(a.Out, nil, [][]string{
		{a.Text(rowKind("missing")), count(m.Comparison.Missing), a.Text(cofre.Say("merge.missing_means", "captured, and not in the live table"))},
		{a.Text(rowKind("changed")), count(m.Comparison.Changed), a.Text(cofre.Say("merge.changed_means", "other values in the live table"))},
		{a.Text(rowKind("extra")), count(m.Comparison.Extra), a.Text(cofre.Say("merge.extra_means", "in the live table, and not captured"))},
		{a.Text(rowKind("same")), count(m.Comparison.Same), ""},
	}, 1)
	for _, told := range m.Promise().Told() {
		edge.Say(a.Err, a.word(note()), a.Text(told))
	}
	for _, n := range m.Notes {
		edge.Say(a.Err, a.word(note()), a.Beside(n, m.Messages))
	}
	var rows [][]string
	for _, d := range m.Preview {
		var s []string
		for _, col := range d.Columns {
			s = append(s, a.Text(cofre.Say("merge.values", "{{.column}}: {{.captured}} (captured) {{.live}} (live)", "column", col.Name, "captured", valueOf(col.Captured), "live", valueOf(col.Live))))
		}
		rows = append(rows, []string{a.Text(rowKind(d.Kind)), strings.Join(d.Key, ","), strings.Join(s, "; ")})
	}
	if len(rows) > 0 {
		columns(a.Out, []string{a.Text(cofre.Say("heading.kind", "KIND")), a.Text(cofre.Say("heading.key", "KEY")), a.Text(cofre.Say("heading.values", "VALUES"))}, rows)
	}
}

func valueOf(s *string) string {
	if s == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", *s)
}

func printMerge(a *app, doc mergeDocument) {
	if o := doc.Outcome; o != nil {
		a.Line(a.Out, cofre.Say("merge.done", "merged: {{.inserted}} inserted, {{.updated}} updated, {{.deleted}} deleted", "inserted", count(o.Inserted), "updated", count(o.Updated), "deleted", count(o.Deleted)))
		for _, s := range o.Sequences {
			a.Line(a.Out, cofre.Say("merge.sequence", "sequence: {{.sequence}}", "sequence", s))
		}
	}
	for _, l := range doc.Left {
		a.Line(a.Out, leftRows(l))
	}
	if doc.Outcome == nil {
		return
	}
	edge.Say(a.Out, a.word(cofre.Say("word.kept", "kept")), a.Text(cofre.Say("merge.kept", "the rows as they were, in table {{.table}}", "table", doc.Outcome.UndoTable)))
	a.Line(a.Out, cofre.Say("merge.undo", "undo: {{.command}}", "command", doc.Outcome.Undo))
	for _, n := range doc.Outcome.Next {
		a.next(doc.Outcome.Messages.Of(n))
	}
}

// rowKind is how a row of a comparison differs.
func rowKind(kind string) cofre.Message {
	switch kind {
	case "missing":
		return cofre.Say("merge.missing", "missing")
	case "changed":
		return cofre.Say("merge.changed", "changed")
	case "extra":
		return cofre.Say("merge.extra", "extra")
	case "same":
		return cofre.Say("merge.same", "same")
	}
	return cofre.Verbatim(kind)
}

// leftRows says which rows differ and stay as they are.
func leftRows(l rescue.LeftRows) cofre.Message {
	keys := make([]string, len(l.Keys))
	for i, k := range l.Keys {
		keys[i] = strings.Join(k, ",")
	}
	if more := l.Rows - int64(len(keys)); more > 0 {
		keys = append(keys, "… +"+count(more))
	}
	named := strings.Join(keys, "; ")
	if l.Kind == "missing" {
		return cofre.SayN("merge.left_missing", int(l.Rows), "left: {{.n}} row that is not in the live table, with the key {{.keys}}", "left: {{.n}} rows that are not in the live table, with the keys {{.keys}}", "keys", named)
	}
	return cofre.SayN("merge.left_extra", int(l.Rows), "left: {{.n}} row that is not in the point, with the key {{.keys}}", "left: {{.n}} rows that are not in the point, with the keys {{.keys}}", "keys", named)
}
