package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// memory is a store in memory that counts what is read. Its clock ticks with every write.
type memory struct {
	*storetest.Memory
	ticks atomic.Int64
	reads int
}

func newMemory() *memory {
	m := &memory{}
	m.Memory = storetest.NewMemory(func() time.Time { return time.Unix(m.ticks.Add(1), 0) })
	return m
}

func (m *memory) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	m.reads++
	return m.Memory.Open(ctx, name, offset, length)
}

func (m *memory) clone() *memory {
	c := newMemory()
	c.ticks.Store(m.ticks.Load())
	c.Restore(m.State())
	return c
}

// attack does one thing to the files of a journal of size entries, as somebody can who holds all of them and the key, and returns how many
// entries stay as they were. before are the files of an earlier day, when it had early entries.
func (h *host) attack(t *testing.T, rng *mathrand.Rand, size, early int, before map[string][]byte) (whole int, what string) {
	t.Helper()
	first := rng.IntN(size)
	left := size
	whole = first
	switch rng.IntN(6) {
	case 0:
		what = "one is edited"
		h.set(t, entry(first), bytes.Replace(h.get(t, entry(first)), []byte("db1"), []byte("db2"), 1))
	case 1:
		what = "one is dropped, and the next ones move up"
		for n := first; n < size-1; n++ {
			h.set(t, entry(n), h.get(t, entry(n+1)))
		}
		h.remove(t, entry(size-1))
		left--
	case 2:
		what = "the newest are deleted"
		for n := first; n < size; n++ {
			h.remove(t, entry(n), checkpoint(n+1))
		}
		left = first
	case 3:
		what = "two change places"
		other := (first + 1 + rng.IntN(size-1)) % size
		a, b := h.get(t, entry(first)), h.get(t, entry(other))
		h.set(t, entry(first), b)
		h.set(t, entry(other), a)
		whole = min(first, other)
	case 4:
		what = "the folder of last week is put back"
		for o, err := range h.store.List(t.Context(), journal.Prefix) {
			if err != nil {
				t.Fatal(err)
			}
			if before[o.Name] == nil {
				h.remove(t, o.Name)
			}
		}
		left, whole = early, early
	case 5:
		what = "one is inserted"
		for n := size; n > first; n-- {
			h.set(t, entry(n), h.get(t, entry(n-1)))
		}
		h.set(t, entry(first), bytes.Replace(h.get(t, entry(first)), []byte("db1"), []byte("db3"), 1))
		left++
	}
	switch rng.IntN(4) {
	case 0:
		what += ", signed anew"
		h.resign(t, left)
	case 1:
		what += ", signed anew, bundles and all"
		for n := int64(0); int(n)*8 < size+1; n++ {
			h.remove(t, journal.BundleName(n))
		}
		h.resign(t, left)
		h.bundle(t)
	case 2:
		what += ", and gone on from"
		log := journal.Open(h.store, h.keys, h.sign)
		for range 12 {
			if _, _, err := log.Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed})); err != nil {
				break
			}
		}
	}
	return whole, what
}

func (h *host) bundle(t testing.TB) {
	t.Helper()
	log := journal.Open(h.store, h.keys, h.sign)
	if _, _, err := log.Compare(t.Context(), journal.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	if err := log.Bundle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// under puts a journal of size entries into a store, with bundles of eight.
func (h *host) under(t *testing.T, s cofre.Store, size, early int) (before map[string][]byte) {
	t.Helper()
	h.store, h.log = s, journal.Open(s, h.keys, h.sign)
	before = map[string][]byte{}
	h.append(t, early)
	h.bundle(t)
	for o, err := range s.List(t.Context(), journal.Prefix) {
		if err != nil {
			t.Fatal(err)
		}
		before[o.Name] = h.get(t, o.Name)
	}
	h.append(t, size-early)
	h.bundle(t)
	return before
}

// holders look, each with one line of before, with every object and without. What is found whatever line one holds is seen by all.
func (h *host) holders(t *testing.T, whole int, what string) {
	t.Helper()
	for _, full := range []bool{false, true} {
		v, err := journal.Open(h.store, h.keys, nil).Verify(t.Context(), journal.VerifyOptions{Since: h.lines, Full: full})
		if err != nil {
			t.Fatal(what, err)
		}
		seen, byAll := map[string]bool{}, false
		for _, f := range v.Findings {
			seen[f.Object] = true
			byAll = byAll || strings.HasPrefix(f.Object, journal.Prefix)
		}
		for n, line := range h.lines[whole:] {
			if !byAll && !seen[line.String()] {
				t.Errorf("%s: the first %d entries are as they were, and the holder of the line of %d sees nothing (full: %t)", what, whole, whole+n+1, full)
			}
		}
		for _, line := range h.lines[:whole] {
			if seen[line.String()] {
				t.Errorf("%s: the first %d entries are as they were, and the holder of %s is told something else (full: %t)", what, whole, line, full)
			}
		}
	}
}

// Whatever is done to the files, also with the key: the holder of any one line of before sees it, if the line covers what was changed.
func TestAThousandAttacks(t *testing.T) {
	journal.SetWidth(t, 8)
	const size, early = 24, 17
	base := newHost(t)
	origin := newMemory()
	before := base.under(t, origin, size, early)
	if found := base.verify(t, base.lines...); len(found) > 0 {
		t.Fatal(found)
	}
	for seed := range uint64(1000) {
		h := *base
		h.store = origin.clone()
		whole, what := h.attack(t, mathrand.New(mathrand.NewPCG(seed, 7)), size, early, before)
		h.holders(t, whole, fmt.Sprintf("seed %d: %s", seed, what))
		if t.Failed() {
			return
		}
	}
}

// The same on real stores, where each journal is made anew.
func TestAttacksOnStores(t *testing.T) {
	journal.SetWidth(t, 8)
	const size, early = 18, 11
	t.Run("folder", func(t *testing.T) {
		for seed := range uint64(12) {
			h := newHost(t)
			before := h.under(t, h.store, size, early)
			whole, what := h.attack(t, mathrand.New(mathrand.NewPCG(seed, 8)), size, early, before)
			h.holders(t, whole, fmt.Sprintf("seed %d: %s", seed, what))
		}
	})
	t.Run("s3", func(t *testing.T) {
		server := testkit.S3(t)
		defer server.Stop()
		for seed := range uint64(12) {
			h := newHost(t)
			s, err := store.Open(t.Context(), store.Config{
				URL: server.URL(fmt.Sprintf("attack%d", seed)), AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey),
			})
			if err != nil {
				t.Fatal(err)
			}
			before := h.under(t, s, size, early)
			whole, what := h.attack(t, mathrand.New(mathrand.NewPCG(seed, 9)), size, early, before)
			h.holders(t, whole, fmt.Sprintf("seed %d: %s", seed, what))
		}
	})
}
