package repository_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
	"github.com/trustlayer/cofre/repository"
)

// threeOf publishes a point of three components.
func threeOf(t testing.TB, r *repository.Repository, seed string) cofre.RecoveryPoint {
	t.Helper()
	p := cofre.RecoveryPoint{ID: cofre.NewPointID(time.Now()), Installation: source.Installation, StartedAt: time.Now().UTC(), PublishedAt: time.Now().UTC()}
	for _, name := range []string{"a", "b", "c"} {
		p.Components = append(p.Components, cofre.Component{
			Kind: source.Kind, Name: name, StartedAt: p.StartedAt, EndedAt: p.PublishedAt, Content: capture(t, r, map[string][]byte{name: []byte(seed + name)}),
		})
	}
	if err := r.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func nameless(p cofre.RecoveryPoint) []string {
	var names []string
	for _, c := range p.Components {
		names = append(names, c.Name)
	}
	return names
}

func TestExpireIsWholeOrNothing(t *testing.T) {
	s, r := onMemory(t)
	p, other, stays := threeOf(t, r, "p"), threeOf(t, r, "other"), threeOf(t, r, "stays")
	what := []cofre.Expiry{{Point: p.ID, Sources: []cofre.SourceID{{Kind: source.Kind, Name: "b"}}}, {Point: other.ID}}
	before := s.State()
	dying := newMortal(s)
	pruner := openMemory(t, dying)
	looks := openMemory(t, s)
	for _, carried := range []bool{false, true} {
		for n := 1; ; n++ {
			s.Restore(before)
			repository.Forget(pruner)
			dying.requests, dying.dies, dying.carried = 0, n, carried
			_, err := pruner.Expire(t.Context(), what...)
			dying.dies = 0
			got := points(t, looks)
			none := len(got) == 3 && len(got[0].Components)+len(got[1].Components)+len(got[2].Components) == 9
			i := slices.IndexFunc(got, func(q cofre.RecoveryPoint) bool { return q.ID == p.ID })
			all := len(got) == 2 && i >= 0 && slices.Equal(nameless(got[i]), []string{"a", "c"}) && len(got[i].Expired) == 1
			if !none && !all || err == nil && !all {
				t.Fatalf("killed at request %d (carried out: %v, error: %v), the points are %+v", n, carried, err, got)
			}
			if err != nil && !errors.Is(err, errDied) {
				t.Fatalf("killed at request %d: %v", n, err)
			}
			if n%5 != 0 && err != nil {
				continue // a lone seal is waited for
			}
			for _, f := range findings(t, looks, got, cofre.LevelContent) {
				// The seal that confirms an index may be what was not written any more.
				if !bytes.Contains([]byte(f.What), []byte("killed in that instant")) {
					t.Fatalf("killed at request %d: %+v", n, f)
				}
			}
			if err == nil {
				break
			}
		}
	}
	if got := readFile(t, looks, stays.Components[0].Root, "a"); string(got) != "staysa" {
		t.Errorf("what stays holds %q", got)
	}
}

// A manifest by a clock ahead would win against what says that it is deleted.
func TestExpireOfAPointOfTheFuture(t *testing.T) {
	s, r := onMemory(t)
	ahead, err := repository.WithClock(t.Context(), r, func() time.Time { return time.Now().Add(48 * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	defer ahead.Close(t.Context())
	p, whole := threeOf(t, ahead, "ahead"), threeOf(t, ahead, "whole")
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{{Kind: source.Kind, Name: "c"}}}, cofre.Expiry{Point: whole.ID}); err != nil {
		t.Fatal(err)
	}
	for who, r := range map[string]*repository.Repository{"the same": r, "another": openMemory(t, s), "the one ahead": ahead} {
		got := points(t, r)
		if len(got) != 1 || got[0].ID != p.ID || !slices.Equal(nameless(got[0]), []string{"a", "b"}) {
			t.Errorf("%s has the points %+v, want %s without c alone", who, got, p.ID)
		}
	}
}

func TestExpireIsOneAtATime(t *testing.T) {
	s, r := onMemory(t)
	p := threeOf(t, r, "p")
	held, err := lease.Acquire(t.Context(), s, "catalog", lease.Options{For: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID}); !errors.Is(err, cofre.ErrLocked) || cofre.Hint(err) == "" {
		t.Errorf("expire beside another: %v (hint %q), want ErrLocked and a hint", err, cofre.Hint(err))
	}
	// Backups go on, and do not write manifests as one meanwhile.
	for range 20 {
		publish(t, r, capture(t, r, map[string][]byte{"f": []byte("f")}))
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	gone, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID})
	if err != nil || len(gone) != 1 || !gone[0].Whole || len(gone[0].Components) != 3 {
		t.Errorf("expire: %+v, %v", gone, err)
	}
	if got := points(t, openMemory(t, s)); len(got) != 20 {
		t.Errorf("%d points, want 20", len(got))
	}
}

// The digest of a point is that of the JSON with which it is published, and that in which what expired leaves it: by it the journal knows a point from
// another that somebody put in its place.
func TestDigestsOfPoints(t *testing.T) {
	_, r := onMemory(t)
	p, other := threeOf(t, r, "p"), threeOf(t, r, "other")
	digest := func(p cofre.RecoveryPoint) string {
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", sha256.Sum256(text))
	}
	check := func(when string, want ...cofre.RecoveryPoint) {
		t.Helper()
		got, err := r.Digests(t.Context())
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v, %v", when, got, err)
		}
		for _, p := range want {
			if !slices.Equal(got[p.ID], []string{digest(p)}) {
				t.Errorf("%s: %s has %v, want %s", when, p.ID, got[p.ID], digest(p))
			}
		}
	}
	check("published", p, other)
	gone, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{{Kind: source.Kind, Name: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	check("a component left it", gone[0].Left, other)
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID}); err != nil {
		t.Fatal(err)
	}
	check("one is left", other)
}
