package screen

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

// journalDocument is the JSON document of the journal, and of its verification.
type journalDocument struct {
	Entries  []journal.Numbered   `json:"entries,omitempty"`
	Verified *journaling.Verified `json:"verified"`
	Error    *edge.ErrorDocument  `json:"error,omitempty"`
}

// ShowJournal shows entries, one a line, and what is wrong with the journal, if something is: err, which is returned.
func (s *Screen) ShowJournal(entries []journal.Numbered, v *journaling.Verified, err error) error {
	return s.answer(journalDocument{entries, v, edge.DocumentOf(err)}, err, func() {
		s.showEntries(entries)
		if err != nil {
			s.showJournalVerified(v)
		}
	})
}

func (s *Screen) showEntries(entries []journal.Numbered) {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = []string{fmt.Sprint(e.Number), s.minute(e.Body.At), s.Text(happened(e.Body)), e.Body.User + "@" + e.Body.Host}
	}
	Columns(s.Out, []string{s.Text(cofre.Say("heading.number", "NO")), s.Text(cofre.Say("heading.when", "WHEN")), s.Text(cofre.Say("heading.what", "WHAT")), s.Text(cofre.Say("heading.by", "BY"))}, rows, 0)
}

// minute is a clock for many lines.
func (s *Screen) minute(t time.Time) string {
	return t.In(s.Location()).Format("2006-01-02 15:04 -07:00")
}

// happened says what an entry is of.
func happened(b journal.Body) cofre.Message {
	switch b.Event {
	case journal.EventPublished:
		return cofre.Say("journal.event_published", "published {{.point}}", "point", b.Point)
	case journal.EventFound:
		return cofre.Say("journal.event_found", "found {{.point}}, published by a run that ended before its entry", "point", b.Point)
	case journal.EventExpiring:
		return cofre.Say("journal.event_expiring", "expiry begun")
	case journal.EventLoss:
		return cofre.Say("journal.event_loss", "loss of {{.point}} acknowledged", "point", b.Point)
	case journal.EventTime:
		return cofre.Say("journal.event_time", "the time of {{.point}} is not believed", "point", b.Point)
	case journal.EventDamage:
		return cofre.Say("journal.event_damage", "damage of the journal acknowledged")
	case journal.EventFailed:
		return cofre.Say("journal.event_failed", "a run failed: {{.code}}", "code", b.Code)
	case journal.EventVerified:
		if b.Code == cofre.CodeOK {
			return cofre.Say("journal.event_verified", "verified")
		}
		return cofre.Say("journal.event_verified_findings", "verified: {{.code}}", "code", b.Code)
	case journal.EventRestored:
		if b.Point == "" { // to a moment, from whichever point leads there
			return cofre.Say("journal.event_restored_moment", "restored")
		}
		return cofre.Say("journal.event_restored", "restored {{.point}}", "point", b.Point)
	case journal.EventExpired:
		if b.Point == "" {
			return cofre.Say("journal.event_wal_expired", "WAL expired")
		}
		return cofre.Say("journal.event_expired", "expired {{.point}}", "point", b.Point)
	case journal.EventPruned:
		return cofre.Say("journal.event_pruned", "pruned")
	case journal.EventSealed:
		return cofre.Say("journal.event_sealed", "sealed under the password")
	case journal.EventHeld:
		return cofre.Say("journal.event_held", "held {{.point}}", "point", b.Point)
	case journal.EventReleased:
		return cofre.Say("journal.event_lifted", "hold of {{.point}} lifted", "point", b.Point)
	case journal.EventKey:
		return cofre.Say("journal.event_key", "a key was made or changed")
	case journal.EventConfigured:
		return cofre.Say("journal.event_configured", "configuration changed")
	case journal.EventAcknowledged:
		return cofre.Say("journal.event_acknowledged", "a gap was acknowledged")
	case journal.EventOrigin:
		return originChanged(b)
	case journal.EventAdopted:
		return cofre.Say("journal.event_adopted", "a cluster was adopted")
	case journal.EventSignedOff:
		return cofre.Say("journal.event_signed", "the backup policy was signed")
	case journal.EventExported:
		return cofre.Say("journal.event_exported", "exported {{.point}}", "point", b.Point)
	}
	return cofre.Verbatim(string(b.Event))
}

