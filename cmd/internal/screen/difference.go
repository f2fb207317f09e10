package screen

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/difference"
)

// ShowDifference shows what changed from one recovery point to another.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowDifference(d *installation.Difference) error {
	doc := struct {
		From    cofre.PointID       `json:"from"`
		To      cofre.PointID       `json:"to"`
		Changes []difference.Change `json:"changes"`
	}{d.From.ID, d.To.ID, d.Changes}
	return s.answer(doc, nil, func() {
		Columns(s.Out, nil, [][]string{
			{s.Text(cofre.Say("show.from", "from")), string(d.From.ID), s.Clocks(d.From.StartedAt)},
			{s.Text(cofre.Say("show.to", "to")), string(d.To.ID), s.Clock(d.To.StartedAt)},
		})
		fmt.Fprintln(s.Out)
		if len(d.Changes) == 0 {
			s.Line(s.Out, cofre.Say("show.nothing_changed", "nothing changed"))
			return
		}
		var rows [][]string
		for _, ch := range d.Changes {
			rows = append(rows, []string{ch.Component, s.Beside(ch.Change, ch.Messages), s.Beside(ch.What, ch.Messages), ch.Object, s.Beside(ch.Detail, ch.Messages)})
		}
		Columns(s.Out, []string{s.Text(cofre.Say("heading.component", "COMPONENT")), s.Text(cofre.Say("heading.change", "CHANGE")), s.Text(cofre.Say("heading.what", "WHAT")), s.Text(cofre.Say("heading.object", "OBJECT")), s.Text(cofre.Say("heading.detail", "DETAIL"))}, rows)
	})
}
