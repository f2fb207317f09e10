package journaling

import (
	"context"
	"errors"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Past is what is to be said if this machine does not know what was before it began to remember a journal, which is open as a book, or else is known; otherwise nothing.
// Nothing is read of the journal.
func Past(b *Book, know func() (*Known, error)) []cofre.Message {
	var m journal.Memory
	if b != nil {
		m = b.memory
	} else {
		k, err := know()
		if err != nil {
			return nil // there is none, or whoever reads it says what is wrong
		}
		m = k.memory
		m.Begin()
	}
	return unknownBefore(m.UnknownBefore())
}

// Past is what is to be said of what is not known; otherwise nothing.
func (v *Verified) Past() []cofre.Message { return unknownBefore(v.UnknownBefore) }

func unknownBefore(at time.Time) []cofre.Message {
	if at.IsZero() {
		return nil
	}
	return []cofre.Message{cofre.Say("journal.past_unknown", "whether anything was taken back or deleted before {{.at}} is not known: this machine remembers the journal since then, from what the storage showed. Compare it with the newest line that a backup printed and somebody kept: cofre journal verify --since 'LINE'", "at", at)}
}

// VouchHint leads out of a past that is not known, also where nobody has kept a line.
func VouchHint(newest journal.Checkpoint) cofre.Message {
	return cofre.Say("journal.vouch_hint", "compare it with the newest line that a backup printed and somebody kept; the recovery kit has one too: cofre journal verify --since 'LINE'; if nobody has kept one, look whether all points are there that you know of, with cofre list, and vouch for what is there: cofre journal verify --since '{{.line}}'", "line", newest)
}

// Diagnose says whether the journal is what this machine has seen of it, and whether that is all of it.
func Diagnose(ctx context.Context, know func() (*Known, error)) cofre.Diagnosis {
	subject := cofre.Say("doctor.journal", "journal")
	k, err := know()
	if errors.Is(err, cofre.ErrNotFound) {
		return cofre.NewDiagnosis(subject, true, cofre.Say("doctor.no_journal", "there is none yet: the next backup begins one"), cofre.Message{})
	}
	var newest journal.Checkpoint
	if err == nil {
		newest, err = k.look(ctx)
	}
	if err != nil {
		return cofre.NewDiagnosis(subject, false, cofre.SayError(err), cofre.HintOf(err))
	}
	detail := cofre.SayN("doctor.journal_entries", int(newest.Size), "1 entry, signed by {{.origin}}", "{{.n}} entries, signed by {{.origin}}", "origin", newest.Origin)
	since := k.memory.UnknownBefore()
	switch {
	case newest.Size > 0 && k.memory.Key == "":
		detail = cofre.Say("doctor.journal_unknown", "{{.entries}}; this machine knows nothing of its past", "entries", detail)
	case !since.IsZero():
		detail = cofre.Say("doctor.journal_since", "{{.entries}}; this machine knows nothing of what was before {{.at}}, when it began to remember what the storage showed", "entries", detail, "at", since)
	default:
		return cofre.NewDiagnosis(subject, true, detail, cofre.Message{})
	}
	return cofre.NewDiagnosis(subject, false, detail, VouchHint(newest))
}

// look compares the journal with what this machine has seen of it, and returns its newest checkpoint.
//
// Errors: cofre.ErrCorrupt if it is not what was seen; those of the store.
func (k *Known) look(ctx context.Context) (newest journal.Checkpoint, err error) {
	if k.beside != k.key {
		return newest, k.otherKey()
	}
	log, err := journal.OpenPublic(k.store, k.key)
	if err != nil {
		return newest, err
	}
	newest, found, err := log.Compare(ctx, k.memory.Seen())
	if err == nil && !found.IsZero() {
		err = journal.Forget(cofre.Fail(found, cofre.ErrCorrupt), k.file)
	}
	return newest, err
}
