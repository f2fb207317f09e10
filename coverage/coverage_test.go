package coverage

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store/storetest"
)

// key is a Sealer.
type key struct{ cipher.AEAD }

func newKey(t testing.TB) key {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	block, err := aes.NewCipher(b)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return key{aead}
}

func (k key) Seal(purpose string, text []byte) ([]byte, error) {
	nonce := make([]byte, k.NonceSize())
	_, _ = rand.Read(nonce)
	return k.AEAD.Seal(nonce, nonce, text, []byte(purpose)), nil
}

func (k key) Unseal(purpose string, b []byte) ([]byte, error) {
	if len(b) < k.NonceSize() {
		return nil, cofre.ErrCorrupt
	}
	text, err := k.Open(nil, b[:k.NonceSize()], b[k.NonceSize():], []byte(purpose))
	if err != nil {
		return nil, cofre.ErrCorrupt
	}
	return text, nil
}

// house is a store with some objects, and a clock.
type house struct {
	t       testing.TB
	clock   time.Time
	store   *storetest.Memory
	key     key
	objects []cofre.ReadBack
}

const day = 24 * time.Hour

var began = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

func newHouse(t testing.TB, n int) *house {
	h := &house{t: t, clock: began, key: newKey(t)}
	h.store = storetest.NewMemory(func() time.Time { return h.clock })
	for i := range n {
		h.add(fmt.Sprintf("p%06d", i), 20<<20)
	}
	return h
}

func (h *house) add(name string, size int64) {
	h.objects = append(h.objects, cofre.ReadBack{
		StoredObject: cofre.StoredObject{Name: name, Size: size, ModifiedAt: h.clock, Version: name}, Part: cofre.Part{What: cofre.PartPoints}, Hash: []byte(name),
	})
}

func (h *house) open(o Options) *Ledger {
	h.t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return h.clock }
	}
	if o.Window == 0 {
		o.Window = 30 * day
	}
	l, err := Open(context.Background(), h.store, h.key, o)
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// read reads what is due, and returns the names of it.
func (h *house) read(l *Ledger, damaged ...string) (due []string) {
	for _, o := range h.objects {
		if l.Due(o) {
			due = append(due, o.Name)
			l.Note(context.Background(), o, !slices.Contains(damaged, o.Name))
		}
	}
	return due
}

func (h *house) verify(damaged ...string) (due []string, e *Established) {
	h.t.Helper()
	l := h.open(Options{})
	due = h.read(l, damaged...)
	e, err := l.Finish(context.Background(), nil)
	if err != nil || e.Unsaved != nil {
		h.t.Fatal(err, e.Unsaved)
	}
	return due, e
}

func TestWhatWasReadIsNotReadAgainAtOnce(t *testing.T) {
	h := newHouse(t, 200)
	if due, e := h.verify(); len(due) != 200 || e.Share(h.clock) != 1 {
		t.Errorf("the first verification read %d of 200, and covers %v", len(due), e.Share(h.clock))
	}
	h.clock = h.clock.Add(time.Minute)
	if due, e := h.verify(); len(due) > 2 || e.Share(h.clock) != 1 {
		t.Errorf("the second read %d, and covers %v", len(due), e.Share(h.clock))
	}
	h.add("new", 1)
	if due, _ := h.verify(); !slices.Contains(due, "new") || len(due) > 3 {
		t.Errorf("a third reads %v, want what is new", due)
	}
	if due := h.read(h.open(Options{Again: true})); len(due) != 201 {
		t.Errorf("again reads %d, want all", len(due))
	}
}

