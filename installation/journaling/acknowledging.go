package journaling

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// acknowledged is the damage of the journal that entries of it say is known. What else becomes of the same object is found again.
type acknowledged map[journal.DamageFacts]bool

// visiting takes what is acknowledged, and passes every entry on.
func (a *acknowledged) visiting(visit func(journal.Numbered)) func(journal.Numbered) {
	*a = acknowledged{}
	return func(e journal.Numbered) {
		var f journal.DamageFacts
		if e.Body.Event == journal.EventDamage && json.Unmarshal(e.Body.Facts, &f) == nil {
			(*a)[f] = true
		}
		if visit != nil {
			visit(e)
		}
	}
}

// divide tells what is known from what is not.
func (a *acknowledged) divide(all []cofre.Finding) (known, others []cofre.Finding) {
	others = []cofre.Finding{}
	for _, f := range all {
		if facts, ok := damageOf(f); ok && (*a)[facts] {
			known = append(known, f)
		} else {
			others = append(others, f)
		}
	}
	return known, others
}

// damageOf is how an entry names a finding. That the journal is not what somebody has seen, or has another key, no entry of it can make good.
func damageOf(f cofre.Finding) (journal.DamageFacts, bool) {
	if !strings.HasPrefix(f.Object, journal.Prefix) || f.Object == journal.PublicObject || len(f.Messages) == 0 {
		return journal.DamageFacts{}, false
	}
	return journal.DamageFacts{Object: f.Object, Found: f.Messages[0].Code}, true
}

// IsObject reports whether a person names an object of the journal, and not a recovery point.
func IsObject(name string) bool { return strings.HasPrefix(name, journal.Prefix) }

// Acknowledge has the journal say that a person knows of an object that is damaged for good, as Verify names it: read says what is found. What was found of it in several
// ways is acknowledged in each.
//
// Errors: cofre.ErrConfig without a reason; cofre.ErrNotFound if nothing was found of it; those of reading.
func Acknowledge(ctx context.Context, read func(context.Context, string, Reading) (*Verified, error), tell cofre.Observer, object, by, why string) error {
	if why == "" {
		return cofre.Fail(cofre.Say("journal.damage_why", "acknowledge damage of the journal: without a reason"), cofre.ErrConfig)
	}
	v, err := read(ctx, "", Reading{Sealed: true, Full: true})
	if v == nil {
		return err
	}
	if err != nil && !errors.Is(err, cofre.ErrFindings) {
		return err
	}
	if !v.AsSeen {
		return err // what is damaged nobody knows, if the whole is another
	}
	known := false
	for _, f := range v.Findings {
		if d, ok := damageOf(f); ok && f.Object == object {
			cofre.Tell(tell, cofre.JournalDamageAcknowledged{Object: d.Object, Found: d.Found, By: by, Why: why})
			known = true
		}
	}
	if !known {
		return cofre.WithHint(cofre.Fail(cofre.Say("journal.not_damaged", "damage of {{.object}}", "object", object), cofre.ErrNotFound), cofre.Say("journal.damage_hint", "see what is damaged with: cofre journal verify --full"))
	}
	return nil
}

// WayOn is what to do about a journal of which parts are damaged, and which goes on from everything that is kept of it; otherwise it is the zero message.
func (v *Verified) WayOn() cofre.Message {
	if len(v.Findings) == 0 || !v.AsSeen || slices.ContainsFunc(v.Findings, func(f cofre.Finding) bool { _, ok := damageOf(f); return !ok }) {
		return cofre.Message{}
	}
	return cutWayOn(v.Findings[0].Object)
}

// cutWayOn is what to do about an object that is damaged, or lost.
func cutWayOn(object string) cofre.Message {
	return cofre.Say("journal.way_on", "see what has become of it: cofre journal verify; bring back the object that it names, from a copy of the repository or an older version in the bucket; if it is lost for good, and what it said may be given up, also a hold: cofre journal acknowledge '{{.object}}' --why 'lost'", "object", object)
}

// Verify is Known.Verify with what Know has returned: whoever kept a line of a journal is told if there is none.
//
// Errors: those of both.
func Verify(ctx context.Context, k *Known, unknown error, o Reading) (*Verified, error) {
	if errors.Is(unknown, cofre.ErrNotFound) && len(o.Since) > 0 {
		return notThere(o.Since)
	}
	if unknown != nil {
		return nil, unknown
	}
	return k.Verify(ctx, o)
}

// notThere is what a repository without a journal is to whoever has kept a line of one.
func notThere(since []journal.Checkpoint) (*Verified, error) {
	v := &journal.Verified{Findings: []cofre.Finding{}}
	for _, c := range since {
		v.Findings = append(v.Findings, cofre.Finding{Check: journal.Check, Object: c.String()}.Saying(cofre.Say("journal.removed", "there was a journal when this was signed, and there is none: somebody has removed all of it")))
	}
	err := fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", len(since), "1 finding", "{{.n}} findings")))
	return &Verified{Verified: v}, cofre.WithHint(err, cofre.Say("journal.removed_hint", "bring journal/ and cofre/keys/ back from a copy of the repository or older versions in the bucket; then compare again: cofre journal verify --since '{{.line}}'", "line", cmp.Or(since...).String()))
}
