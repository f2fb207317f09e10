package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// long is a journal of ten thousand entries with its bundles, as years of backups leave it.
func long(t testing.TB, s cofre.Store, entries int) *host {
	t.Helper()
	h := newHost(t)
	h.store, h.log = s, journal.Open(s, h.keys, h.sign)
	for n := range entries {
		h.append(t, 1)
		if n%500 == 499 {
			h.bundle(t)
		}
	}
	h.bundle(t)
	return h
}

func TestTenThousandEntries(t *testing.T) {
	const entries = 10_000
	s := newMemory()
	h := long(t, s, entries)

	// Proofs are small and quick, wherever they begin.
	largest := 0
	for _, older := range []int{1, 2, 3, 255, 256, 257, 4095, 4096, 5000, 8191, 8192, 9999} {
		before := s.reads
		p, err := h.log.Prove(t.Context(), h.lines[older-1], h.lines[entries-1])
		reads := s.reads - before
		if err != nil || p.Check() != nil {
			t.Fatal(older, err, p.Check())
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(text))
		if len(text) > 4<<10 || reads > 40 {
			t.Errorf("the proof from %d has %d bytes, and read %d objects", older, len(text), reads)
		}
		p.New = h.lines[entries-2]
		if p.Check() == nil {
			t.Error("a proof for another checkpoint is right")
		}
	}
	t.Logf("the largest proof has %d bytes", largest)
	for _, n := range []int{0, 1, 255, 256, 9998, 9999} {
		i, err := h.log.ProveEntry(t.Context(), int64(n), h.lines[entries-1])
		if err != nil || i.Check(h.get(t, entry(n))) != nil || i.Check(h.get(t, entry((n+1)%entries))) == nil {
			t.Errorf("entry %d: %v", n, err)
		}
	}

	s.reads = 0
	seen := int64(0)
	v, err := h.log.Verify(t.Context(), journal.VerifyOptions{Since: []journal.Checkpoint{h.lines[41], h.lines[7000]}, Visit: func(e journal.Numbered) {
		if e.Number != seen {
			t.Fatalf("entry %d after %d", e.Number, seen)
		}
		seen++
	}})
	if err != nil || len(v.Findings) > 0 || v.Entries != entries || v.Newest != h.lines[entries-1] || seen != entries {
		t.Fatalf("%+v %v, seen %d", v, err, seen)
	}
	if int64(s.reads) != v.Objects || s.reads > 200 {
		t.Errorf("%d objects were read, and %d are said", s.reads, v.Objects)
	}
	t.Logf("%d objects were read", s.reads)

	// What is touched below a bundle is read itself, and named.
	h.set(t, entry(300), h.get(t, entry(301)))
	if found := h.verify(t); len(found) != 2 || !strings.HasPrefix(found[0], entry(300)+": it is not what was signed") || !strings.HasPrefix(found[1], journal.BundleName(1)) {
		t.Errorf("%q", found)
	}
	// A forged bundle is no entry.
	h = long(t, newMemory(), 600)
	var texts [][]byte
	for n := range 256 {
		texts = append(texts, h.get(t, entry(256+(n+1)%256)))
	}
	h.set(t, journal.BundleName(1), journal.EncodeBundle(texts))
	if found := h.verify(t, h.lines[599]); len(found) != 1 || found[0] != journal.BundleName(1)+": it does not hold the entries that are there" {
		t.Errorf("%q", found)
	}
}

// Writers that died leave holes among the checkpoints: proofs are made across them.
func TestProofsAcrossWritersThatDied(t *testing.T) {
	journal.SetWidth(t, 8)
	h := newHost(t)
	h.store = newMemory()
	h.log = journal.Open(h.store, h.keys, h.sign)
	h.append(t, 40)
	h.remove(t, checkpoint(8), checkpoint(16), checkpoint(31), checkpoint(32), checkpoint(33))
	for older := 1; older < 40; older++ {
		for newer := older; newer <= 40; newer++ {
			p, err := h.log.Prove(t.Context(), h.lines[older-1], h.lines[newer-1])
			if err != nil || p.Check() != nil {
				t.Fatal(older, newer, err, p.Check())
			}
		}
	}
}

