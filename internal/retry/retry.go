// Package retry is the one way of waiting between attempts: pauses that double, with some chance in them, up to a
// bound; a limit of attempts and of time; and what a server itself asks for (Retry-After).
//
// It decides when to try again, never what may be tried again: that is said by the error (cofre.Retryable), or by
// whoever calls. Begin with Policy; Backoff is for loops of one's own, Pace for many workers on one service.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/trustlayer/cofre"
)

// Backoff says how long to wait before each next attempt: First, then twice as long each time, Most at most. Half of
// each pause is left to chance, so that many clients do not come back in step. Not safe for several goroutines.
type Backoff struct {
	First, Most time.Duration

	failed int
}

// Next returns the next pause: between a half and the whole of what it has come to.
func (b *Backoff) Next() time.Duration {
	d := b.Most
	if b.failed < 32 && b.First<<b.failed < b.Most && b.First<<b.failed>>b.failed == b.First {
		d = b.First << b.failed
	}
	b.failed++
	if d <= 1 {
		return max(d, 0)
	}
	return d/2 + rand.N(d-d/2) + 1
}

// Reset begins again with First, after something has succeeded.
func (b *Backoff) Reset() { b.failed = 0 }

// Wait sleeps for the next pause.
//
// Errors: the error of ctx if it ends first.
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep waits for d, or until ctx ends.
//
// Errors: the error of ctx if it ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// longestAsked bounds what a server may ask for.
const longestAsked = time.Minute

// Asked returns how long the server that answered with err asks not to be called, by a method RetryAfter of an error in
// its chain: 0 if it does not say, a minute at most.
func Asked(err error) time.Duration {
	var e interface{ RetryAfter() time.Duration }
	if !errors.As(err, &e) {
		return 0
	}
	return min(max(e.RetryAfter(), 0), longestAsked)
}

// Throttled reports whether a service asks to be called less, by a method Throttled of an error in the chain.
func Throttled(err error) bool {
	var t interface{ Throttled() bool }
	return errors.As(err, &t) && t.Throttled()
}

// Policy says how often, and for how long, something is tried.
type Policy struct {
	First, Most time.Duration // pauses: see Backoff

	Attempts int           // at most; 0 is no bound
	For      time.Duration // no attempt begins later than this after the first one failed; 0 is no bound

	// Passing reports whether an error may be over by itself; nil asks cofre.Retryable.
	Passing func(error) bool
	// Tell is called before each pause with its reason, its length and the time that is left, 0 without a bound. May be nil.
	Tell func(err error, pause, left time.Duration)
}

// Do calls try until it succeeds, or fails with what does not pass, or there is no attempt or no time left.
//
// Errors: that of the last attempt. If ctx ends during a pause, both: the attempt's, which says why there was a pause,
// and the error of ctx.
func (p Policy) Do(ctx context.Context, try func() error) error {
	for a := p.Begin(); ; {
		err := try()
		if err == nil {
			return nil
		}
		if err := a.Again(ctx, err); err != nil {
			return err
		}
	}
}

// Attempts are those of one thing, for loops that do something else between them. Not safe for several goroutines.
type Attempts struct {
	policy Policy
	back   Backoff
	failed int
	first  time.Time // when the first failed
}

// Begin is before the first attempt.
func (p Policy) Begin() *Attempts {
	if p.Passing == nil {
		p.Passing = cofre.Retryable
	}
	return &Attempts{policy: p, back: Backoff{First: p.First, Most: p.Most}}
}

// Again is called when an attempt has failed with err. It returns nil after the pause before the next one.
//
// Errors: the one to give up with, as of Do.
func (a *Attempts) Again(ctx context.Context, err error) error {
	p := a.policy
	if a.failed++; a.failed == 1 {
		a.first = time.Now()
	}
	if ctx.Err() != nil || a.failed == p.Attempts || !p.Passing(err) {
		return err
	}
	pause := max(a.back.Next(), Asked(err))
	left := time.Duration(0)
	if p.For > 0 {
		if left = p.For - time.Since(a.first); pause > left {
			return err
		}
	}
	if p.Tell != nil {
		p.Tell(err, pause, left)
	}
	if ended := Sleep(ctx, pause); ended != nil {
		return fmt.Errorf("%w: %w", err, ended)
	}
	return nil
}

// ParseAfter reads a header Retry-After, which is a number of seconds or a date: 0 if it says nothing.
//
// Source: RFC 9110, section 10.2.3.
func ParseAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
