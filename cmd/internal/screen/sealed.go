package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// ShowSealed says what was proven, and what is believed from now on, or why nothing was sealed.
//
// Errors: err, and with --json those of edge.App.Document.
func (s *Screen) ShowSealed(d *cofre.Sealed, err error) error {
	return s.answer(d, err, func() { s.showSealed(d) })
}

func (s *Screen) showSealed(d *cofre.Sealed) {
	for _, f := range d.Findings {
		s.Say(f.Messages.Of(f.What))
	}
	for _, name := range d.Missing {
		s.Say(cofre.Say("seal.missing", "{{.name}} was missing before, though a seal of before names it, which anybody can have written", "name", name))
	}
	if s.Quiet || len(d.Findings) > 0 {
		return
	}
	s.Say(cofre.SayN("seal.proven", d.Contents, "decrypted: 1 piece in {{.packs}}, {{.size}}; other files: {{.others}}", "decrypted: {{.n}} pieces in {{.packs}}, {{.size}}; other files: {{.others}}",
		"packs", cofre.SayN("seal.packs", d.Packs, "1 pack", "{{.n}} packs"), "size", words.Size(d.Bytes), "others", d.Others))
	if d.Before {
		s.Say(cofre.Say("seal.sealed_before", "the repository is sealed under its password, and was before: no other seal is believed"))
		return
	}
	s.Say(cofre.SayN("seal.sealed", d.Replaced, "the repository is sealed under its password: no other seal is believed from now on; 1 of before was replaced",
		"the repository is sealed under its password: no other seal is believed from now on; {{.n}} of before were replaced"))
}
