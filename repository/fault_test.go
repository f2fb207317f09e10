package repository_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store/storetest"
)

// Whichever request to the store fails, in a backup, in expiring and in each of the runs of pruning: what is said to be published restores,
// what is said to have expired is gone, and all points that are kept restore. A fault of the read of a verification is never a clean bill.
func TestEachRequestToTheStoreCounts(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 4)
	var faults *testkit.Faults
	r := openMemory(t, storetest.Before(p.store, func(verb storetest.Verb, name string) error {
		if faults == nil {
			return nil
		}
		return faults.Check(fmt.Sprint(verb, " ", name))
	}))
	looks := openMemory(t, p.store)
	// each does something with one request more failing each time, always from the same state.
	each := func(what string, do func() error, done func(failed string)) {
		t.Helper()
		before, want, order := p.store.State(), maps.Clone(p.want), p.order
		n := 0
		testkit.EachFails(t, func(f *testkit.Faults) {
			p.store.Restore(before)
			p.want, p.order = maps.Clone(want), order
			repository.Forget(r)
			repository.Forget(looks)
			faults = f
			err := do()
			faults = nil
			if f.Failed() == "" && err != nil {
				t.Fatalf("%s, without a fault: %v", what, err)
			}
			if err == nil {
				done(f.Failed())
			}
			if wrong := p.restores(t, looks); len(wrong) > 0 {
				t.Errorf("%s, and %s fails (%v): %s", what, f.Failed(), err, strings.Join(wrong, "\n"))
			}
			n++
		})
		t.Logf("%s: %d requests", what, n-1)
		p.sound(t, looks, what)
	}
	files := map[string][]byte{"own": noise(200, 30_000), "dir/own": noise(201, 10)}
	each("back up", func() error {
		s, err := r.Begin(t.Context(), source)
		if err != nil {
			return err
		}
		defer s.Close(t.Context())
		for path, b := range files {
			if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, strings.NewReader(string(b))); err != nil {
				return err
			}
		}
		content, err := s.Finish(t.Context())
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		point := cofre.RecoveryPoint{
			ID: cofre.NewPointID(now), Installation: source.Installation, Host: "host", StartedAt: now, PublishedAt: now,
			Components: []cofre.Component{{Kind: source.Kind, Name: source.Name, StartedAt: now, EndedAt: now, Content: content}},
		}
		if err := r.Publish(t.Context(), point); err != nil {
			return err
		}
		p.want[point.ID], p.order = files, append(p.order, point.ID)
		return nil
	}, func(string) {})
	gone := p.order[:2]
	each("expire", func() error {
		_, err := r.Expire(t.Context(), cofre.Expiry{Point: gone[0]}, cofre.Expiry{Point: gone[1]})
		if err == nil {
			delete(p.want, gone[0])
			delete(p.want, gone[1])
		} else {
			p.want = withoutAny(p.want, gone) // all that is named, or nothing: the next run says which
		}
		return err
	}, func(failed string) {
		for _, q := range points(t, looks) {
			if q.ID == gone[0] || q.ID == gone[1] {
				t.Errorf("expire, and %s fails: %s is still there", failed, q.ID)
			}
		}
	})
	for run := range 3 {
		p.later(25 * time.Hour)
		each(fmt.Sprintf("prune, run %d", run), func() error {
			_, err := r.Prune(t.Context(), false)
			return err
		}, func(string) {})
	}
	each("verify", func() error {
		for f, err := range r.Verify(t.Context(), points(t, looks), cofre.Verification{Level: cofre.LevelContent}) {
			if err != nil {
				return err
			}
			return errors.New(f.What)
		}
		return nil
	}, func(failed string) {
		if strings.HasPrefix(failed, "open p") || strings.HasPrefix(failed, "open q") {
			t.Errorf("verify, and %s fails: nothing was found", failed)
		}
	})
}

func withoutAny(want map[cofre.PointID]map[string][]byte, ids []cofre.PointID) map[cofre.PointID]map[string][]byte {
	out := maps.Clone(want)
	for _, id := range ids {
		delete(out, id)
	}
	return out
}
