package screen

import (
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/verify"
)

// ShowVerified shows the findings of a verification and, if it came to its end, the level that was reached.
func (s *Screen) ShowVerified(res *verify.Result, whole bool) {
	var rows [][]string
	for _, f := range res.Findings {
		rows = append(rows, []string{"", f.Check, string(f.Kind), f.Object, s.Beside(f.What, f.Messages)})
	}
	for _, p := range res.Points {
		for _, f := range slices.Concat(p.Findings, p.Known) {
			rows = append(rows, []string{string(p.ID), f.Check, string(f.Kind), f.Object, s.Beside(f.What, f.Messages)})
		}
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.point", "POINT")), s.Text(cofre.Say("heading.check", "CHECK")), s.Text(cofre.Say("heading.kind", "KIND")), s.Text(cofre.Say("heading.object", "OBJECT")), s.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
	}
	if !whole || s.Quiet && len(rows) == 0 {
		return
	}
	reached := cofre.Verbatim(string(res.Reached))
	if res.Reached == "" {
		reached = cofre.Say("verify.no_level", "none")
	}
	s.Line(s.Out, cofre.SayN("verify.reached", len(res.Points), "level reached: {{.level}}, by 1 recovery point, at {{.at}}, in {{.time}}", "level reached: {{.level}}, by {{.n}} recovery points, at {{.at}}, in {{.time}}", "level", reached, "at", s.Clocks(res.EndedAt), "time", words.Took(res.EndedAt.Sub(res.StartedAt))))
}
