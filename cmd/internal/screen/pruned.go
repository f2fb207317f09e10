package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// ShowPruned says what was freed, and what is not free yet and why.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowPruned(p *cofre.Pruned) error {
	return s.answer(p, nil, func() { s.showPruned(p) })
}

func (s *Screen) showPruned(p *cofre.Pruned) {
	freed := cofre.SayN("prune.freed", p.Freed.Count, "freed: {{.size}} in 1 file", "freed: {{.size}} in {{.n}} files", "size", words.Size(p.Freed.Bytes))
	if p.DryRun {
		freed = cofre.SayN("prune.would_free", p.Freed.Count, "would be freed now: {{.size}} in 1 file", "would be freed now: {{.size}} in {{.n}} files", "size", words.Size(p.Freed.Bytes))
	}
	if !s.Quiet || p.DryRun {
		s.Say(freed)
	}
	if p.Unreadable > 0 {
		s.Say(cofre.SayN("prune.unreadable", p.Unreadable, "1 piece cannot be read and stays where it is; find out what is damaged: cofre verify --level content", "{{.n}} pieces cannot be read and stay where they are; find out what is damaged: cofre verify --level content"))
	}
	if s.Quiet {
		return
	}
	for _, left := range []struct {
		cofre.Heap
		cofre.Message
	}{
		{p.Announced, cofre.Say("prune.announced", "not free yet: {{.size}} that nothing refers to; deleted by the first run after {{.due}}", "size", words.Size(p.Announced.Bytes), "due", s.Clock(p.Due))},
		{p.Young, cofre.Say("prune.young", "not free yet: {{.size}} that nothing refers to, written in the last day; a backup may be about to refer to it", "size", words.Size(p.Young.Bytes))},
		{p.Shared, cofre.Say("prune.shared", "not free yet: {{.size}} that nothing refers to, in files with something that counts", "size", words.Size(p.Shared.Bytes))},
		{p.Again, cofre.Say("prune.again", "not free yet: {{.size}} that were to go, in files with something that is needed again", "size", words.Size(p.Again.Bytes))},
		{p.Moved, cofre.Say("prune.moved", "moved into fewer files: {{.size}}", "size", words.Size(p.Moved.Bytes))},
	} {
		if left.Count > 0 {
			s.Say(left.Message)
		}
	}
	if !p.DryRun {
		s.Say(cofre.Say("prune.fewer", "indexes: {{.indexes_before}} before, {{.indexes}} now; seals: {{.seals_before}} before, {{.seals}} now",
			"indexes_before", p.Indexes.Before, "indexes", p.Indexes.After, "seals_before", p.Seals.Before, "seals", p.Seals.After))
	}
}
