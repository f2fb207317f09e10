package expiry_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/journal"
)

// verified is the entry of a verification, by another installation than the one whose history is read.
func verified(n int64, facts journal.VerifiedFacts) journal.Numbered {
	text, _ := json.Marshal(facts)
	return journal.Numbered{Number: n, Entry: journal.New(journal.Body{Event: journal.EventVerified, Installation: "another", Facts: text})}
}

// TestSoManyProvenStay, whatever was proven, found damaged and proven again in whatever order: what expires never leaves fewer whole components that
// the journal says are proven than the rule wants, and nothing goes while there are fewer.
func TestSoManyProvenStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.IntRange(1, 25).Draw(t, "days")
		want := rapid.IntRange(1, 5).Draw(t, "want")
		cfg := of(1)
		cfg.Database.Keep.Verified = want
		var points []cofre.RecoveryPoint
		for n := days; n > 0; n-- {
			c := database
			c.Root = cofre.ObjectID(fmt.Sprintf("k%d", n))
			points = append(points, day(n, c))
		}
		h, levels := &expiry.History{Installation: "tl"}, map[cofre.PointID]cofre.Level{}
		for number := range rapid.IntRange(0, 12).Draw(t, "verifications") {
			var facts journal.VerifiedFacts
			for _, i := range rapid.SliceOf(rapid.IntRange(0, days-1)).Draw(t, "of") {
				level := rapid.SampledFrom([]cofre.Level{cofre.LevelContent, cofre.LevelStructure, ""}).Draw(t, "level")
				facts.Components = append(facts.Components, journal.ProvenFacts{Point: points[i].ID, Kind: cofre.KindDatabase, Root: points[i].Components[0].Root, Level: level})
				levels[points[i].ID] = level
			}
			h.Take(verified(int64(number), facts))
		}
		e := decideBy(cfg, h, points...)
		there, stay := 0, 0
		goes := going(e)
		for id, level := range levels {
			if level == cofre.LevelContent {
				there++
				if goes[id] == nil {
					stay++
				}
			}
		}
		if len(goes) > 0 && stay < want || there < want && len(goes) > 0 {
			t.Fatalf("of %d proven ones %d stay, want %d; %d go", there, stay, want, len(goes))
		}
		if there == days && days > want+1 && len(goes) == 0 {
			t.Fatal("all are proven, and nothing goes")
		}
	})
}

func TestNewsAreWhatTheJournalDoesNotSay(t *testing.T) {
	proof := func(id cofre.PointID, content bool, damaged bool) cofre.ComponentProof {
		c := cofre.ComponentProof{Point: id, Root: "k1", Structure: now, Damaged: damaged}
		if content {
			c.Content = now
		}
		return c
	}
	h := &expiry.History{Installation: "tl"}
	all := []cofre.ComponentProof{proof("a", true, false), proof("b", false, false), proof("c", false, true)}
	if news := h.News(all); len(news) != 1 || news[0].Point != "a" {
		t.Errorf("%v, want what is proven", news)
	}
	h.Take(verified(0, journal.VerifiedFacts{Components: []journal.ProvenFacts{{Point: "a", Root: "k1", Level: cofre.LevelContent}, {Point: "c", Root: "k1", Level: cofre.LevelContent}}}))
	if news := h.News(all); len(news) != 1 || news[0].Point != "c" {
		t.Errorf("%v, want what is damaged", news)
	}
	if h.Proven("a", "k2") != "" {
		t.Error("another tree is proven")
	}
}
