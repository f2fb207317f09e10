package seal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/store"
)

// TestWhatWasRemovedStaysRemoved: seals of before, which have no key, say of files that they are there, and seals under the key that they were removed. However often
// either are written as one, nothing is missing.
func TestWhatWasRemovedStaysRemoved(t *testing.T) {
	st, err := store.Open(t.Context(), store.Config{URL: t.TempDir(), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	key := seal.Key("the key of the repository, 32 b.")
	write := func(key seal.Key, state seal.State, n int) {
		t.Helper()
		s := seal.Sealer{Store: st, Key: key}
		s.Add(seal.Record{State: state, Size: 1, Name: fmt.Sprintf("x/%02d", n)})
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const many = 20
	for n := range many {
		write(nil, seal.Stored, n)
	}
	for n := range many {
		write(key, seal.Removed, n)
	}
	soon := time.Now().Add(time.Hour)
	for round := range 4 {
		were, are, err := seal.Compact(t.Context(), st, key, soon, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if round < 2 && are >= were {
			t.Errorf("round %d: %d seals, and %d before: nothing was written as one", round, are, were)
		}
		l, err := seal.ReadLedger(t.Context(), st, key, false)
		if err != nil || len(l.Problems) > 0 {
			t.Fatal(err, l.Problems)
		}
		for name, rec := range l.Records {
			t.Errorf("round %d: %s was removed, and counts as %v", round, name, rec.State)
		}
	}
}
