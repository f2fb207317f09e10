package expiry_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// told is a history of one installation, from events and their facts.
func told(bodies ...journal.Body) *expiry.History {
	h := &expiry.History{Installation: "tl"}
	for i, b := range bodies {
		if b.Installation == "" {
			b.Installation = "tl"
		}
		h.Take(journal.Numbered{Number: int64(i), Entry: journal.New(b)})
	}
	return h
}

func facts(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

func because(sealed string) (string, error) {
	if sealed == "" {
		return "", errors.New("gone")
	}
	return "because of " + sealed, nil
}

// A hold counts until it is lifted; that of another installation, or the lifting of another, does not.
func TestHoldsOfAHistory(t *testing.T) {
	until := now.AddDate(0, 1, 0)
	h := told(
		journal.Body{Event: journal.EventHeld, Point: "a", Facts: facts(journal.HoldFacts{ID: "1", Owner: "ana", Since: now, Until: until}), Sealed: "s"},
		journal.Body{Event: journal.EventHeld, Point: "b", Facts: facts(journal.HoldFacts{ID: "2", Kind: cofre.KindConfig, Since: now.Add(time.Hour)})},
		journal.Body{Event: journal.EventHeld, Point: "c", Facts: facts(journal.HoldFacts{ID: "3", Since: now})},
		journal.Body{Event: journal.EventHeld, Point: "d", Installation: "other", Facts: facts(journal.HoldFacts{ID: "4", Since: now})},
		journal.Body{Event: journal.EventReleased, Point: "c", Facts: facts(journal.HoldFacts{ID: "3"})},
		journal.Body{Event: journal.EventReleased, Point: "a", Installation: "other", Facts: facts(journal.HoldFacts{ID: "1"})},
	)
	got := h.Holds(because)
	want := []cofre.Hold{
		{ID: "1", Point: "a", Owner: "ana", Reason: "because of s", Since: now, Until: until},
		{ID: "2", Point: "b", Kind: cofre.KindConfig, Reason: "?", Since: now.Add(time.Hour)},
	}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("held: %+v", got)
	}
}

// A hold whose facts cannot be read holds its whole point, without an end.
func TestAHoldThatCannotBeReadHolds(t *testing.T) {
	got := told(journal.Body{Event: journal.EventHeld, Point: "a", Facts: json.RawMessage(`"no"`), Nonce: "n"}).Holds(because)
	if len(got) != 1 || got[0].Point != "a" || got[0].Kind != "" || !got[0].Until.IsZero() {
		t.Errorf("held: %+v", got)
	}
}

// A backup that failed as a whole freezes every source, until a point is published.
func TestABackupThatFailedFreezes(t *testing.T) {
	points := []cofre.RecoveryPoint{day(20, database, files), day(1, database, files)}
	failed := func(code cofre.Code, kind cofre.RunKind) journal.Body {
		return journal.Body{Event: journal.EventFailed, At: now, Code: code, Facts: facts(map[string]any{"kind": kind})}
	}
	published := journal.Body{Event: journal.EventPublished, Point: "p"}
	later := func(at time.Time) journal.Body {
		return journal.Body{Event: journal.EventFailed, At: at, Code: "unreachable", Facts: facts(runs.FailedFacts{Kind: cofre.RunBackup, Later: true})}
	}
	for name, c := range map[string]struct {
		history *expiry.History
		freezes bool
	}{
		"failed":                        {told(published, failed("unreachable", cofre.RunBackup)), true},
		"failed, and made good":         {told(failed("unreachable", cofre.RunBackup), published), false},
		"failed, and another published": {told(failed("unreachable", cofre.RunBackup), journal.Body{Event: journal.EventPublished, Point: "p", Facts: facts(map[string]any{"components": []any{map[string]any{"kind": "config"}}})}), true},
		"another failed":                {told(journal.Body{Event: journal.EventFailed, At: now, Code: "unreachable", Facts: facts(runs.FailedFacts{Kind: cofre.RunBackup, What: "config"})}), false},
		"called off":                    {told(published, failed(cofre.CodeInterrupted, cofre.RunBackup)), false},
		"another was at it":             {told(published, failed(cofre.CodeLocked, cofre.RunBackup)), false},
		"a restore failed":              {told(published, failed("unreachable", cofre.RunRestore)), false},
		"killed":                        {told(published, failed(cofre.CodeKilled, cofre.RunBackup)), true},
		"killed once published":         {told(journal.Body{Event: journal.EventFailed, At: now, Code: cofre.CodeKilled, Facts: facts(runs.FailedFacts{Kind: cofre.RunBackup, Published: true, Later: true})}), false},
		"told too late":                 {told(journal.Body{Event: journal.EventPublished, Point: "p", At: now}, later(now.Add(-time.Hour))), false},
		"told later":                    {told(journal.Body{Event: journal.EventPublished, Point: "p", At: now}, later(now.Add(time.Hour))), true},
		"of another installation":       {told(journal.Body{Event: journal.EventFailed, Installation: "other", Facts: facts(map[string]any{"kind": cofre.RunBackup})}), false},
	} {
		for _, s := range decideBy(of(3), c.history, points...).Sources {
			if s.ID.Kind == cofre.KindDatabase && (s.Frozen != nil) != c.freezes {
				t.Errorf("%s: %+v", name, s.Frozen)
			}
		}
	}
}
