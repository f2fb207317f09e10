package pruning

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
)

// junk is a store with one object below each prefix.
type junk struct {
	cofre.Store

	name, text string
	at         time.Time
}

func (junk) URL() string { return "memory" }

func (j junk) List(_ context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		yield(cofre.StoredObject{Name: prefix + j.name, Size: int64(len(j.text)), ModifiedAt: j.at}, nil)
	}
}

func (j junk) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(j.text)), nil
}

// FuzzNotes: what lies in the place of the note of a publication, or of an announcement, says what is written so, or nothing: nobody deletes by what cannot be read.
func FuzzNotes(f *testing.F) {
	f.Add("20261101T000000Z-abcdefgh", "")
	f.Add("x\n\x1b[2K", "cofre seal 1\n")
	f.Add("20261101T000000Z-abcdefgh", "# cofre seal, format 1\np0123456789abcdef0123456789abcdef 0 0\nend 1\n")
	f.Fuzz(func(t *testing.T, name, text string) {
		now := time.Now()
		st := junk{name: name, text: text, at: now}
		roots, stale, err := intents(t.Context(), st, now.Add(-time.Hour))
		if err != nil && (!errors.Is(err, cofre.ErrCorrupt) || cofre.HintOf(err).IsZero()) {
			t.Errorf("publication: %v", err)
		}
		if len(stale) != 0 || err == nil && len(roots) != 1 {
			t.Errorf("a publication is overlooked: %d roots, stale %v", len(roots), stale)
		}
		notes, err := readNotes(t.Context(), st)
		if err != nil || len(notes) != 1 || notes[0].name != announcedPrefix+name {
			t.Fatalf("announcement: %v, %v", notes, err)
		}
		if lines, err := readLines(t.Context(), st, "x"); err != nil && len(notes[0].packs) != 0 || len(lines) != len(notes[0].packs) {
			t.Errorf("an announcement that cannot be read names %v", notes[0].packs)
		}
	})
}
