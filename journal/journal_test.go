package journal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

type host struct {
	store cofre.Store
	sign  note.Signer
	keys  note.Verifiers
	log   *journal.Journal
	lines []journal.Checkpoint // one for each size, as they were printed
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{}
	secret, public, err := note.GenerateKey(rand.Reader, "trustlayer")
	if err != nil {
		t.Fatal(err)
	}
	if h.sign, err = note.NewSigner(secret); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	h.keys = note.VerifierList(verifier)
	if h.store, err = store.Open(t.Context(), store.Config{URL: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	h.log = journal.Open(h.store, h.keys, h.sign)
	return h
}

func (h *host) append(t testing.TB, n int) {
	t.Helper()
	for range n {
		e := journal.New(journal.Body{Event: journal.EventPublished, Installation: "trustlayer", Host: "db1"},
			journal.Subject{Name: "point", Digest: map[string]string{"sha256": fmt.Sprintf("%064d", len(h.lines))}})
		number, c, err := h.log.Append(t.Context(), e)
		if err != nil || number != int64(len(h.lines)) || c.Size != number+1 {
			t.Fatal(number, c, err)
		}
		h.lines = append(h.lines, c)
	}
}

func (h *host) verify(t testing.TB, since ...journal.Checkpoint) []string {
	t.Helper()
	v, err := journal.Open(h.store, h.keys, nil).Verify(t.Context(), journal.VerifyOptions{Since: since})
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range v.Findings {
		found = append(found, f.Object+": "+f.What)
	}
	return found
}

func entry(n int) string      { return fmt.Sprintf("journal/entry/%012d", n) }
func checkpoint(n int) string { return fmt.Sprintf("journal/checkpoint/%012d", n) }

func (h *host) get(t testing.TB, name string) []byte {
	t.Helper()
	r, err := h.store.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (h *host) set(t testing.TB, name string, text []byte) {
	t.Helper()
	if err := h.store.Replace(t.Context(), name, bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
}

func (h *host) remove(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := h.store.Delete(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
}

// resign writes every checkpoint from a size on anew, as somebody can who has stolen the key.
func (h *host) resign(t testing.TB, entries int) {
	t.Helper()
	for n := range len(h.lines) + 1 {
		h.remove(t, checkpoint(n))
	}
	texts := make([][]byte, entries)
	for n := range entries {
		texts[n] = h.get(t, entry(n))
		h.remove(t, entry(n))
	}
	stolen := journal.Open(h.store, h.keys, h.sign)
	for _, text := range texts {
		var e journal.Entry
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		if _, _, err := stolen.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// The root is that of Go's own implementation of the tree.
func TestTheTreeIsThatOfTransparencyLogs(t *testing.T) {
	h := newHost(t)
	h.append(t, 37)
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		var out []tlog.Hash
		for _, i := range at {
			out = append(out, hashes[i])
		}
		return out, nil
	})
	for n := range 37 {
		stored, err := tlog.StoredHashes(int64(n), h.get(t, entry(n)), reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, stored...)
		root, err := tlog.TreeHash(int64(n+1), reader)
		if err != nil || root != h.lines[n].Root {
			t.Fatalf("after %d entries the root is %v, and of tlog %v: %v", n+1, h.lines[n].Root, root, err)
		}
	}
	if found := h.verify(t, h.lines...); len(found) > 0 {
		t.Error(found)
	}
}

func TestAttacks(t *testing.T) {
	const size = 20
	for _, c := range []struct {
		name string
		do   func(t *testing.T, h *host)
		want string // with the line of 15 entries
	}{
		{"dropped", func(t *testing.T, h *host) { h.remove(t, entry(7)) }, entry(7) + ": it was removed"},
		{"dropped with its checkpoint", func(t *testing.T, h *host) { h.remove(t, entry(7), checkpoint(8)) }, entry(7) + ": it was removed"},
		{"replaced", func(t *testing.T, h *host) { h.set(t, entry(7), h.get(t, entry(8))) }, entry(7) + ": it is not what was signed"},
		{"put in another order", func(t *testing.T, h *host) {
			a, b := h.get(t, entry(7)), h.get(t, entry(8))
			h.set(t, entry(7), b)
			h.set(t, entry(8), a)
		}, entry(7) + ": it is not what was signed"},
		{"cut", func(t *testing.T, h *host) { h.remove(t, entry(18), entry(19)) }, entry(18) + ": it was removed from the end"},
		{"taken back", func(t *testing.T, h *host) {
			for n := 12; n < size; n++ {
				h.remove(t, entry(n), checkpoint(n+1))
			}
		}, "taken back: it has 12 entries"},
		{"taken back, and gone on from", func(t *testing.T, h *host) {
			for n := 12; n < size; n++ {
				h.remove(t, entry(n), checkpoint(n+1))
			}
			h.lines = h.lines[:12]
			h.log = journal.Open(h.store, h.keys, h.sign)
			h.append(t, 8)
		}, "rewritten"},
		{"signed anew by a thief", func(t *testing.T, h *host) {
			h.set(t, entry(7), h.get(t, entry(8)))
			h.resign(t, size)
		}, "rewritten"},
		{"cut and signed anew by a thief", func(t *testing.T, h *host) {
			h.resign(t, 10)
			for n := 10; n < size; n++ {
				h.remove(t, entry(n))
			}
		}, "taken back: it has 10 entries"},
		{"signed by a stranger", func(t *testing.T, h *host) {
			other := newHost(t)
			other.append(t, size)
			for n := range size {
				h.set(t, entry(n), other.get(t, entry(n)))
				h.set(t, checkpoint(n+1), other.get(t, checkpoint(n+1)))
			}
		}, "no admitted key has signed it"},
		{"no checkpoint left", func(t *testing.T, h *host) {
			for n := range size {
				h.remove(t, checkpoint(n+1))
			}
		}, "none of its checkpoints is there, though there are 20 entries"},
		{"something put beside", func(t *testing.T, h *host) { h.set(t, "journal/entry/x", []byte("y")) }, "it is not of a journal"},
		{"made huge", func(t *testing.T, h *host) { h.set(t, entry(7), make([]byte, 2<<20)) }, entry(7) + ": it cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.append(t, size)
			kept := h.lines[14]
			if found := h.verify(t, kept); len(found) > 0 {
				t.Fatal("before:", found)
			}
			c.do(t, h)
			found := h.verify(t, kept)
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// Many at once get one order, and nothing is lost.
func TestWritersAtOnce(t *testing.T) {
	h := newHost(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	numbers := map[int64]bool{}
	for range 8 {
		all.Go(func() {
			for range 10 {
				n, c, err := h.log.Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed}))
				mu.Lock()
				if err != nil || numbers[n] || c.Size != n+1 {
					t.Error(n, c, err)
				}
				numbers[n] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if found := h.verify(t); len(found) > 0 || len(numbers) != 80 {
		t.Error(len(numbers), found)
	}
}

// A writer that ends between an entry and its checkpoint leaves an entry that the next one signs.
func TestAWriterThatDied(t *testing.T) {
	h := newHost(t)
	h.append(t, 5)
	h.remove(t, checkpoint(5), checkpoint(4))
	v, err := h.log.Verify(t.Context(), journal.VerifyOptions{})
	if err != nil || len(v.Findings) > 0 || v.Unsigned != 2 || v.Newest.Size != 3 {
		t.Errorf("%+v %v", v, err)
	}
	h.append(t, 1)
	if v, err := h.log.Verify(t.Context(), journal.VerifyOptions{Since: h.lines}); err != nil || len(v.Findings) > 0 || v.Unsigned != 0 || v.Entries != 6 {
		t.Errorf("%+v %v", v, err)
	}
}

func TestALostAnswerMakesNoSecondEntry(t *testing.T) {
	h := newHost(t)
	lossy := &storetest.Through{Store: h.store, Do: func(_ context.Context, verb storetest.Verb, _ string, do func() error) error {
		if err := do(); err != nil || verb != storetest.Create {
			return err
		}
		return fmt.Errorf("no answer: %w", cofre.ErrUnreachable)
	}}
	n, c, err := journal.Open(lossy, h.keys, h.sign).Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed}))
	if err != nil || n != 0 || c.Size != 1 {
		t.Fatal(n, c, err)
	}
	if n, err := h.log.Size(t.Context(), 0); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestParseCheckpoint(t *testing.T) {
	h := newHost(t)
	h.append(t, 3)
	c := h.lines[2]
	for _, text := range []string{c.String(), "  " + c.String() + "\n", "journal " + c.String(), string(h.get(t, checkpoint(3)))} {
		if got, err := journal.ParseCheckpoint(text); err != nil || got != c {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "a", "a 1", "a x " + c.Root.String(), "a -1 " + c.Root.String(), "a 1 short"} {
		if got, err := journal.ParseCheckpoint(text); !errors.Is(err, cofre.ErrConfig) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("trustlayer 3 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := journal.ParseCheckpoint(text)
		if err != nil {
			return
		}
		if again, err := journal.ParseCheckpoint(c.String()); err != nil || again != c {
			t.Errorf("%q is read as %v, and %v again: %v", text, c, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		h.append(b, 1)
	}
}
