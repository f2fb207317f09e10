package screen

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// ShowSealed says what was proven, and what is believed from now on, or why nothing was sealed.
//
// Errors: err, and with --json those of edge.App.Document.
func (s *Screen) ShowSealed(d *cofre.Sealed, err error) error {
	return s.answer(d, err, func() { s.showSealed(d) })
}

// ConfirmLost shows what a repository has lost, and asks whether it goes on without.
//
// Errors: those of Confirm.
func (s *Screen) ConfirmLost(ctx context.Context, l *cofre.Lost, yes bool) error {
	if !s.JSON && !s.Quiet {
		s.showLost(l)
	}
	return s.Confirm(ctx, yes, cofre.SayN("seal.go_on", len(l.Indexes), "go on for good without 1 index", "go on for good without {{.n}} indexes"))
}

func (s *Screen) showLost(l *cofre.Lost) {
	for _, name := range l.Indexes {
		s.Say(cofre.Say("seal.lost_index", "{{.name}} is lost: neither it nor its spare is as it was written", "name", name))
	}
	if n := len(l.Packs); n > 0 {
		s.Say(cofre.SayN("seal.lists", n, "1 pack lists pieces that no index names: they come back ({{.pieces}})", "{{.n}} packs list pieces that no index names: they come back ({{.pieces}})", "pieces", l.Pieces))
	}
	for _, name := range l.Gone {
		s.Say(cofre.Say("seal.lost_pack", "{{.name}} is not there or not as it was written, and no index names what it held: recovery points may have lost it", "name", name))
	}
}

func (s *Screen) showSealed(d *cofre.Sealed) {
	for _, f := range d.Findings {
		s.Say(f.Messages.Of(f.What))
	}
	for _, name := range d.Missing {
		s.Say(cofre.Say("seal.missing", "{{.name}} was missing before, though a seal of before names it, which anybody can have written", "name", name))
	}
	if d.Lost != nil {
		for _, f := range d.Lost.Damage {
			s.Say(f.Messages.Of(f.What))
		}
	}
	if s.Quiet || len(d.Findings) > 0 {
		return
	}
	if l := d.Lost; l != nil && l.Forgone {
		s.Say(cofre.SayN("seal.given_up", len(l.Indexes), "the repository goes on without 1 index that is lost; the journal says so", "the repository goes on without {{.n}} indexes that are lost; the journal says so"))
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
