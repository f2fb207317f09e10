package observe

import (
	"context"
	"iter"
	"sync"

	"github.com/trustlayer/cofre"
)

// Numbered is an event with its number in a ring: 1 for the first that the ring was told, and on without holes.
type Numbered struct {
	ID uint64 `json:"id"`
	cofre.Event
}

// Ring keeps the newest events of a process for those who come later, a console that was opened in the middle of a backup, say.
// It never waits for them.
type Ring struct {
	mu     sync.Mutex
	kept   []Numbered // as a circle: the event of number n is at n modulo its length
	last   uint64
	told   chan struct{} // closed at the next event
	closed bool
}

// NewRing keeps n events, at least one.
func NewRing(n int) *Ring {
	return &Ring{kept: make([]Numbered, max(n, 1)), told: make(chan struct{})}
}

// Observe keeps an event.
func (r *Ring) Observe(e cofre.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.last++
	r.kept[r.last%uint64(len(r.kept))] = Numbered{r.last, e}
	close(r.told)
	r.told = make(chan struct{})
}

// Close ends all subscriptions once they have yielded what was kept.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.told)
	}
}

// After returns the kept events with a greater number, oldest first, and how many between are kept no more.
func (r *Ring) After(id uint64) (events []Numbered, missed uint64) {
	events, missed, _, _ = r.after(id)
	return events, missed
}

func (r *Ring) after(id uint64) (events []Numbered, missed uint64, told <-chan struct{}, closed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := uint64(1)
	if n := uint64(len(r.kept)); r.last > n {
		oldest = r.last - n + 1
	}
	from := id + 1
	if from < oldest {
		missed, from = oldest-from, oldest
	}
	for n := from; n <= r.last; n++ {
		events = append(events, r.kept[n%uint64(len(r.kept))])
	}
	return events, missed, r.told, r.closed
}

// Subscribe yields the kept events with a number greater than after, and then every one as it comes, until ctx ends, the ring is
// closed or the caller breaks. Whoever is slower than the ring is long misses events; their numbers say so.
func (r *Ring) Subscribe(ctx context.Context, after uint64) iter.Seq[Numbered] {
	return func(yield func(Numbered) bool) {
		for {
			events, _, told, closed := r.after(after)
			for _, e := range events {
				if ctx.Err() != nil || !yield(e) {
					return
				}
				after = e.ID
			}
			if len(events) > 0 {
				continue
			}
			if closed {
				return
			}
			select {
			case <-told:
			case <-ctx.Done():
				return
			}
		}
	}
}