// TestANightlyVerificationReadsEverythingInAWindow, about as much each night, however long it has been going on.
func TestANightlyVerificationReadsEverythingInAWindow(t *testing.T) {
	for _, every := range []time.Duration{day, 7 * day, 6 * time.Hour} {
		h := newHouse(t, 600)
		last := map[string]time.Time{}
		most := 0
		for h.clock.Before(began.Add(120 * day)) {
			due, e := h.verify()
			for _, name := range due {
				last[name] = h.clock
			}
			if h.clock.After(began) {
				most = max(most, len(due))
			}
			// Until right before the next one.
			next := h.clock.Add(every)
			for name, at := range last {
				if next.Sub(at) > 30*day {
					t.Fatalf("every %v: %s goes unread for %v", every, name, next.Sub(at))
				}
			}
			if share := e.Share(h.clock); share != 1 {
				t.Fatalf("every %v: %v is covered at %v", every, share, h.clock)
			}
			h.clock = next
		}
		if share := float64(most) / 600; share > 2*every.Hours()/(27*24)+0.05 {
			t.Errorf("every %v: one of them read %.0f %%", every, share*100)
		}
		if n := len(h.store.State()); every == day && n > 400 {
			t.Errorf("%d objects are left", n)
		}
		opened := 0
		counted := storetest.Before(h.store, func(verb storetest.Verb, _ string) error {
			if verb == storetest.Open {
				opened++
			}
			return nil
		})
		if _, err := Open(t.Context(), counted, h.key, Options{Window: 30 * day}); err != nil || opened > manyObjects+2 {
			t.Errorf("every %v: opening reads %d objects, %v", every, opened, err)
		}
	}
}

func TestNothingIsOlderThanTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := schedule{now: began, window: time.Duration(rapid.IntRange(1, 400).Draw(t, "days")) * day, every: time.Duration(rapid.Int64Range(0, int64(90*day)).Draw(t, "every"))}
		read := began.Add(-time.Duration(rapid.Int64Range(0, int64(500*day)).Draw(t, "age")))
		with := rapid.String().Draw(t, "with")
		if !s.due(read, with) && began.Sub(read) > s.window {
			t.Fatalf("what was read %v ago is not due in a window of %v", began.Sub(read), s.window)
		}
		if s.every < time.Hour && read.Equal(began) && s.due(read, with) {
			t.Fatal("what was just read is due")
		}
	})
}

func TestWhatWasWrittenAgainIsAnotherObject(t *testing.T) {
	h := newHouse(t, 1)
	h.verify()
	is := h.objects[0]
	for name, change := range map[string]func(*cofre.ReadBack){
		"size": func(o *cofre.ReadBack) { o.Size++ }, "time": func(o *cofre.ReadBack) { o.ModifiedAt = o.ModifiedAt.Add(1) },
		"version": func(o *cofre.ReadBack) { o.Version += "x" }, "hash": func(o *cofre.ReadBack) { o.Hash = []byte("other") },
		"name": func(o *cofre.ReadBack) { o.Name = "q" }, "repository": func(o *cofre.ReadBack) { o.Part.Repository = "copy" },
	} {
		o := is
		change(&o)
		l := h.open(Options{})
		if !l.Due(o) || !l.At(o).IsZero() {
			t.Errorf("another %s: it counts as proven", name)
		}
	}
}

