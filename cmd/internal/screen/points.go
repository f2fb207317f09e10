package screen

import (
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

// ShowPoints shows recovery points, one a line, or that the installation of this name has none; if all is true with the installation of each.
// With missing, which says why points may be missing, it is not said that there is none.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowPoints(name string, listed *installation.Points, all bool, missing error) error {
	doc := struct {
		Points []installation.Point `json:"points"`
	}{listed.Points}
	return s.answer(doc, nil, func() {
		if len(listed.Points) == 0 {
			if missing == nil {
				s.Line(s.Err, noPoints(name, listed.Installations))
			}
			return
		}
		s.showPoints(listed.Points, all)
		if slices.ContainsFunc(listed.Points, func(p installation.Point) bool { return len(p.Damage) > 0 }) {
			edge.Say(s.Err, s.Word(edge.HintWord()), s.Text(cofre.Say("list.damaged", "a point that is damaged has lost what cofre show names; a backup stores afresh what still exists at its source: cofre backup")))
		}
	})
}

func (s *Screen) showPoints(points []installation.Point, all bool) {
	header := []string{s.Text(cofre.Say("heading.point", "POINT")), s.Text(cofre.Say("heading.taken", "TAKEN")), s.Text(cofre.Say("heading.kinds", "KINDS")), s.Text(cofre.Say("heading.size", "SIZE")), s.Text(cofre.Say("heading.new", "NEW")), s.Text(cofre.Say("heading.state", "STATE"))}
	if all {
		header = append(header, s.Text(cofre.Say("heading.installation", "INSTALLATION")))
	}
	var rows [][]string
	for _, p := range points {
		row := []string{string(p.ID), s.Clock(p.StartedAt), Kinds(p.RecoveryPoint), s.Size(p.Bytes()), s.Size(p.RecoveryPoint.Stored()), s.State(p)}
		if all {
			row = append(row, p.Installation)
		}
		rows = append(rows, row)
	}
	Columns(s.Out, header, rows, 3, 4)
}

// noPoints says that there is nothing to list, and what there is instead.
func noPoints(name string, there []string) cofre.Message {
	if len(there) == 0 || slices.Contains(there, name) {
		return cofre.Say("list.none", "no recovery points of {{.name}}; make one with: cofre backup", "name", name)
	}
	return cofre.Say("list.others", "no recovery points of {{.name}}; the repository has those of {{.others}}: cofre list --all", "name", name, "others", strings.Join(there, ", "))
}
