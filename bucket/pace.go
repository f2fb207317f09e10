package bucket

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Back-off between attempts: doubling from paceFirst, at most paceMost, each with up to half of itself at random
// on top so that several workers do not come back at the same instant.
const paceFirst = 200 * time.Millisecond

var paceMost = 10 * time.Second // tests shorten it

// pace holds all workers of a run back when the service asks one of them to slow down (429, 503, 544).
type pace struct {
	mu      sync.Mutex
	until   time.Time
	strikes int
}

// wait returns when work may go on.
func (p *pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		d := time.Until(p.until)
		p.mu.Unlock()
		if d <= 0 {
			return ctx.Err()
		}
		if err := pause(ctx, d); err != nil {
			return err
		}
	}
}

// report tells how an attempt ended; a throttled one holds everybody back.
func (p *pace) report(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !throttled(err) {
		if err == nil {
			p.strikes = 0
		}
		return
	}
	// One answer of many that were under way at the same time counts once.
	if time.Now().Before(p.until) {
		return
	}
	p.until = time.Now().Add(backoff(p.strikes))
	p.strikes++
}

// throttled reports whether the service asked to be called less.
func throttled(err error) bool {
	var t interface{ Throttled() bool }
	return errors.As(err, &t) && t.Throttled()
}

func backoff(attempt int) time.Duration {
	d := paceMost
	if attempt < 6 {
		d = min(paceFirst<<attempt, paceMost)
	}
	return d + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
