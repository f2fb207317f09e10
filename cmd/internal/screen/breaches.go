package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/status"
)

// ShowBreaches shows when an objective was not reached, and why.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowBreaches(st *status.Status) error {
	doc := struct {
		Breaches []status.Breach `json:"breaches"`
	}{st.Breaches}
	return s.answer(doc, nil, func() {
		if s.Quiet {
			return
		}
		if len(st.Breaches) == 0 {
			s.Say(cofre.Say("status.no_breach", "the journal knows of no time in which an objective was not reached"))
			return
		}
		var rows [][]string
		for _, b := range st.Breaches {
			to := s.Text(cofre.Say("status.goes_on", "goes on"))
			if !b.To.IsZero() {
				to = s.Clock(b.To)
			}
			of := map[status.Condition]string{status.ConditionRPO: "RPO", status.ConditionRTO: "RTO"}[b.Of]
			rows = append(rows, []string{s.Clock(b.From), to, b.Source.Label(), of, s.Text(status.Span(b.Objective)), s.Text(status.Span(b.Worst)), s.Beside(b.Cause, b.Messages)})
		}
		Columns(s.Out, []string{
			s.Text(cofre.Say("heading.began", "BEGAN")), s.Text(cofre.Say("heading.ended", "ENDED")), s.Text(cofre.Say("heading.source", "SOURCE")), "",
			s.Text(cofre.Say("heading.objective", "OBJECTIVE")), s.Text(cofre.Say("heading.worst", "WORST")), s.Text(cofre.Say("heading.cause", "CAUSE")),
		}, rows)
	})
}