// originChanged says in which way others are believed than before of those that archive.
func originChanged(b journal.Body) cofre.Message {
	var f journal.OriginFacts
	_ = json.Unmarshal(b.Facts, &f) // what cannot be read of it is left out
	switch f.Change {
	case cofre.OriginAdmitted:
		return cofre.Say("journal.event_key_admitted", "WAL signed with {{.fingerprint}} is believed", "fingerprint", f.Key)
	case cofre.OriginRevoked:
		return cofre.Say("journal.event_key_revoked", "WAL signed with {{.fingerprint}} is not believed any more", "fingerprint", f.Key)
	case cofre.OriginRequired:
		return cofre.Say("journal.event_signatures_required", "WAL without a signature is not believed any more")
	}
	return cofre.Say("journal.event_origin", "whose WAL is believed was changed")
}

// ShowCheckpoint shows the newest checkpoint of the journal, if there is one: whoever keeps the line can prove later that nothing was rewritten.
func (s *Screen) ShowCheckpoint(line string) {
	if line != "" && !s.Quiet {
		s.Line(s.Out, cofre.Say("journal.checkpoint", "journal {{.checkpoint}}", "checkpoint", line))
	}
}

// ShowLossAcknowledged shows the newest checkpoint of the journal, which has that it is known that this is lost.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowLossAcknowledged(lost, checkpoint string) error {
	doc := struct {
		Lost       string `json:"acknowledged"`
		Checkpoint string `json:"checkpoint"`
	}{lost, checkpoint}
	return s.answer(doc, nil, func() { s.ShowCheckpoint(checkpoint) })
}

// ShowJournalVerified shows what is wrong with the journal, or that nothing was found, and the newest checkpoint. err is how the
// verification ended, and is returned.
func (s *Screen) ShowJournalVerified(v *journaling.Verified, err error) error {
	return s.answer(journalDocument{nil, v, edge.DocumentOf(err)}, err, func() { s.showJournalVerified(v) })
}

func (s *Screen) showJournalVerified(v *journaling.Verified) {
	var rows [][]string
	for _, f := range v.Findings {
		rows = append(rows, []string{f.Object, s.Beside(f.What, f.Messages)})
	}
	if len(rows) > 0 {
		Columns(s.Out, nil, rows)
	} else if !s.Quiet && len(v.Acknowledged) == 0 && v.Key != "" {
		s.Line(s.Out, cofre.SayN("journal.whole", int(v.Entries), "the journal is whole: 1 entry", "the journal is whole: {{.n}} entries"))
	}
	if s.Quiet {
		return
	}
	for _, f := range v.Acknowledged {
		s.Line(s.Out, cofre.Say("journal.known_damage", "acknowledged: {{.object}}: {{.what}}", "object", f.Object, "what", f.Messages.Of(f.What)))
	}
	if v.Key == "" {
		return
	}
	if v.Unsigned > 0 {
		s.Line(s.Out, cofre.SayN("journal.unsigned", int(v.Unsigned), "1 entry is not covered by a checkpoint yet: the next one covers it", "{{.n}} entries are not covered by a checkpoint yet: the next one covers them"))
	}
	s.Line(s.Out, cofre.Say("journal.key_line", "key     {{.key}}", "key", v.Key))
	s.ShowCheckpoint(v.Newest.String())
	for _, m := range v.Past() {
		edge.Say(s.Err, s.Word(warning()), s.Text(m))
	}
	if !v.Known {
		edge.Say(s.Err, s.Word(warning()), s.Text(cofre.Say("journal.key_unknown", "nobody vouches for this key: it lies beside the journal; compare it with the recovery kit, or give that one with --key")))
	}
}
