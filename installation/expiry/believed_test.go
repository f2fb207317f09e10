package expiry_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

// TestATimeThatIsNotBelievedFreezesNothing: of a point whose clock was years ahead the time of the next one counts, and all rules go on.
func TestATimeThatIsNotBelievedFreezesNothing(t *testing.T) {
	var points []cofre.RecoveryPoint
	var bodies []journal.Body
	for n := range 30 {
		p := day(29-n, database)
		bodies = append(bodies, journal.Body{Event: journal.EventPublished, Point: p.ID})
		points = append(points, p)
	}
	ahead, next := points[10], points[11]
	ahead.StartedAt = ahead.StartedAt.AddDate(9, 0, 0)
	ahead.Components[0].StartedAt, ahead.Components[0].EndedAt = ahead.StartedAt, ahead.StartedAt.Add(time.Minute)
	points = append(append(append([]cofre.RecoveryPoint{}, points[:10]...), points[11:]...), ahead)
	if frozen := decideBy(of(7), told(bodies...), points...).Sources[0].Frozen; frozen == nil {
		t.Fatal("a point of the future freezes nothing")
	}
	at, isAstray := told(bodies...).Neighbour(points, ahead, now)
	if !isAstray || !at.Equal(next.StartedAt) {
		t.Fatalf("it is taken to be of %s, %v, want %s", at, isAstray, next.StartedAt)
	}
	if _, fits := told(bodies...).Neighbour(points, next, now); fits {
		t.Error("a time that fits those of the others is not to be believed")
	}
	h := told(append(bodies, journal.Body{Event: journal.EventTime, Point: ahead.ID, Facts: facts(cofre.TimeDisbelieved{Said: ahead.StartedAt, Taken: at})})...)
	e := decideBy(of(7), h, points...)
	if e.Sources[0].Frozen != nil || e.Sources[0].Expired == 0 {
		t.Errorf("the source: %+v", e.Sources[0])
	}
	_, goes := going(e)[ahead.ID]
	if _, nextGoes := going(e)[next.ID]; goes != nextGoes {
		t.Errorf("it goes: %v; the one that was published next: %v", goes, nextGoes)
	}
	dated := h.Dated(points)
	if last := dated[len(dated)-1]; last.ID == ahead.ID {
		t.Error("it is the newest")
	}
	for _, p := range dated {
		if c := p.Components[0]; p.ID == ahead.ID && (!p.StartedAt.Equal(at) || !c.StartedAt.Equal(at) || c.EndedAt.Sub(c.StartedAt) != time.Minute) {
			t.Errorf("its times are %+v", p)
		}
	}
	if !ahead.Components[0].StartedAt.Equal(ahead.StartedAt) {
		t.Error("the point itself was changed")
	}
}

// TestATimeThatIsNotBelievedIsNotTheNewest: also if there is only one point that was published after it, whose components began a little after the point, as they do.
func TestATimeThatIsNotBelievedIsNotTheNewest(t *testing.T) {
	old, ahead, next := day(9, database), day(8, database), day(1, database)
	ahead.StartedAt = ahead.StartedAt.AddDate(3, 0, 0)
	ahead.Components[0].StartedAt = ahead.StartedAt.Add(20 * time.Millisecond)
	next.Components[0].StartedAt = next.StartedAt.Add(10 * time.Millisecond)
	bodies := []journal.Body{{Event: journal.EventPublished, Point: old.ID}, {Event: journal.EventPublished, Point: ahead.ID}, {Event: journal.EventPublished, Point: next.ID}}
	points := []cofre.RecoveryPoint{old, next, ahead} // as the catalog has them
	at, _ := told(bodies...).Neighbour(points, ahead, now)
	h := told(append(bodies, journal.Body{Event: journal.EventTime, Point: ahead.ID, Facts: facts(cofre.TimeDisbelieved{Taken: at})})...)
	if dated := h.Dated(points); dated[1].ID != ahead.ID || dated[2].ID != next.ID {
		t.Errorf("the newest is %s, want %s", dated[2].ID, next.ID)
	}
	cfg := of(0)
	cfg.Database.Keep.Last = 1
	goes := going(decideBy(cfg, h, points...))
	if goes[old.ID] == nil || goes[ahead.ID] == nil || goes[next.ID] != nil {
		t.Errorf("of the newest one only is kept: %v goes", goes)
	}
}

