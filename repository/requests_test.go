package repository_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/store/storetest"
)

// A repository of many days that is pruned daily opens, and lists its points, with a bounded number of requests where nothing is cached.
func TestOpensInFewRequests(t *testing.T) {
	days := 40
	if os.Getenv("COFRE_SOAK") != "" {
		days = 400
	}
	p := newPruned(t)
	for day := range days {
		p.backUp(t, p.r, map[string][]byte{"same": noise(1, 4_000), "own": noise(byte(2+day), 3_000), "day": fmt.Append(nil, day)})
		if day%3 == 2 {
			p.expire(t, p.order[day/3])
		}
		p.later(24 * time.Hour)
		prune(t, p.r)
	}
	var asked atomic.Int64
	names := make(chan string, 1000)
	counting := &storetest.Through{Store: p.store, Do: func(_ context.Context, verb storetest.Verb, name string, do func() error) error {
		asked.Add(1)
		select {
		case names <- string(verb) + " " + name:
		default:
		}
		return do()
	}}
	r := openMemory(t, counting)
	if got := len(points(t, r)); got != len(p.order) {
		t.Errorf("%d points, want %d", got, len(p.order))
	}
	t.Logf("%d points: %d requests", len(p.order), asked.Load())
	if asked.Load() > 40 {
		close(names)
		for name := range names {
			t.Log(name)
		}
		t.Errorf("%d requests to open and to list", asked.Load())
	}
}

// With a key that may read, create and list, and not delete or replace, everything works that need not delete, and pruning is refused by name
// and harms nothing. What such a key leaves goes when somebody prunes who may delete.
func TestWithoutTheRightToDelete(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 4)
	denied := &storetest.Through{Store: p.store, Do: func(_ context.Context, verb storetest.Verb, name string, do func() error) error {
		if verb == storetest.Delete {
			return fmt.Errorf("delete %s: %w", name, cofre.ErrDenied)
		}
		return do()
	}}
	r := openMemory(t, denied)
	for day := range 3 {
		p.backUp(t, r, map[string][]byte{"same": noise(1, 40_000), "own": noise(byte(40+day), 30_000)})
	}
	for i := range 2 {
		gone := p.order[0]
		if _, err := r.Expire(t.Context(), cofre.Expiry{Point: gone}); err != nil {
			t.Fatalf("expire %d: %v", i, err)
		}
		delete(p.want, gone)
		p.order = p.order[1:]
	}
	p.sound(t, r, "backed up and expired")
	for range 3 {
		p.later(25 * time.Hour)
		done, err := r.Prune(t.Context(), false)
		if !errors.Is(err, cofre.ErrDenied) {
			t.Errorf("pruned %+v, %v", done, err)
		}
		p.sound(t, openMemory(t, p.store), "after that")
	}
	p.backUp(t, r, map[string][]byte{"same": noise(1, 40_000), "own": noise(41, 30_000)})
	// Somebody who may delete prunes what is left.
	for range 3 {
		p.later(25 * time.Hour)
		prune(t, p.r)
	}
	p.sound(t, openMemory(t, p.store), "pruned by somebody else")
	p.later(8 * 24 * time.Hour)
	prune(t, p.r)
	for name := range p.store.State() {
		if blobs.IsMarker(blob.ID(name)) {
			t.Errorf("%s still says that a session is under way", name)
		}
	}
}
