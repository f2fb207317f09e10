package record_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/journal"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// ledger is what a journal says in which these entries stand.
func ledger(bodies ...journal.Body) *record.Ledger {
	l := &record.Ledger{Installation: "tl"}
	for i, b := range bodies {
		if b.Installation == "" {
			b.Installation = "tl"
		}
		if b.At.IsZero() {
			b.At = now.Add(-time.Hour)
		}
		var about []journal.Subject
		if len(b.Configuration) > 0 { // stands for the digest of its point
			about, b.Configuration = []journal.Subject{{Name: string(b.Point), Digest: map[string]string{"sha256": b.Configuration}}}, ""
		}
		l.Take(journal.Numbered{Number: int64(i), Entry: journal.New(b, about...)})
	}
	return l
}

func published(id cofre.PointID, digest string) journal.Body {
	return journal.Body{Event: journal.EventPublished, Point: id, Configuration: digest}
}

func expired(id cofre.PointID, whole bool, digest string) journal.Body {
	return journal.Body{Event: journal.EventExpired, Point: id, Facts: facts(map[string]any{"what": "components", "whole": whole}), Configuration: digest}
}

func begun(run cofre.RunID, at time.Time, points ...cofre.ExpiringPoint) journal.Body {
	return journal.Body{Event: journal.EventExpiring, Run: run, At: at, Facts: facts(cofre.ExpiryBegun{Points: points})}
}

