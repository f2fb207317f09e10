package screen

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
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

// ShowMerge shows what a merge has changed, if it has changed anything, which rows stay different, and how it is undone. err is how it
// ended, and is returned.
func (s *Screen) ShowMerge(ctx context.Context, point cofre.PointID, m *rescue.Merge, err error) error {
	doc := mergeDocument{point, m.Comparison, m.Preview, m.Promise(), m.Notes, m.Left, m.Done(), edge.DocumentOf(edge.Interrupted(ctx, err))}
	return s.answer(doc, err, func() {
		if err == nil || errors.Is(err, cofre.ErrPartial) {
			s.showMerged(doc.Outcome, doc.Left)
		}
	})
}

// ConfirmMerge shows a comparison, and asks before the live table is changed. It reports whether to change it.
//
// Errors: those of Confirm.
func (s *Screen) ConfirmMerge(ctx context.Context, m *rescue.Merge, dryRun, yes bool) (bool, error) {
	// What differs is what was asked for; if nothing does, nothing is wrong.
	if !s.JSON && (!s.Quiet || m.Comparison != (rescue.Comparison{Same: m.Comparison.Same})) {
		s.showComparison(m)
	}
	if dryRun || m.Changes() == (rescue.Comparison{}) {
		return !dryRun, nil
	}
	err := s.Confirm(ctx, yes, m.Question())
	return err == nil, err
}

// showComparison shows how a captured table differs from the live one: rows by kind, what is promised, and some rows.
func (s *Screen) showComparison(m *rescue.Merge) {
	Columns(s.Out, nil, [][]string{
		{s.Text(rowKind("missing")), s.Count(m.Comparison.Missing), s.Text(cofre.Say("merge.missing_means", "captured, and not in the live table"))},
		{s.Text(rowKind("changed")), s.Count(m.Comparison.Changed), s.Text(cofre.Say("merge.changed_means", "other values in the live table"))},
		{s.Text(rowKind("extra")), s.Count(m.Comparison.Extra), s.Text(cofre.Say("merge.extra_means", "in the live table, and not captured"))},
		{s.Text(rowKind("same")), s.Count(m.Comparison.Same), ""},
	}, 1)
	for _, told := range m.Promise().Told() {
		edge.Say(s.Err, s.Word(note()), s.Text(told))
	}
	for _, n := range m.Notes {
		edge.Say(s.Err, s.Word(note()), s.Beside(n, m.Messages))
	}
	var rows [][]string
	for _, d := range m.Preview {
		var values []string
		for _, col := range d.Columns {
			values = append(values, s.Text(cofre.Say("merge.values", "{{.column}}: {{.captured}} (captured) {{.live}} (live)", "column", col.Name, "captured", valueOf(col.Captured), "live", valueOf(col.Live))))
		}
		rows = append(rows, []string{s.Text(rowKind(d.Kind)), strings.Join(d.Key, ","), strings.Join(values, "; ")})
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.kind", "KIND")), s.Text(cofre.Say("heading.key", "KEY")), s.Text(cofre.Say("heading.values", "VALUES"))}, rows)
	}
}

func valueOf(s *string) string {
	if s == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", *s)
}

func (s *Screen) showMerged(o *rescue.MergeOutcome, left []rescue.LeftRows) {
	if o != nil {
		s.Line(s.Out, cofre.Say("merge.done", "merged: {{.inserted}} inserted, {{.updated}} updated, {{.deleted}} deleted", "inserted", s.Count(o.Inserted), "updated", s.Count(o.Updated), "deleted", s.Count(o.Deleted)))
		for _, sequence := range o.Sequences {
			s.Line(s.Out, cofre.Say("merge.sequence", "sequence: {{.sequence}}", "sequence", sequence))
		}
	}
	for _, l := range left {
		s.Line(s.Out, leftRows(l))
	}
	if o == nil {
		return
	}
	edge.Say(s.Out, s.Word(cofre.Say("word.kept", "kept")), s.Text(cofre.Say("merge.kept", "the rows as they were, in table {{.table}}", "table", o.UndoTable)))
	// On one line, whatever the terminal's width: it is to be pasted into psql, where an escaped line break is an error.
	fmt.Fprintln(s.Out, s.Text(cofre.Say("merge.undo", "undo: {{.command}}", "command", strings.ReplaceAll(o.Undo, ";\n", "; "))))
	for _, n := range o.Next {
		s.Next(n.Said)
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
		keys = append(keys, "… +"+words.Count(more))
	}
	named := strings.Join(keys, "; ")
	if l.Kind == "missing" {
		return cofre.SayN("merge.left_missing", int(l.Rows), "left: {{.n}} row that is not in the live table, with the key {{.keys}}", "left: {{.n}} rows that are not in the live table, with the keys {{.keys}}", "keys", named)
	}
	return cofre.SayN("merge.left_extra", int(l.Rows), "left: {{.n}} row that is not in the point, with the key {{.keys}}", "left: {{.n}} rows that are not in the point, with the keys {{.keys}}", "keys", named)
}
