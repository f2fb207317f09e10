package repository_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// remove takes both copies of a blob away.
func (f forger) remove(name string) {
	f.t.Helper()
	for _, n := range []string{name, spareOf(name)} {
		if err := f.st.Delete(f.t.Context(), n); err != nil {
			f.t.Fatal(err)
		}
	}
}

func spareOf(name string) string {
	return blobs.SparePrefix + strings.TrimSuffix(strings.ReplaceAll(name, "/", ""), ".f")
}

// forgo goes on without what is lost, as cofre seal --without-lost does.
func forgo(t *testing.T, r *repository.Repository) *cofre.Lost {
	t.Helper()
	l, err := r.Lost(t.Context())
	if err == nil {
		err = r.Rebuild(t.Context(), l)
	}
	if err == nil {
		err = r.Forgo(t.Context(), l)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Whichever indexes are lost, nothing is lost with them as long as the packs are there: every point is back, and prune goes on.
func TestALostIndexTakesNothingWithIt(t *testing.T) {
	for _, how := range []string{"each", "all", "damaged"} {
		t.Run(how, func(t *testing.T) {
			h := newHistory(t, folderConfig(t))
			f := forger{t, h.store}
			for round := range 5 {
				lost := f.names("x/")
				if how != "all" {
					lost = lost[round%len(lost):][:1]
				}
				for _, name := range lost {
					f.remove(name)
					if how == "damaged" {
						f.write(name, []byte("junk"))
						f.write(spareOf(name), []byte("other junk"))
					}
				}
				r := reopened(t, h.config)
				// Later, another index may be read in its place.
				if _, err := r.Prune(t.Context(), false); round == 0 && (!errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(cofre.Hint(err), "cofre seal --without-lost")) {
					t.Fatalf("%s: pruned without it: %v: %s", lost, err, cofre.Hint(err))
				}
				l := forgo(t, r)
				if slices.ContainsFunc(l.Indexes, func(name string) bool { return !slices.Contains(lost, name) }) || round == 0 && len(l.Indexes) == 0 || len(l.Gone) > 0 || !l.Forgone {
					t.Fatalf("%s: lost is %+v", lost, l)
				}
				if bad := h.restores(t, r); len(bad) > 0 {
					t.Fatalf("%s: %v", lost, bad)
				}
				if bad := found(t, r, cofre.LevelContent); len(bad) > 0 {
					t.Fatalf("%s: %+v", lost, bad)
				}
				if again, err := r.Lost(t.Context()); err != nil || len(again.Indexes) > 0 {
					t.Fatalf("%s: lost again: %+v, %v", lost, again, err)
				}
				if _, err := r.Prune(t.Context(), false); err != nil {
					t.Fatalf("%s: prune: %v", lost, err)
				}
				if bad := h.restores(t, r); len(bad) > 0 {
					t.Fatalf("%s, pruned: %v", lost, bad)
				}
			}
		})
	}
}

// An index that was written in the place of many, and whose packs hold what has expired, too, brings back nothing that pruning then deletes from under a point.
func TestALostIndexOfAPrunedRepository(t *testing.T) {
	p := newPruned(t)
	f := forger{t, p.store}
	// What is stored again after it was pruned is told from what it was by its time, in seconds.
	var err error
	if p.r, err = repository.WithClock(t.Context(), p.r, func() time.Time { return time.Now().Add(p.clock) }); err != nil {
		t.Fatal(err)
	}
	p.fill(t, 12)
	p.expire(t, p.order[:5]...)
	for range 4 {
		prune(t, p.r)
		p.later(3 * 24 * time.Hour)
	}
	for round := range 6 {
		names := f.names("x")
		f.remove(names[round%len(names)])
		forgo(t, p.r)
		p.sound(t, p.r, names[round%len(names)])
		for range 2 {
			prune(t, p.r)
			p.later(3 * 24 * time.Hour)
			p.sound(t, p.r, "pruned")
		}
	}
}

// What is lost together with its pack is named, and what others have put in the place of a pack brings nothing back.
func TestWhatIsLostWithAnIndexIsNamed(t *testing.T) {
	for _, how := range []string{"gone", "another"} {
		t.Run(how, func(t *testing.T) {
			h := newHistory(t, folderConfig(t))
			f := forger{t, h.store}
			names := slices.DeleteFunc(f.names("p/"), func(n string) bool { return !isPack(n) })
			for _, name := range f.names("x/") {
				f.remove(name)
			}
			if how == "gone" {
				f.remove(names[0])
			} else {
				f.write(names[0], f.read(names[1])) // it has a list of itself, which the key has encrypted
			}
			r := reopened(t, h.config)
			l := forgo(t, r)
			if !slices.Contains(l.Gone, names[0]) || slices.Contains(l.Packs, names[0]) {
				t.Errorf("%+v", l)
			}
			if bad := found(t, r, cofre.LevelContent); !slices.ContainsFunc(bad, func(f cofre.Finding) bool { return f.Kind != "" }) {
				t.Errorf("no point has lost anything: %+v", bad)
			}
		})
	}
}

// An index that was brought back before it was given up is not given up, and what was lost in one copy only is put back.
func TestWhatIsBackIsNotGivenUp(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	name := f.names("x/")[0]
	b := f.read(name)
	f.remove(name)
	r := reopened(t, h.config)
	l, err := r.Lost(t.Context())
	if err != nil || !slices.Equal(l.Indexes, []string{name}) {
		t.Fatal(l, err)
	}
	f.write(name, b)
	if err := r.Forgo(t.Context(), l); err != nil || len(l.Indexes) > 0 || !slices.Contains(f.names("x/"), name) {
		t.Fatalf("given up: %+v, %v", l, err)
	}
	if l, err := r.Lost(t.Context()); err != nil || len(l.Indexes) > 0 {
		t.Fatal(l, err)
	}
	if bad := found(t, r, cofre.LevelContent); len(bad) > 0 {
		t.Fatal(bad)
	}
}

// What is left of an index that was given up, where nothing may be deleted, keeps nobody from sealing, nor from giving up the next.
func TestWhatIsLeftOfALostIndexNeedsNoSeal(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	lost := f.names("x/")[0]
	f.remove(lost)
	forgo(t, reopened(t, h.config))
	f.write(lost, []byte("junk"))
	f.write(spareOf(lost), []byte("junk"))
	r := reopened(t, h.config)
	if done, err := r.Vouch(t.Context(), cofre.Discard); err != nil {
		t.Fatalf("%+v: %v", done, err)
	}
	if bad := h.restores(t, r); len(bad) > 0 {
		t.Error(bad)
	}
}

// The first seal of a pair that is lost, and the file that says how a folder is laid out, were missing for good: sealing puts both right.
func TestSealingPutsRightWhatIsLostOfItself(t *testing.T) {
	for _, lost := range []string{"first", "pair", "shards"} {
		t.Run(lost, func(t *testing.T) {
			h := newHistory(t, folderConfig(t))
			f := forger{t, h.store}
			names := map[string][]string{"shards": {".shards"}}
			for _, name := range f.names(seal.Prefix) {
				if strings.HasSuffix(name, "-a") {
					names["first"] = []string{name}
					names["pair"] = []string{name, strings.TrimSuffix(name, "a") + "b"}
				}
			}
			for _, name := range names[lost] {
				if err := h.store.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			r := reopened(t, h.config)
			if bad := found(t, r, cofre.LevelContent); len(bad) == 0 {
				t.Fatal("nothing names it")
			}
			if _, err := r.Vouch(t.Context(), cofre.Discard); err != nil {
				t.Fatal(err)
			}
			if bad := found(t, r, cofre.LevelContent); len(bad) > 0 {
				t.Errorf("sealed: %+v", bad)
			}
			if _, err := r.Prune(t.Context(), false); err != nil {
				t.Error(err)
			}
			if bad := h.restores(t, r); len(bad) > 0 {
				t.Error(bad)
			}
		})
	}
}

// Whichever directory or list is lost in both copies, a prune that is refused for it says how it goes on.
func TestAPruneThatIsRefusedSaysHowItGoesOn(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	refused := 0
	for _, name := range f.names("q/") {
		b := f.read(name)
		f.remove(name)
		r := reopened(t, h.config)
		if _, err := r.Prune(t.Context(), false); err != nil {
			if refused++; cofre.Hint(err) == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		f.write(name, b)
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