func facts(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

func point(id cofre.PointID, gone ...cofre.ExpiredComponent) cofre.RecoveryPoint {
	return cofre.RecoveryPoint{ID: id, Installation: "tl", PublishedAt: now.Add(-time.Hour), Expired: gone}
}

// A point that the journal knows is there, has expired, or is gone; what was published after the catalog was read is not asked for.
func TestPointsThatAreGone(t *testing.T) {
	l := ledger(published("a", ""), published("b", ""), published("c", ""), published("d", ""), expired("b", true, ""), expired("c", false, ""),
		journal.Body{Event: journal.EventPublished, Installation: "other", Point: "x"}, published("late", ""), published("known", ""))
	there := []cofre.RecoveryPoint{point("a")}
	if d := l.Compare(record.Catalog{Points: there, First: 7, Now: now}); !slices.Equal(d.Gone, []cofre.PointID{"c", "d"}) || len(d.Found)+len(d.Changed)+len(d.Ended) > 0 {
		t.Errorf("gone: %+v", d)
	}
	if d := l.Compare(record.Catalog{Now: now}); len(d.Gone) != 0 {
		t.Errorf("gone of no entry: %v", d.Gone)
	}
	if !l.Lost("d", there) || l.Lost("a", there) || l.Lost("b", there) || l.Lost("never", there) {
		t.Error("lost is what is gone, and nothing else")
	}
	l.Take(journal.Numbered{Number: 9, Entry: journal.New(journal.Body{Event: journal.EventLoss, Installation: "tl", Point: "d"})})
	if d := l.Compare(record.Catalog{Points: there, First: 7, Now: now}); !slices.Equal(d.Gone, []cofre.PointID{"c"}) {
		t.Errorf("gone and known to be: %v", d.Gone)
	}
}

// A point that was swapped for another of the same name has another digest than the journal says: that with which it was published, or that which what
// expired left of it.
func TestPointsThatWereChanged(t *testing.T) {
	l := ledger(published("a", "1"), published("b", "1"), published("c", "1"), expired("c", false, "2"), published("d", "1"), expired("d", false, ""), published("e", "1"))
	c := record.Catalog{
		Points:  []cofre.RecoveryPoint{point("a"), point("b"), point("c"), point("d"), point("e")},
		Digests: map[cofre.PointID][]string{"a": {"1"}, "b": {"9"}, "c": {"1"}, "d": {"7"}, "e": {"9"}}, First: 6, Now: now,
	}
	d := l.Compare(c)
	// d was rewritten by a version that did not say how; e was published after the catalog was read.
	if !slices.Equal(d.Changed, []cofre.PointID{"b", "c"}) {
		t.Errorf("changed: %v", d.Changed)
	}
	if found := d.Findings(); len(found) != 2 || found[0].Object != "b" || found[0].Check != journal.Check {
		t.Errorf("findings: %+v", found)
	}
	c.Digests["c"] = []string{"2", "5"} // two machines wrote it at once
	if d := l.Compare(c); !slices.Equal(d.Changed, []cofre.PointID{"b"}) {
		t.Errorf("changed: %v", d.Changed)
	}
}

// A run that was killed between what it did and its entry left no damage: it is said what it did, and not before it can have ended.
func TestRunsThatEndedBeforeTheirEntry(t *testing.T) {
	gone := cofre.ExpiredComponent{Kind: cofre.KindConfig, Name: "config"}
	young := point("young")
	young.PublishedAt = now.Add(-time.Second)
	l := ledger(published("part", "1"), published("whole", "1"), published("just", "1"), published("stays", "1"),
		begun("r1", now.Add(-time.Hour), cofre.ExpiringPoint{Point: "stays", Whole: true}),
		begun("r2", now.Add(-time.Hour), cofre.ExpiringPoint{Point: "part"}, cofre.ExpiringPoint{Point: "whole", Whole: true}),
		begun("r2", now.Add(-time.Second), cofre.ExpiringPoint{Point: "just", Whole: true}))
	c := record.Catalog{
		Points: []cofre.RecoveryPoint{point("part", gone), point("unknown"), young}, Digests: map[cofre.PointID][]string{"part": {"2"}}, First: 7, Now: now,
	}
	d := l.Compare(c)
	if len(d.Found) != 1 || d.Found[0].ID != "unknown" {
		t.Errorf("found: %+v", d.Found)
	}
	if len(d.Ended) != 2 || d.Ended[0].Point != "part" || d.Ended[0].Whole || d.Ended[1].Point != "whole" || !d.Ended[1].Whole {
		t.Errorf("ended: %+v", d.Ended)
	}
	// The second run has looked at what had become of the first.
	if !slices.Equal(d.Gone, []cofre.PointID{"stays"}) || len(d.Changed) > 0 {
		t.Errorf("gone: %v, changed: %v", d.Gone, d.Changed)
	}
	if m := d.Messages(); len(m) != 2 {
		t.Errorf("said: %v", m)
	}
}

// What has expired and is in the catalog again is said: the index that said so may be lost. What is published again, or expires just now, is no such thing.
func TestPointsThatAreBack(t *testing.T) {
	l := ledger(published("back", "1"), published("again", "1"), published("part", "1"), published("just", "1"),
		expired("back", true, ""), expired("again", true, ""), expired("part", false, "2"), published("again", "1"), expired("just", true, ""))
	d := l.Compare(record.Catalog{
		Points: []cofre.RecoveryPoint{point("back"), point("again"), point("part"), point("just")}, First: 8, Now: now,
		Digests: map[cofre.PointID][]string{"back": {"1"}, "again": {"1"}, "part": {"2"}, "just": {"1"}},
	})
	if !slices.Equal(d.Back, []cofre.PointID{"back"}) || len(d.Gone)+len(d.Changed)+len(d.Found)+len(d.Ended) > 0 {
		t.Errorf("%+v", d)
	}
	if m := d.Messages(); len(m) != 1 || m[0].Code != "journal.point_back" {
		t.Errorf("said: %v", m)
	}
}

// Of the newest point the next backup asks, with as few requests as its entry is entries away.
func TestTheNewestPoint(t *testing.T) {
	unknown, known := point("b"), point("a")
	unknown.PublishedAt = known.PublishedAt.Add(time.Minute)
	for name, c := range map[string]struct {
		entries []journal.Body
		finds   bool
		asks    int
	}{
		"known":                 {[]journal.Body{{Event: journal.EventPruned, At: now}, {Event: journal.EventPublished, Point: "b", At: now}, {}, {}}, false, 2},
		"not known":             {[]journal.Body{{Event: journal.EventPruned, At: now}, {Event: journal.EventPublished, Point: "a", At: now.Add(-48 * time.Hour)}, {}}, true, 2},
		"in a journal anew":     {nil, true, 0},
		"of other installation": {[]journal.Body{{Event: journal.EventPublished, Installation: "other", Point: "b", At: now}}, true, 1},
	} {
		var told []cofre.Event
		asked := 0
		o := record.Looker{Installation: "tl", Observer: cofre.ObserverFunc(func(e cofre.Event) { told = append(told, e) })}
		err := o.Newest(func(yield func(journal.Numbered, error) bool) {
			for i, b := range c.entries {
				if asked++; b.Installation == "" {
					b.Installation = "tl"
				}
				if !yield(journal.Numbered{Number: int64(len(c.entries) - i), Entry: journal.New(b)}, nil) {
					return
				}
			}
		}, slices.Values([]cofre.RecoveryPoint{known, unknown}))
		found := slices.ContainsFunc(told, func(e cofre.Event) bool { f, ok := e.Fact.(cofre.PointFound); return ok && f.Point.ID == "b" })
		if err != nil || found != c.finds || asked != c.asks {
			t.Errorf("%s: found %v after %d entries: %v", name, found, asked, err)
		}
	}
}
