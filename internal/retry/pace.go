package retry

import (
	"context"
	"sync"
	"time"
)

// Pace holds all workers on one service back when the service asks one of them to be called less. The zero value lets
// everybody through and never holds anybody back: First and Most are the pauses. Safe for several goroutines.
type Pace struct {
	First, Most time.Duration

	mu    sync.Mutex
	until time.Time
	back  Backoff
}

// Wait returns when work may go on.
//
// Errors: the error of ctx if it ends first.
func (p *Pace) Wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		d := time.Until(p.until)
		p.mu.Unlock()
		if d <= 0 {
			return ctx.Err()
		}
		if err := Sleep(ctx, d); err != nil {
			return err
		}
	}
}

// Report tells how an attempt ended. A throttled one holds everybody back, longer each time until one succeeds.
func (p *Pace) Report(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.back.Reset()
	case !Throttled(err), time.Now().Before(p.until): // of many that were under way at the same time one counts
	default:
		p.back.First, p.back.Most = p.First, p.Most
		p.until = time.Now().Add(max(p.back.Next(), Asked(err)))
	}
}
