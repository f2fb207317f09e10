package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
)

// ShowAdopted shows what made a copy the original, and the point of the base backup that followed, nil without one.
func (s *Screen) ShowAdopted(d *adopting.Result, point *cofre.RecoveryPoint) {
	s.Line(s.Out, cofre.Say("adopt.done", "{{.dir}} is the original, on timeline {{.timeline}}", "dir", d.Dir, "timeline", d.Timeline))
	if len(d.Archived) > 0 {
		s.Line(s.Out, cofre.SayN("adopt.archived", len(d.Archived), "archived: 1 file, {{.first}}", "archived: {{.n}} files, the first {{.first}}", "first", d.Archived[0]))
	}
	s.Line(s.Out, cofre.SayN("adopt.removed", len(d.Settings), "removed: 1 setting that kept the copy from acting", "removed: {{.n}} settings that kept the copy from acting"))
	if d.Restarted {
		s.Line(s.Out, cofre.Say("adopt.restarted", "restarted"))
	}
	if point != nil {
		s.ShowBackup(point, false)
	}
	for _, n := range d.Next {
		s.Next(n.Said)
	}
}
