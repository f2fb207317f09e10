package screen

import "github.com/trustlayer/cofre"

// ShowHolds shows what is held, or that nothing is.
func (s *Screen) ShowHolds(holds []cofre.Hold) {
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
