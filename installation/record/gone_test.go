package record_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/journal"
)

// What the journal says of a point that is gone is what latest needs: when it was, and which kinds it had and has not lost to expiry.
func TestWhatIsKnownOfAPointThatIsGone(t *testing.T) {
	whole := published("a", "")
	whole.Facts = facts(map[string]any{"started_at": now, "published_at": now.Add(1), "findings": 3, "components": []map[string]any{{"kind": "database"}, {"kind": "cluster"}, {"kind": "config", "partial": true}}})
	l := ledger(whole, journal.Body{Event: journal.EventExpired, Point: "a", Facts: facts(map[string]any{"whole": false, "components": []map[string]any{{"kind": "cluster"}}})}, published("b", ""))
	gone := l.Gone([]cofre.RecoveryPoint{point("b")})
	if len(gone) != 1 || gone[0].ID != "a" || gone[0].Installation != "tl" || !gone[0].StartedAt.Equal(now) || !gone[0].PublishedAt.Equal(now.Add(1)) {
		t.Fatalf("gone: %+v", gone)
	}
	if c := gone[0].Components; len(c) != 2 || c[0].Kind != cofre.KindDatabase || c[1].Kind != cofre.KindConfig || !c[1].Partial {
		t.Errorf("components: %+v", c)
	}
	if gone := l.Gone([]cofre.RecoveryPoint{point("a"), point("b")}); len(gone) != 0 {
		t.Errorf("of a catalog that is whole: %+v", gone)
	}
}

// A journal that was cut back, or has lost an entry that was written after the newest point, may hide a newer one; what it has lost of older times hides none.
func TestWhatMayHideTheNewest(t *testing.T) {
	l := ledger(published("a", ""), published("b", ""))
	there := []cofre.RecoveryPoint{point("a"), point("b")}
	found := func(object, code string) cofre.Finding {
		return cofre.Finding{Check: journal.Check, Object: object}.Saying(cofre.Message{Code: code, Text: code})
	}
	findings := cofre.WithHint(fmt.Errorf("%w", cofre.ErrFindings), cofre.Verbatim("the way"))
	for name, c := range map[string]struct {
		seen  bool
		f     cofre.Finding
		err   error
		hides bool
	}{
		"nothing found":         {true, found("x", "x"), nil, false},
		"another than was seen": {false, found("journal/entry/000000000000", "journal.missing"), findings, true},
		"an older one":          {true, found("journal/entry/000000000000", "journal.missing"), findings, false},
		"a later one":           {true, found("journal/entry/000000000002", "journal.cut"), findings, true},
		"several, one of them":  {true, found("journal/entry/000000000000 … journal/entry/000000000002", "journal.cut"), findings, true},
		"what it has encrypted": {true, found("journal/entry/000000000002", "journal.sealed_missing"), findings, false},
		"a checkpoint":          {true, found("journal/checkpoint/000000000009", "journal.checkpoint_unsigned"), findings, false},
		"what is of no journal": {true, found("journal/entry/x", "journal.foreign"), findings, false},
	} {
		res := &journaling.Verified{Verified: &journal.Verified{Findings: []cofre.Finding{c.f}}, AsSeen: c.seen}
		err := l.Doubt(there, res, c.err)
		if (err != nil) != c.hides || err != nil && cofre.Hint(err) != "the way" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is gone is named by all who go by the catalog, with the same way on.
func TestNothingExpiresByACatalogThatLacksAPoint(t *testing.T) {
	l := ledger(published("a", ""), published("b", ""))
	err := l.NothingGone([]cofre.RecoveryPoint{point("b")}, 2)
	if cofre.CodeOf(err) != cofre.CodeFindings || !strings.Contains(err.Error(), "nothing expires: recovery point a was published") || !strings.Contains(cofre.Hint(err), "cofre journal acknowledge a ") {
		t.Errorf("%v: %s", err, cofre.Hint(err))
	}
	if err := l.NothingGone([]cofre.RecoveryPoint{point("a"), point("b")}, 2); err != nil {
		t.Error(err)
	}
}

// A point of another installation that is gone is acknowledged with the configuration of that one: the hint says so, and names no command that is refused.
func TestAPointOfAnotherInstallation(t *testing.T) {
	entries := []journal.Body{published("a", ""), {Event: journal.EventPublished, Installation: "other", Point: "x"}}
	var warned []string
	o := record.Looker{
		Installation: "tl",
		Observer:     cofre.ObserverFunc(func(e cofre.Event) { warned = append(warned, e.Text) }),
		Read: func(_ context.Context, _ string, r journaling.Reading) (*journaling.Verified, error) {
			for i, b := range entries {
				if b.Installation == "" {
					b.Installation = "tl"
				}
				r.Visit(journal.Numbered{Number: int64(i), Entry: journal.New(b)})
			}
			return &journaling.Verified{Verified: &journal.Verified{}}, nil
		},
	}
	const another, own = "with the configuration of other: cofre --config FILE journal acknowledge x ", "if the point is lost for good, say so: cofre journal acknowledge a "
	if err := o.Acknowledge(t.Context(), []cofre.RecoveryPoint{point("a")}, "x", "ana", "lost"); !errors.Is(err, cofre.ErrNotFound) || !strings.Contains(cofre.Hint(err), another) {
		t.Errorf("%v: %s", err, cofre.Hint(err))
	}
	for hint, there := range map[string][]cofre.RecoveryPoint{another: {point("a")}, own: {}} {
		if err := o.NothingLostOfAny(t.Context(), there, 2); cofre.CodeOf(err) != cofre.CodeFindings || !strings.Contains(cofre.Hint(err), hint) || len(warned) == 0 {
			t.Errorf("%v: %s, not %s", err, cofre.Hint(err), hint)
		}
	}
}
