package journal_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/trustlayer/cofre/journal"
)

// Whoever may only write to the store puts an entry at the end, and what a checkpoint of it could look like. The next writer, who cannot know, goes on behind it.
func TestAnEntryOfSomebodyWithoutTheKey(t *testing.T) {
	journal.SetWidth(t, 8)
	for _, garbage := range []bool{false, true} {
		for _, bundled := range []bool{false, true} {
			s := newMemory()
			h := newHost(t)
			h.store, h.log = s, journal.Open(s, h.keys, h.sign)
			h.append(t, 3)
			forged, err := json.Marshal(journal.New(journal.Body{Event: journal.EventReleased, Host: "nobody"}))
			if err != nil {
				t.Fatal(err)
			}
			h.set(t, entry(3), forged)
			if garbage {
				h.set(t, checkpoint(4), h.get(t, checkpoint(3)))
			}
			log := journal.Open(s, h.keys, h.sign)
			for range 9 {
				if _, _, err := log.Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed})); err != nil {
					t.Fatal(err)
				}
			}
			if bundled {
				h.bundle(t)
			}
			for _, full := range []bool{false, true} {
				var seen []int64
				v, err := journal.Open(s, h.keys, nil).Verify(t.Context(), journal.VerifyOptions{Full: full, Visit: func(e journal.Numbered) {
					seen = append(seen, e.Number)
				}})
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(seen, 3) || len(seen) != 12 {
					t.Errorf("garbage %t, bundled %t, full %t: %d count", garbage, bundled, full, seen)
				}
				found := 0
				for _, f := range v.Findings {
					if f.Object == entry(3) {
						found++
					}
				}
				if found != 1 {
					t.Errorf("garbage %t, bundled %t, full %t: %v", garbage, bundled, full, v.Findings)
				}
			}
		}
	}
}

// A writer that was killed between its entry and its checkpoint has signed the entry.
func TestAnEntryOfAWriterThatWasKilled(t *testing.T) {
	journal.SetWidth(t, 8)
	s := newMemory()
	h := newHost(t)
	h.store, h.log = s, journal.Open(s, h.keys, h.sign)
	h.append(t, 4)
	h.remove(t, checkpoint(4), checkpoint(2))
	h.log = journal.Open(s, h.keys, h.sign)
	h.append(t, 6)
	h.bundle(t)
	if found := h.verify(t); len(found) > 0 {
		t.Error(found)
	}
	// Its signature is of exactly these bytes.
	h.set(t, entry(1), append(h.get(t, entry(1))[:9], h.get(t, entry(1))[10:]...))
	if found := h.verify(t); len(found) == 0 {
		t.Error("nothing found")
	}
}