func TestDamageIsReadAgain(t *testing.T) {
	h := newHouse(t, 10)
	h.verify()
	l := h.open(Options{Again: true})
	h.read(l, "p000003")
	if _, err := l.Finish(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	due, e := h.verify("p000003")
	if !slices.Equal(due, []string{"p000003"}) || e.Parts[0].Damaged != 1 || e.Share(h.clock) != 0.9 {
		t.Errorf("read %v, covered %v with %d damaged", due, e.Share(h.clock), e.Parts[0].Damaged)
	}
	// It was a cable.
	h.clock = h.clock.Add(time.Minute)
	h.verify()
	if due, e := h.verify(); len(due) > 0 || e.Share(h.clock) != 1 {
		t.Errorf("read %v, covered %v", due, e.Share(h.clock))
	}
	// Of two answers the worse holds.
	l = h.open(Options{})
	l.Note(t.Context(), h.objects[0], false)
	l.Note(t.Context(), h.objects[0], true)
	if !l.At(h.objects[0]).IsZero() {
		t.Error("what was found damaged is whole")
	}
}

func TestAClockThatLeaps(t *testing.T) {
	h := newHouse(t, 50)
	// The host is ten days ahead, and the store is not.
	h.store.SetClock(func() time.Time { return began })
	h.clock = began.Add(10 * day)
	h.verify()
	h.store.SetClock(func() time.Time { return h.clock })
	h.clock = began.Add(time.Hour)
	if due, _ := h.verify(); len(due) != 50 {
		t.Errorf("%d of 50 are due after the clock came back", len(due))
	}
	// When that time comes, what was read in it counts no more than before.
	h.clock = began.Add(29*day + 12*time.Hour)
	l := h.open(Options{})
	for _, o := range h.objects {
		if at := l.At(o); !at.Equal(began.Add(time.Hour)) {
			t.Fatalf("it was read at %v", at)
		}
	}
	// Both are ahead, and both come back: nothing is believed that is of the future.
	h = newHouse(t, 50)
	h.clock = began.Add(10 * day)
	h.verify()
	h.clock = began
	if due, e := h.verify(); len(due) != 50 || e.Share(h.clock) != 1 {
		t.Errorf("%d of 50 are due, %v is covered", len(due), e.Share(h.clock))
	}
	c, found, err := Read(t.Context(), h.store, h.key, h.clock)
	if err != nil || !found || !c.At.Equal(began) {
		t.Errorf("the newest summary is of %v, %v", c.At, err)
	}
	// The clock goes back by a year.
	h.clock = began.Add(-365 * day)
	if due, _ := h.verify(); len(due) != 50 {
		t.Errorf("%d of 50 are due", len(due))
	}
}

func TestAVerificationThatIsKilledHasReadForSomething(t *testing.T) {
	h := newHouse(t, 100)
	l := h.open(Options{})
	for _, o := range h.objects[:70] {
		h.clock = h.clock.Add(2 * time.Second)
		l.Note(t.Context(), o, true)
	}
	h.clock = h.clock.Add(time.Minute)
	if due, e := h.verify(); len(due) < 30 || len(due) > 46 || e.Share(h.clock) != 1 {
		t.Errorf("%d of 100 are due, %v is covered", len(due), e.Share(h.clock))
	}
}

func TestTwoAtOnce(t *testing.T) {
	h := newHouse(t, 100)
	a, b := h.open(Options{}), h.open(Options{})
	for i, o := range h.objects {
		l := a
		if i%2 == 1 {
			l = b
		}
		l.Due(o)
		l.Note(t.Context(), o, true)
	}
	for _, l := range []*Ledger{a, b} {
		if _, err := l.Finish(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if due, e := h.verify(); len(due) > 0 || e.Share(h.clock) != 1 {
		t.Errorf("%d are due, %v is covered", len(due), e.Share(h.clock))
	}
}

// TestNobodyElseProves: whoever holds the storage can take proofs away, and cannot make one.
func TestNobodyElseProves(t *testing.T) {
	h := newHouse(t, 20)
	h.verify()
	other := newHouse(t, 20)
	other.verify()
	for name, change := range map[string]func(map[string]storetest.Object){
		"of another repository": func(all map[string]storetest.Object) { clear(all); maps.Copy(all, other.store.State()) },
		"one bit is another":    func(all map[string]storetest.Object) { each(all, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }) },
		"cut off":               func(all map[string]storetest.Object) { each(all, func(b []byte) []byte { return b[:len(b)/2] }) },
		"empty":                 func(all map[string]storetest.Object) { each(all, func([]byte) []byte { return nil }) },
		"gone":                  func(all map[string]storetest.Object) { clear(all) },
		"the one as the other": func(all map[string]storetest.Object) {
			for name, k := range maps.Clone(all) {
				delete(all, name)
				if rest, ok := strings.CutPrefix(name, summaryPrefix); ok {
					all[readPrefix+rest] = k
				} else {
					all[strings.Replace(name, readPrefix, summaryPrefix, 1)] = k
				}
			}
		},
	} {
		was := h.store.State()
		all := h.store.State()
		change(all)
		h.store.Restore(all)
		if due := h.read(h.open(Options{})); len(due) != 20 {
			t.Errorf("%s: %d of 20 are due", name, len(due))
		}
		if _, found, err := Read(t.Context(), h.store, h.key, h.clock); found || err != nil {
			t.Errorf("%s: a summary was found, %v", name, err)
		}
		h.store.Restore(was)
	}
}

func each(all map[string]storetest.Object, change func([]byte) []byte) {
	for name, k := range all {
		all[name] = storetest.Object{Bytes: change(bytes.Clone(k.Bytes)), At: k.At}
	}
}

func TestWhatCannotBeStoredIsSaid(t *testing.T) {
	h := newHouse(t, 3)
	denied := storetest.Before(h.store, func(verb storetest.Verb, _ string) error {
		if verb.Writes() {
			return cofre.ErrDenied
		}
		return nil
	})
	l, err := Open(t.Context(), denied, h.key, Options{Window: 30 * day, Now: func() time.Time { return h.clock }})
	if err != nil {
		t.Fatal(err)
	}
	h.read(l)
	e, err := l.Finish(t.Context(), nil)
	if err != nil || !errors.Is(e.Unsaved, cofre.ErrDenied) || e.Share(h.clock) != 1 {
		t.Errorf("%v, %v", err, e.Unsaved)
	}
}

func TestComponentsThatWereNotLookedAtKeepWhatIsKnown(t *testing.T) {
	h := newHouse(t, 1)
	var points []cofre.RecoveryPoint
	for _, id := range []cofre.PointID{"a", "b", "c", "gone"} {
		points = append(points, cofre.RecoveryPoint{ID: id, Installation: "i", Components: []cofre.Component{{Kind: cofre.KindDatabase, Name: "d", Content: cofre.Content{Root: "k" + cofre.ObjectID(id)}}}})
	}
	tell := func(l *Ledger, p cofre.RecoveryPoint) {
		l.Component(cofre.ComponentProof{Point: p.ID, Root: p.Components[0].Root, Content: h.clock})
	}
	l := h.open(Options{})
	for _, i := range []int{0, 1, 3} {
		tell(l, points[i])
	}
	if _, err := l.Finish(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	h.clock = began.Add(day)
	l = h.open(Options{})
	tell(l, points[1])
	if _, err := l.Finish(t.Context(), points[:3]); err != nil {
		t.Fatal(err)
	}
	c, _, err := Read(t.Context(), h.store, h.key, h.clock)
	is := func(i int) time.Time { return c.Of(points[i], points[i].Components[0]).Content }
	if err != nil || len(c.Components) != 3 || !is(0).Equal(began) || !is(1).Equal(h.clock) || !is(2).IsZero() {
		t.Errorf("%+v, %v", c.Components, err)
	}
	// A point that was published since is proven by that.
	later := cofre.RecoveryPoint{ID: "d", PublishedAt: h.clock, Components: []cofre.Component{{Kind: cofre.KindConfig, Content: cofre.Content{Root: "kd"}}}}
	if level, at := c.Of(later, later.Components[0]).Deepest(); level != cofre.PublishedLevel || !at.Equal(h.clock) {
		t.Errorf("a point that was published since: %q at %v", level, at)
	}
}

func TestSweepingTakesNoProofAway(t *testing.T) {
	h := newHouse(t, 200)
	commit := func(context.Context, string) error { return nil }
	for range 60 {
		h.verify()
		h.clock = h.clock.Add(day)
		before := h.open(Options{}).loaded.proofs
		if err := Sweep(t.Context(), h.store, h.key, h.clock, commit); err != nil {
			t.Fatal(err)
		}
		for f, p := range h.open(Options{}).loaded.proofs {
			if before[f] != p {
				t.Fatal("something else is proven after sweeping")
			}
			delete(before, f)
		}
		for _, p := range before {
			if h.clock.Sub(p.at()) <= 30*day {
				t.Fatal("a proof was swept away")
			}
		}
	}
	if n := len(h.store.State()); n > keptSummaries+2*manyObjects+2 {
		t.Errorf("%d objects are left", n)
	}
	c, found, err := Read(t.Context(), h.store, h.key, h.clock)
	if err != nil || !found || !c.At.Equal(h.clock.Add(-day)) {
		t.Errorf("the newest summary is of %v, %v", c.At, err)
	}
	// Whoever has lost the right to delete deletes nothing.
	was := len(h.store.State())
	for range keptSummaries {
		h.verify()
	}
	err = Sweep(t.Context(), h.store, h.key, h.clock, func(context.Context, string) error { return cofre.ErrLocked })
	if !errors.Is(err, cofre.ErrLocked) || len(h.store.State()) < was+keptSummaries {
		t.Errorf("swept without the right to: %v", err)
	}
}
