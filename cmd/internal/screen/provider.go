package screen

import (
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// ShowProvider shows what a store was found to do and not to do; err is how the checks ended. It returns err.
func (s *Screen) ShowProvider(report bucket.ProviderReport, err error) error {
	return s.answer(report, err, func() {
		var rows [][]string
		for _, c := range report.Checks {
			mark, detail := s.Text(cofre.Say("doctor.ok", "ok")), strings.Join(c.Notes, "; ")
			if c.Err != "" {
				mark, detail = s.Text(cofre.Say("provider.fails", "FAILS")), c.Err
			} else if s.Quiet {
				continue
			}
			rows = append(rows, []string{mark, c.Name, detail})
		}
		Columns(s.Out, nil, rows)
	})
}
