package screen

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
)

// adoptDocument is the JSON document of an adoption.
type adoptDocument struct {
	Plan    *cofre.Plan          `json:"plan"`
	Adopted *adopting.Result     `json:"adopted,omitempty"`
	Point   *cofre.RecoveryPoint `json:"point,omitempty"` // of the base backup that followed
	Error   *edge.ErrorDocument  `json:"error,omitempty"`
}

// ShowAdopted shows what made a copy the original, and the point of the base backup that followed. With --quiet it shows what is wrong
// and what is to be done. err is how the adoption ended, and is returned.
func (s *Screen) ShowAdopted(ctx context.Context, done *installation.Adopted, err error) error {
	doc := adoptDocument{Plan: done.Plan, Adopted: done.Result, Point: done.Point, Error: edge.DocumentOf(edge.Interrupted(ctx, err))}
	return s.answer(doc, err, func() {
		if done.Result != nil && (!s.Quiet || err != nil || len(done.Next) > 0) {
			s.showAdopted(done.Result, done.Point)
		}
	})
}

func (s *Screen) showAdopted(d *adopting.Result, point *cofre.RecoveryPoint) {
	s.Line(s.Out, cofre.Say("adopt.done", "{{.dir}} is the original, on timeline {{.timeline}}", "dir", d.Dir, "timeline", d.Timeline))
	if len(d.Archived) > 0 {
		s.Line(s.Out, cofre.SayN("adopt.archived", len(d.Archived), "archived: 1 file, {{.first}}", "archived: {{.n}} files, the first {{.first}}", "first", d.Archived[0]))
	}
	s.Line(s.Out, cofre.SayN("adopt.removed", len(d.Settings), "removed: 1 setting that kept the copy from acting", "removed: {{.n}} settings that kept the copy from acting"))
	if d.Restarted {
		s.Line(s.Out, cofre.Say("adopt.restarted", "restarted"))
	}
	if point != nil {
		s.showBackup(point, false)
	}
	for _, n := range d.Next {
		s.Next(n.Said)
	}
}
