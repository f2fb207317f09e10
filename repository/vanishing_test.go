package repository_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store/storetest"
)

// TestIndexDeletedOnceListed has each reading of an index in turn find that somebody has written what it says into another and deleted it: nothing is
// damaged then, and whoever reads the indexes again finds all there is.
func TestIndexDeletedOnceListed(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 4)
	p.expire(t, p.order[0])
	p.later(25 * time.Hour)
	prune(t, p.r)
	p.expire(t, p.order[1])
	p.later(25 * time.Hour)
	state := p.store.State()
	read := func(vanishes int) (int, error) {
		n := 0
		p.store.Restore(state)
		s := newMortal(p.store)
		s.Store = &storetest.Through{Store: p.store, Do: func(_ context.Context, verb storetest.Verb, name string, do func() error) error {
			if base := name[strings.LastIndex(name, "/")+1:]; verb == storetest.Open && strings.HasPrefix(base, "x") {
				s.mu.Lock()
				n++
				gone := n == vanishes
				s.mu.Unlock()
				if gone {
					return fmt.Errorf("%s: %w", name, cofre.ErrNotFound)
				}
			}
			return do()
		}}
		r, err := repository.OpenOn(t.Context(), memoryConfig(t), s)
		if err != nil {
			return n, fmt.Errorf("open: %w", err)
		}
		defer r.Close(t.Context())
		if _, err := r.Prune(t.Context(), false); err != nil {
			return n, fmt.Errorf("prune: %w", err)
		}
		for _, err := range r.Points(t.Context()) {
			if err != nil {
				return n, fmt.Errorf("points: %w", err)
			}
		}
		return n, nil
	}
	all, err := read(0)
	if err != nil || all == 0 {
		t.Fatalf("%d readings of an index: %v", all, err)
	}
	for i := range all {
		if _, err := read(i + 1); err != nil {
			t.Errorf("reading %d of %d: %v", i+1, all, err)
		}
	}
	t.Logf("%d readings", all)
}
