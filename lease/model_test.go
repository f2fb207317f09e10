package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
	"github.com/trustlayer/cofre/store/storetest"
)

const term = time.Minute

// world is a store whose answers are late, lost, or come of a request that is carried out twice, and whose clock leaps.
type world struct {
	cofre.Store
	mu   sync.Mutex
	rng  *rand.Rand
	leap time.Duration // how far the store's clock is off
	calm bool          // its clock does not leap
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), calm: seed%2 == 0}
	w.Store = &storetest.Through{Store: storetest.NewMemory(w.clock), Do: w.request}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.leap)
}

// chance is true once in n times.
func (w *world) chance(n int) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.rng.IntN(n) == 0 }

func (w *world) upTo(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

// request carries something out after a while. Its answer may be lost, before or after it was carried out, or much before: it then
// still waits somewhere. It may be carried out once more, much later.
func (w *world) request(ctx context.Context, _ storetest.Verb, _ string, do func() error) error {
	if !w.calm && w.chance(40) {
		leap := w.upTo(10*term) - 5*term
		w.mu.Lock()
		w.leap += leap
		w.mu.Unlock()
	}
	later := func(after time.Duration) {
		go func() {
			time.Sleep(after)
			_ = do() // nobody waits for its answer
		}()
	}
	time.Sleep(w.upTo(2 * time.Second))
	switch {
	case w.chance(20):
		later(w.upTo(3 * term))
		time.Sleep(w.upTo(term / 4))
		return fmt.Errorf("no answer: %w", cofre.ErrUnreachable)
	case w.chance(20):
		_ = do()
		time.Sleep(w.upTo(term / 4))
		return fmt.Errorf("no answer: %w", cofre.ErrUnreachable)
	case w.chance(20):
		later(w.upTo(3 * term))
	}
	if w.chance(30) {
		time.Sleep(w.upTo(2 * term))
	}
	err := do()
	time.Sleep(w.upTo(2 * time.Second))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// believed is a generation that a holder was told is its own.
type believed struct {
	generation int64
	holder     string
	committed  bool
}

// life is what one process does with the lease, again and again: it takes it, works, sleeps too long, renews, commits, and gives it
// back or dies.
func (w *world) life(ctx context.Context, process int, until time.Time, tell func(believed), has func(*lease.Lease)) {
	for life := 0; time.Now().Before(until); life++ {
		time.Sleep(w.upTo(term))
		l, err := lease.Acquire(ctx, w, "prune", lease.Options{Term: term, Clock: func() time.Duration { return time.Since(time.Unix(0, 0)) }})
		if err != nil {
			continue
		}
		holder := fmt.Sprintf("%d/%d", process, life)
		tell(believed{l.Generation(), holder, false})
		has(l)
		for time.Now().Before(until) {
			work := w.upTo(term)
			if w.chance(8) {
				work = w.upTo(4 * term) // SIGSTOP, a machine that sleeps
			}
			time.Sleep(work)
			commit := w.chance(3)
			if commit {
				err = l.Commit(ctx, "delete")
			} else {
				err = l.Renew(ctx)
			}
			if errors.Is(err, lease.ErrLost) || err != nil && w.chance(2) {
				break
			}
			if err == nil {
				tell(believed{l.Generation(), holder, commit})
			}
			if w.chance(6) {
				_ = l.Release(ctx)
				break
			}
			if w.chance(12) {
				break // killed
			}
		}
	}
}

// Whatever the store and the machines do, the generations of one holder are a row in which there is none of another: nobody commits after
// somebody else has taken the lease. And as long as the store's clock does not leap, no two of them think at one moment that they hold it.
func TestModel(t *testing.T) {
	schedules := 200
	if n, err := strconv.Atoi(os.Getenv("COFRE_SOAK")); err == nil {
		schedules *= n
	}
	first := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("COFRE_SEED"), 10, 64); err == nil {
		first = s
	}
	commits := 0
	for seed := first; seed < first+uint64(schedules); seed++ {
		synctest.Test(t, func(t *testing.T) { commits += schedule(t, seed) })
		if t.Failed() {
			t.Fatalf("COFRE_SEED=%d", seed)
		}
	}
	t.Logf("%d schedules, %d commits", schedules, commits)
	if commits < schedules {
		t.Errorf("%d schedules had %d commits: there is nothing that could have gone wrong", schedules, commits)
	}
}

func schedule(t *testing.T, seed uint64) (commits int) {
	w := newWorld(seed)
	var mu sync.Mutex
	var told []believed
	var held []*lease.Lease
	until := time.Now().Add(60 * term)
	var all sync.WaitGroup
	for process := range 3 {
		all.Go(func() {
			w.life(t.Context(), process, until, func(b believed) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, b)
			}, func(l *lease.Lease) {
				mu.Lock()
				defer mu.Unlock()
				held = append(held, l)
			})
		})
	}
	all.Go(func() {
		for time.Now().Before(until) {
			time.Sleep(time.Second)
			mu.Lock()
			now := slices.Clone(held)
			mu.Unlock()
			valid := 0
			for _, l := range now {
				if l.Valid() {
					valid++
				}
			}
			if valid > 1 && w.calm {
				t.Errorf("%d hold it at once", valid)
				return
			}
		}
	})
	all.Wait()
	time.Sleep(10 * term) // what is still on its way
	return rows(t, told)
}

// rows checks that each generation has one holder, and that those of a holder have none of another between them.
func rows(t *testing.T, told []believed) (commits int) {
	slices.SortStableFunc(told, func(a, b believed) int { return int(a.generation - b.generation) })
	done := map[string]bool{}
	for i, b := range told {
		if b.committed {
			commits++
		}
		if i == 0 {
			continue
		}
		before := told[i-1]
		if before.generation == b.generation && before.holder != b.holder {
			t.Errorf("%s and %s both have generation %d", before.holder, b.holder, b.generation)
		}
		if before.holder != b.holder {
			done[before.holder] = true
		}
		if done[b.holder] {
			t.Errorf("%s has generation %d after %s took the lease", b.holder, b.generation, before.holder)
		}
	}
	return commits
}
