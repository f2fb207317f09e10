package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// ShowOrigins shows whom each repository believes.
func (s *Screen) ShowOrigins(all []walorigin.Keys) {
	var rows [][]string
	for _, of := range all {
		for _, k := range of.Keys {
			rows = append(rows, []string{k.Fingerprint, k.Host, s.Clock(k.FirstAt), s.Text(stateOfKey(k.State)), of.System.String(), of.URL})
		}
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.key", "KEY")), s.Text(cofre.Say("heading.host", "HOST")), s.Text(cofre.Say("heading.asked", "ASKED")), s.Text(cofre.Say("heading.state", "STATE")), s.Text(cofre.Say("heading.system", "SYSTEM")), s.Text(cofre.Say("heading.repository", "REPOSITORY"))}, rows)
	} else {
		s.Line(s.Out, cofre.Say("origin.no_keys", "no host has asked to be believed: one does when it has archived its first file"))
	}
	for _, of := range all {
		if of.Required {
			s.Line(s.Out, cofre.Say("origin.is_required", "{{.url}} believes nothing of system {{.system}} but what an admitted key has signed, and what was there before", "url", of.URL, "system", of.System))
		}
	}
}

func stateOfKey(state origin.State) cofre.Message {
	switch state {
	case origin.Waiting:
		return cofre.Say("origin.state_waiting", "waiting")
	case origin.Admitted:
		return cofre.Say("origin.state_admitted", "admitted")
	case origin.Revoked:
		return cofre.Say("origin.state_revoked", "revoked")
	}
	return cofre.Verbatim(string(state))
}

// showOrigin says what of the WAL nobody vouches for.
func (s *Screen) showOrigin(of wal.Status) {
	o := of.Origin
	if o.Unknown > 0 {
		s.Say(cofre.SayN("wal.unknown_origin", o.Unknown, "1 segment is of unknown origin: no admitted key has signed it", "{{.n}} segments are of unknown origin: no admitted key has signed them"))
	}
	for _, k := range o.Waiting {
		s.Say(cofre.Say("wal.key_waits", "host {{.host}} signs with key {{.fingerprint}}, which nobody has admitted; if the host says the same fingerprint: cofre wal admit {{.fingerprint}}", "host", k.Host, "fingerprint", k.Fingerprint))
	}
	for _, err := range o.Refusals {
		s.Say(cofre.SayError(err))
	}
	for _, object := range o.Gone {
		s.Say(cofre.Say("wal.record_was_taken", "{{.object}} was there, and is not any more: this host goes by it all the same", "object", object))
	}
	for _, a := range of.Forgotten {
		s.Say(a.GoneMessage(of.System))
	}
}