// TestTheNewestIsWhatWasPublishedLast: not what a clock that was ahead claims, also when the moment has come that it claimed, and by however little it was ahead.
func TestTheNewestIsWhatWasPublishedLast(t *testing.T) {
	old := day(11, database)
	for _, ahead := range []time.Duration{-20 * time.Hour, -10 * time.Hour * 24, -30 * time.Minute, 48 * time.Hour} {
		wrong := day(0, database)
		wrong.StartedAt, wrong.PublishedAt = now.Add(ahead), now.Add(ahead+time.Minute)
		wrong.Components[0].StartedAt = wrong.StartedAt.Add(time.Second)
		next := day(10, database)
		if !wrong.StartedAt.After(next.StartedAt) {
			next.StartedAt, next.PublishedAt = wrong.StartedAt.Add(-time.Hour), wrong.PublishedAt.Add(-time.Hour)
		}
		for _, event := range []journal.Event{journal.EventPublished, journal.EventFound} {
			h := told(journal.Body{Event: journal.EventPublished, Point: old.ID}, journal.Body{Event: event, Point: wrong.ID}, journal.Body{Event: journal.EventPublished, Point: next.ID})
			points := []cofre.RecoveryPoint{old, next, wrong}
			ordered := h.InOrder(points)
			if p := ordered[2]; p.ID != next.ID || ordered[1].ID != wrong.ID || ordered[1].Components[0].StartedAt.After(next.StartedAt) {
				t.Errorf("%s, %s: the newest is %s", ahead, event, p.ID)
			}
			if o := h.Overtaken(points); len(o) != 2 || !strings.Contains(o[1].Text, "cofre journal acknowledge "+string(wrong.ID)) {
				t.Errorf("%s, %s: nothing is said: %v", ahead, event, o)
			}
			// What is said to be pasted works.
			if at, isAstray := h.Neighbour(points, wrong, now); !isAstray || !at.Equal(next.StartedAt) {
				t.Errorf("%s, %s: its time is taken to be %s, %v", ahead, event, at, isAstray)
			}
		}
	}
}

// TestTheOrderOfTheJournalIsNoReasonToDoubt: runs beside each other are published in another order than they began, and a point that was found later may be of any time before.
func TestTheOrderOfTheJournalIsNoReasonToDoubt(t *testing.T) {
	long, short := day(2, database), day(1, database)
	long.PublishedAt = short.PublishedAt.Add(time.Hour)
	for name, h := range map[string]*expiry.History{
		"beside":      told(journal.Body{Event: journal.EventPublished, Point: short.ID}, journal.Body{Event: journal.EventPublished, Point: long.ID}),
		"found":       told(journal.Body{Event: journal.EventPublished, Point: short.ID}, journal.Body{Event: journal.EventFound, Point: long.ID}),
		"not told of": told(journal.Body{Event: journal.EventPublished, Point: short.ID}),
		"another's":   told(journal.Body{Event: journal.EventPublished, Point: short.ID}, journal.Body{Event: journal.EventPublished, Point: long.ID, Installation: "other"}),
	} {
		points := []cofre.RecoveryPoint{long, short}
		if ordered := h.InOrder(points); ordered[1].ID != short.ID || !ordered[0].StartedAt.Equal(long.StartedAt) || h.Overtaken(points) != nil {
			t.Errorf("%s: the newest is %s, %v", name, ordered[1].ID, h.Overtaken(points))
		}
	}
	if o := told().Overtaken(nil); o != nil {
		t.Error(o)
	}
}

// heard is an observer that keeps facts.
type heard []cofre.Event

func (h *heard) Observe(e cofre.Event) { *h = append(*h, e) }

func TestDisbelieve(t *testing.T) {
	good, ahead := day(1, cofre.Component{Kind: cofre.KindConfig}), day(2, cofre.Component{Kind: cofre.KindConfig})
	ahead.StartedAt = time.Now().AddDate(2, 0, 0)
	began := time.Now()
	points := []cofre.RecoveryPoint{good, ahead}
	read := func(_ context.Context, _ string, o journaling.Reading) (*journaling.Verified, error) {
		o.Visit(journal.Numbered{Number: 0, Entry: journal.New(journal.Body{Installation: "tl", Event: journal.EventPublished, Point: good.ID})})
		o.Visit(journal.Numbered{Number: 1, Entry: journal.New(journal.Body{Installation: "tl", Event: journal.EventPublished, Point: ahead.ID})})
		return nil, nil
	}
	var told heard
	if done, err := expiry.Disbelieve(t.Context(), read, &told, points, good, "ana", "no"); done || err != nil || len(told) != 0 {
		t.Errorf("a point that fits: %v, %v, %+v", done, err, told)
	}
	if _, err := expiry.Disbelieve(t.Context(), read, &told, points, ahead, "ana", ""); !errors.Is(err, cofre.ErrConfig) {
		t.Errorf("without a reason: %v", err)
	}
	done, err := expiry.Disbelieve(t.Context(), read, &told, points, ahead, "ana", "its clock was ahead")
	if !done || err != nil || len(told) != 1 || told[0].Point != ahead.ID {
		t.Fatalf("%v, %v, %+v", done, err, told)
	}
	if f := told[0].Fact.(cofre.TimeDisbelieved); !f.Said.Equal(ahead.StartedAt) || f.Taken.Before(began.Truncate(time.Second)) || f.Taken.After(time.Now()) || f.Why != "its clock was ahead" {
		t.Errorf("%+v", f)
	}
}
