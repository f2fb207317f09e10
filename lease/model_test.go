package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
)

const term = time.Minute

// world is a store whose answers are late, lost, or come of a request that is carried out twice, and whose clock leaps.
type world struct {
	mu      sync.Mutex
	rng     *rand.Rand
	objects map[string]object
	leap    time.Duration // how far the store's clock is off
	calm    bool          // its clock does not leap
}

type object struct {
	body []byte
	at   time.Time
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
func (w *world) request(ctx context.Context, do func() error) error {
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

func (w *world) Create(ctx context.Context, name string, r io.Reader, _ int64) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return w.request(ctx, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, ok := w.objects[name]; ok {
			return cofre.ErrExists
		}
		w.objects[name] = object{body, time.Now().Add(w.leap)}
		return nil
	})
}

func (w *world) Delete(ctx context.Context, name string) error {
	return w.request(ctx, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.objects, name)
		return nil
	})
}

func (w *world) Open(ctx context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	var found object
	err := w.request(ctx, func() error { return w.look(name, &found) })
	return io.NopCloser(bytes.NewReader(found.body)), err
}

func (w *world) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	var found object
	err := w.request(ctx, func() error { return w.look(name, &found) })
	return cofre.StoredObject{Name: name, Size: int64(len(found.body)), ModifiedAt: found.at}, err
}

func (w *world) look(name string, into *object) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	found, ok := w.objects[name]
	if !ok {
		return cofre.ErrNotFound
	}
	*into = found
	return nil
}

func (w *world) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		var all []cofre.StoredObject
		err := w.request(ctx, func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			all = nil
			for _, name := range slices.Sorted(maps.Keys(w.objects)) {
				if strings.HasPrefix(name, prefix) {
					all = append(all, cofre.StoredObject{Name: name, ModifiedAt: w.objects[name].at})
				}
			}
			return nil
		})
		if err != nil {
			yield(cofre.StoredObject{}, err)
			return
		}
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (w *world) Replace(context.Context, string, io.Reader, int64) error {
	panic("a lease replaces nothing")
}
func (w *world) Free(context.Context) (int64, error) { return -1, nil }
func (w *world) URL() string                         { return "model" }

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
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), objects: map[string]object{}, calm: seed%2 == 0}
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
