package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// mergeDocument is the JSON document of a merge. Outcome is nil if nothing was applied.
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
		a.EndProgress()
		return c.approve(ctx, a, merge.Made())
	}
	r, err := in.Restore(ctx, merge, c.RestoreOptions)
	a.EndProgress()
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
		a.ShowMerge(doc.Outcome, doc.Left)
	}
	return err
}

// approve shows a comparison, and asks whether to change the live table.
func (c *restoreTableCommand) approve(ctx context.Context, a *app, m *rescue.Merge) (bool, error) {
	// What differs is what was asked for; if nothing does, nothing is wrong.
	if !a.JSON && (!a.Quiet || m.Comparison != (rescue.Comparison{Same: m.Comparison.Same})) {
		a.ShowComparison(m)
	}
	changes := m.Changes()
	if c.dryRun || changes == (rescue.Comparison{}) {
		return !c.dryRun, nil
	}
	question := cofre.Say("merge.question", "bring back the rows of {{.table}}: {{.missing}} missing, {{.changed}} changed", "table", c.Table.Table, "missing", words.Count(changes.Missing), "changed", words.Count(changes.Changed))
	if c.delete {
		question = cofre.Say("merge.question_delete", "{{.question}}, and delete {{.extra}}", "question", question, "extra", words.Count(changes.Extra))
	}
	err := a.Confirm(ctx, c.yes, question)
	return err == nil, err
}
