package bucket

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/retry"
)

// Recent is an optional power of an Inventory: only the objects that were written since an instant of the
// service's clock. Without it every row is listed and most are passed over.
type Recent interface {
	// Errors: those of Inventory.Rows.
	Since(ctx context.Context, t time.Time) iter.Seq2[Object, error]
}

// How often the chase looks for new objects: at least chaseLeast apart, and chaseShare times as long as a look
// takes, so that it costs the database a few per cent at most.
const (
	chaseLeast = 500 * time.Millisecond
	chaseShare = 10
)

// chaseSlack is how far behind its time of writing a row may become visible: updated_at is when the transaction
// began.
const chaseSlack = 10 * time.Second

// chase reads objects that are written between Prepare and Capture, as they come, so that a version which the dump
// names survives being overwritten while the dump goes on. It takes a version to be overwritten within one look to
// lose it, and then the point says so.
type chase struct {
	run  *run
	into *preparation
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	fetched map[string]bool // path and content of what the chase has read
	newest  time.Time       // of the rows seen
}

// startChase goes on until ctx ends or end is called.
func startChase(ctx context.Context, r *run, into *preparation, newest time.Time) *chase {
	ctx, stop := context.WithCancel(ctx)
	c := &chase{run: r, into: into, stop: stop, done: make(chan struct{}), fetched: map[string]bool{}, newest: newest}
	go func() {
		defer close(c.done)
		defer r.close()
		c.loop(ctx)
	}()
	return c
}

// end stops the chase and waits for it.
func (c *chase) end() {
	if c == nil {
		return
	}
	c.stop()
	<-c.done
}

func (c *chase) loop(ctx context.Context) {
	for {
		started := time.Now()
		// What cannot be read now is read by Capture, which says why if it cannot either.
		_ = c.look(ctx)
		if retry.Sleep(ctx, max(chaseLeast, chaseShare*time.Since(started))) != nil {
			return
		}
	}
}

// look reads what was written since the last one.
func (c *chase) look(ctx context.Context) error {
	since := c.newest.Add(-chaseSlack)
	var todo []Object
	for o, err := range c.rows(ctx, since) {
		if _, about := Unreadable(err); about {
			continue
		}
		if err != nil {
			return err
		}
		if o.ModifiedAt.Before(since) || !c.run.inScope(o) {
			continue
		}
		if o.ModifiedAt.After(c.newest) {
			c.newest = o.ModifiedAt
		}
		if !c.fetched[chaseKey(o)] {
			todo = append(todo, o)
		}
	}
	var wg sync.WaitGroup
	var failed error
	for _, o := range todo {
		if err := c.run.slot(ctx); err != nil {
			failed = err
			break
		}
		wg.Go(func() {
			defer func() { <-c.run.slots }()
			if err := c.fetch(ctx, o); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	wg.Wait()
	return failed
}

func (c *chase) rows(ctx context.Context, since time.Time) iter.Seq2[Object, error] {
	if c.run.from == "sql" {
		if recent, ok := c.run.cfg.Inventory.(Recent); ok {
			return recent.Since(ctx, since)
		}
		return c.run.cfg.Inventory.Rows(ctx)
	}
	return c.run.listing(ctx)
}

func (c *chase) fetch(ctx context.Context, o Object) error {
	shard := spill.ShardOf(o.Bucket, o.Name)[:c.run.digits]
	early, err := spill.Records[kept](c.into.kept, shard)
	if err != nil {
		return err
	}
	for _, k := range early {
		if k.Bucket == o.Bucket && k.Name == o.Name && SameContent(k.Object, o) {
			c.remember(o)
			return nil
		}
	}
	got, err := c.run.fetch(ctx, shard, o)
	if err != nil || got.entry.Object == "" {
		return err
	}
	c.remember(got.indexed.Object)
	x := got.indexed
	return c.into.kept.Add(x.Bucket, x.Name, x.Size, kept{Indexed: x, ObjectID: got.entry.Object, Fetched: true})
}

func (c *chase) remember(o Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fetched[chaseKey(o)] = true
}

// chaseKey leaves the version out if a listing, which does not show it, is what is compared.
func chaseKey(o Object) string {
	return o.Path() + "\x00" + o.ETag + o.ModifiedAt.UTC().Format(time.RFC3339Nano)
}

// inScope reports whether a row is of a bucket that is captured.
func (r *run) inScope(o Object) bool {
	if len(r.cfg.Buckets) == 0 {
		return true
	}
	for _, b := range r.buckets {
		if b.ID == o.Bucket {
			return true
		}
	}
	return false
}
