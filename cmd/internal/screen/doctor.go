package screen

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// ShowDiagnoses shows everything that was looked at, and then of each thing that stands in the way what changes it; with --quiet these
// alone. err is how the looking ended, and is returned.
func (s *Screen) ShowDiagnoses(looked []cofre.Diagnosis, err error) error {
	doc := struct {
		Looked []cofre.Diagnosis   `json:"looked_at"`
		Error  *edge.ErrorDocument `json:"error,omitempty"`
	}{looked, edge.DocumentOf(err)}
	return s.answer(doc, err, func() {
		var rows [][]string
		for _, d := range looked {
			mark := s.Text(cofre.Say("doctor.ok", "ok"))
			if !d.OK {
				mark = s.Text(cofre.Say("doctor.change", "CHANGE"))
			} else if s.Quiet {
				continue
			}
			rows = append(rows, []string{mark, s.Beside(d.Subject, d.Messages), s.Beside(d.Detail, d.Messages)})
		}
		Columns(s.Out, nil, rows)
		for _, d := range looked {
			if !d.OK && d.Hint != "" {
				fmt.Fprintln(s.Out)
				edge.Say(s.Out, "", s.Beside(d.Subject, d.Messages)+": "+s.Beside(d.Detail, d.Messages))
				edge.Say(s.Out, "  ", s.Beside(d.Hint, d.Messages))
			}
		}
	})
}
