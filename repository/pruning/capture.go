package pruning

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// A capture that takes longer than what is young stays young says now and then that it goes on, and for how long it has: in the name of an object that is created and
// never replaced, cofre/capturing/RANDOM/SECONDS. What was stored or announced since it began is then not deleted. A short one says nothing.
const capturingPrefix = "cofre/capturing/"

// beat is how often a capture says that it goes on, and after how long it says so first; well within the time that what is young stays young. Tests change it.
var beat = 6 * time.Hour

// Captures says that captures of one repository go on. The zero value is ready.
type Captures struct {
	mu   sync.Mutex
	stop func()
	done sync.WaitGroup
}

// Begin says from now on that a capture goes on, unless one does.
func (c *Captures) Begin(ctx context.Context, st cofre.Store) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.done.Go(func() { goOn(ctx, st, beat) })
}

// End is called when what was captured is published, or given up.
func (c *Captures) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		c.stop()
		c.stop = nil
		c.done.Wait()
	}
}

func goOn(ctx context.Context, st cofre.Store, every time.Duration) {
	began := time.Now()
	prefix := capturingPrefix + strings.ToLower(rand.Text()[:16]) + "/"
	var names []string
	tick := time.NewTicker(every)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			// A machine that slept counts by its clock alone.
			took := max(time.Since(began), time.Now().Round(0).Sub(began.Round(0)))
			name := fmt.Sprintf("%s%012d", prefix, int64(took/time.Second))
			// One that cannot be said is said the next time.
			if err := st.Create(ctx, name, strings.NewReader(""), 0); err == nil {
				names = append(names, name)
			}
		}
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	for _, name := range names {
		_ = st.Delete(bounded, name) // where it may not be deleted, whoever prunes does it
	}
}

// capturing is since when the oldest capture that goes on has done so, by the clock of the store, zero if none does; and what was said of those that
// have not said it since a time.
func capturing(ctx context.Context, st cofre.Store, dead time.Time) (since time.Time, stale []string, err error) {
	type capture struct {
		began, said time.Time
		names       []string
	}
	all := map[string]*capture{}
	for o, err := range st.List(ctx, capturingPrefix) {
		if err != nil {
			return since, nil, err
		}
		id, took, _ := strings.Cut(strings.TrimPrefix(o.Name, capturingPrefix), "/")
		seconds, err := strconv.ParseInt(took, 10, 32)
		if err != nil {
			seconds = 1 << 31 // nobody knows: it has gone on for ever, until it has been silent for long enough
		}
		c := all[id]
		if c == nil {
			c = &capture{}
			all[id] = c
		}
		c.names = append(c.names, o.Name)
		if began := o.ModifiedAt.Add(-time.Duration(seconds) * time.Second); c.began.IsZero() || began.Before(c.began) {
			c.began = began
		}
		if o.ModifiedAt.After(c.said) {
			c.said = o.ModifiedAt
		}
	}
	for _, c := range all {
		switch {
		case c.said.Before(dead):
			stale = append(stale, c.names...)
		case since.IsZero() || c.began.Before(since):
			since = c.began
		}
	}
	return since, stale, nil
}

// SayEvery changes how often captures that begin from now on say that they go on, for tests, until it is undone.
func SayEvery(every time.Duration) (restore func()) {
	before := beat
	beat = every
	return func() { beat = before }
}
