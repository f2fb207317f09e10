package screen

import "github.com/trustlayer/cofre"

// ShowHold shows a hold that was begun, or lifted, and the newest checkpoint of the journal, which has it.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowHold(h *cofre.Hold, lifted bool, checkpoint string) error {
	return s.answer(h, nil, func() {
		if s.Quiet {
			return
		}
		if lifted {
			s.Say(cofre.Say("hold.lifted", "hold {{.id}} of {{.point}} is lifted", "id", h.ID, "point", h.Point))
		} else {
			s.Say(cofre.Say("hold.held", "{{.point}} is held: {{.id}}", "point", h.Point, "id", h.ID))
		}
		s.ShowCheckpoint(checkpoint)
	})
}

// ShowHolds shows what is held, or that nothing is.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowHolds(holds []cofre.Hold) error {
	doc := struct {
		Holds []cofre.Hold `json:"holds"`
	}{holds}
	return s.answer(doc, nil, func() { s.showHolds(holds) })
}

func (s *Screen) showHolds(holds []cofre.Hold) {
	if len(holds) == 0 {
		if !s.Quiet {
			s.Say(cofre.Say("hold.nothing", "nothing is held"))
		}
		return
	}
	var rows [][]string
	for _, h := range holds {
		point := string(h.Point)
		if h.Kind != "" {
			point += " " + string(h.Kind)
		}
		rows = append(rows, []string{h.ID, point, s.Clock(h.Until), h.Owner, h.Reason})
	}
	Columns(s.Out, []string{
		s.Text(cofre.Say("heading.hold", "HOLD")), s.Text(cofre.Say("heading.point", "POINT")), s.Text(cofre.Say("heading.until", "UNTIL")),
		s.Text(cofre.Say("heading.by", "BY")), s.Text(cofre.Say("heading.why", "WHY")),
	}, rows)
}