// An opening compares what it finds with what it has seen before, with a handful of requests.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, h *host)
		want string
	}{
		{"nothing", func(*testing.T, *host) {}, ""},
		{"gone on from", func(t *testing.T, h *host) { h.append(t, 3) }, ""},
		{"cut", func(t *testing.T, h *host) { h.remove(t, entry(19)) }, entry(19) + " was removed"},
		{"cut with its checkpoints", func(t *testing.T, h *host) { h.remove(t, entry(19), checkpoint(20)) }, "taken back: it has 19 entries"},
		{"emptied", func(t *testing.T, h *host) {
			for n := range 20 {
				h.remove(t, entry(n), checkpoint(n+1))
			}
		}, "taken back: it has 0 entries"},
		{"rewritten", func(t *testing.T, h *host) {
			h.set(t, entry(7), h.get(t, entry(8)))
			h.resign(t, 20)
		}, "rewritten"},
		{"taken back and gone on from", func(t *testing.T, h *host) {
			for n := 12; n < 20; n++ {
				h.remove(t, entry(n), checkpoint(n+1))
			}
			h.log, h.lines = journal.Open(h.store, h.keys, h.sign), h.lines[:12]
			h.append(t, 30)
		}, "rewritten"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newMemory()
			h := newHost(t)
			h.store, h.log = s, journal.Open(s, h.keys, h.sign)
			h.append(t, 20)
			kept := h.lines[19]
			c.do(t, h)
			s.reads = 0
			newest, found, err := journal.Open(s, h.keys, nil).Compare(t.Context(), kept)
			if err != nil || c.want == "" && (!found.IsZero() || newest != h.lines[len(h.lines)-1]) || !strings.Contains(found.Text, c.want) {
				t.Errorf("%s, %q, %v; want %q", newest, found.Text, err, c.want)
			}
			if s.reads > 20 {
				t.Errorf("%d objects were read", s.reads)
			}
		})
	}
}

func BenchmarkProof(b *testing.B) {
	h := newHost(b) // a folder
	on := h.store
	m := newMemory()
	l := long(b, m, 10_000)
	l.store = on
	for name, o := range m.State() {
		if !strings.HasPrefix(name, journal.Prefix+"checkpoint/") {
			continue
		}
		path := filepath.Join(on.URL(), name) // without a sync for each: it is read
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, o.Bytes, 0o600)); err != nil {
			b.Fatal(err)
		}
	}
	log := journal.Open(on, l.keys, nil)
	for _, older := range []int{1, 3333, 9999} {
		b.Run(fmt.Sprint(older), func(b *testing.B) {
			for b.Loop() {
				p, err := log.Prove(b.Context(), l.lines[older-1], l.lines[9999])
				if err != nil || p.Check() != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A run that was killed between two bundles leaves one that is missing behind others: a later run makes it.
func TestABundleThatIsMissingBehindOthersIsMade(t *testing.T) {
	journal.SetWidth(t, 8)
	h := newHost(t)
	h.store = newMemory()
	h.log = journal.Open(h.store, h.keys, h.sign)
	h.append(t, 60)
	for range 2 { // seven are due, and each run makes four at most
		h.bundle(t)
	}
	missing := []string{journal.BundleName(0), journal.BundleName(3)}
	h.remove(t, missing...)
	h.bundle(t)
	for n := range int64(7) {
		if _, err := h.store.Stat(t.Context(), journal.BundleName(n)); err != nil {
			t.Errorf("bundle %d: %v", n, err)
		}
	}
	if found := h.verify(t); len(found) != 0 {
		t.Errorf("%q", found)
	}
}
