package screen

import (
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/internal/words"
)

// backupDocument is the JSON document of a backup.
type backupDocument struct {
	Point      *cofre.RecoveryPoint `json:"point"`
	Level      cofre.Level          `json:"level_reached"`
	Checkpoint string               `json:"checkpoint,omitempty"` // of the journal
	Error      *edge.ErrorDocument  `json:"error,omitempty"`
}

// ShowBackup shows the point that a backup made, and the newest checkpoint of the journal. With --quiet a point that is whole shows what
// it warns of. err is how the backup ended, and is returned.
func (s *Screen) ShowBackup(p *cofre.RecoveryPoint, checkpoint string, err error) error {
	return s.answer(backupDocument{p, cofre.PublishedLevel, checkpoint, edge.DocumentOf(err)}, err, func() {
		s.showBackup(p, err == nil)
		s.ShowCheckpoint(checkpoint)
	})
}

func (s *Screen) showBackup(p *cofre.RecoveryPoint, whole bool) {
	// cron mails what is printed.
	if s.Quiet && whole {
		s.showWarnings(p)
		return
	}
	s.Line(s.Out, cofre.Say("point.id", "recovery point {{.point}}", "point", p.ID))
	var rows [][]string
	for _, c := range p.Components {
		rows = append(rows, []string{"", string(c.Kind), c.Name, s.Size(c.Bytes), s.Text(cofre.Say("backup.new", "{{.size}} new", "size", words.Size(c.Stored))), s.Took(c.EndedAt.Sub(c.StartedAt))})
	}
	Columns(s.Out, nil, rows, 3, 4, 5)
	s.showWarnings(p)
	s.Line(s.Out, cofre.Say("backup.published", "published in {{.time}}; level reached: {{.level}}", "time", words.Took(p.PublishedAt.Sub(p.StartedAt).Round(time.Millisecond)), "level", levelWord(cofre.PublishedLevel)))
}

func (s *Screen) showWarnings(p *cofre.RecoveryPoint) {
	for _, c := range p.Components {
		for _, w := range c.Warnings {
			of := c.Label() + ": "
			if s.told.first(of + w) { // most were said when they happened
				edge.Say(s.Err, s.Word(warning()), of+s.Beside(w, c.Messages))
			}
		}
	}
	for _, f := range p.Findings {
		if f.Check == cofre.CheckSource {
			continue // the error says it
		}
		edge.Say(s.Err, s.Word(finding()), fmt.Sprintf("%s: %s: %s", f.Check, f.Object, s.Beside(f.What, f.Messages)))
	}
}
