package retry_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre/internal/retry"
)

// answer is an error with everything that retry asks of one.
type answer struct {
	passes, throttled bool
	after             time.Duration
}

func (answer) Error() string               { return "answered 503" }
func (a answer) Retryable() bool           { return a.passes }
func (a answer) Throttled() bool           { return a.throttled }
func (a answer) RetryAfter() time.Duration { return a.after }

func TestBackoffDoublesUpToItsBoundWithChance(t *testing.T) {
	const first, most = 100 * time.Millisecond, time.Second
	seen := map[time.Duration]bool{}
	for range 200 {
		b := retry.Backoff{First: first, Most: most}
		for n, whole := range []time.Duration{first, 2 * first, 4 * first, 8 * first, most, most, most} {
			d := b.Next()
			if d <= whole/2 || d > whole {
				t.Fatalf("pause %d is %v, want between %v and %v", n, d, whole/2, whole)
			}
			seen[d] = true
		}
		b.Reset()
		if d := b.Next(); d > first {
			t.Fatalf("after a reset the pause is %v, want at most %v", d, first)
		}
	}
	if len(seen) < 1000 {
		t.Errorf("of 1400 pauses %d differ: many clients would come back in step", len(seen))
	}
}

func TestBackoffNeverGrowsOutOfItsBound(t *testing.T) {
	b := retry.Backoff{First: time.Hour, Most: 2 * time.Hour}
	for range 100 {
		if d := b.Next(); d <= 0 || d > 2*time.Hour {
			t.Fatalf("pause %v", d)
		}
	}
	if d := (&retry.Backoff{}).Next(); d != 0 {
		t.Errorf("without pauses it waits %v", d)
	}
}

func TestAPolicy(t *testing.T) {
	passing := answer{passes: true}
	for name, c := range map[string]struct {
		policy   retry.Policy
		fails    []error // one for each attempt; then it succeeds
		attempts int
		least    time.Duration // it takes
		most     time.Duration
		want     error
	}{
		"succeeds at once":        {attempts: 1},
		"what stays":              {fails: []error{answer{}}, attempts: 1, want: answer{}},
		"what passes":             {fails: []error{passing, passing}, attempts: 3, least: 1500 * time.Millisecond, most: 3 * time.Second},
		"what passes, then stays": {fails: []error{passing, answer{}}, attempts: 2, least: time.Second / 2, most: time.Second, want: answer{}},
		"no attempt left":         {policy: retry.Policy{Attempts: 2}, fails: []error{passing, passing, passing}, attempts: 2, least: time.Second / 2, most: time.Second, want: passing},
		"one attempt":             {policy: retry.Policy{Attempts: 1}, fails: []error{passing}, attempts: 1, want: passing},
		"no time left":            {policy: retry.Policy{For: 500 * time.Millisecond}, fails: []error{passing}, attempts: 1, want: passing},
		"for some time": {
			policy: retry.Policy{For: 20 * time.Second}, fails: []error{passing, passing, passing, passing, passing, passing, passing, passing, passing, passing, passing, passing},
			attempts: 0, least: 10 * time.Second, most: 20 * time.Second, want: passing,
		},
		"as the server asks": {fails: []error{answer{passes: true, after: 30 * time.Second}}, attempts: 2, least: 30 * time.Second, most: 30 * time.Second},
		"a server that asks too much": {
			fails: []error{fmt.Errorf("read: %w", answer{passes: true, after: time.Hour})}, attempts: 2, least: time.Minute, most: time.Minute,
		},
		"longer than there is time": {policy: retry.Policy{For: 10 * time.Second}, fails: []error{answer{passes: true, after: 30 * time.Second}}, attempts: 1, want: answer{passes: true, after: 30 * time.Second}},
		"what the caller says passes": {
			policy: retry.Policy{Passing: func(err error) bool { return err.Error() == "busy" }}, fails: []error{errors.New("busy"), passing}, attempts: 2,
			least: time.Second / 2, most: time.Second, want: passing,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := c.policy
				p.First, p.Most = time.Second, 4*time.Second
				told := 0
				p.Tell = func(err error, pause, left time.Duration) {
					told++
					if err == nil || pause <= 0 || (p.For > 0) != (left > 0) || left > p.For {
						t.Errorf("told %v, %v, %v", err, pause, left)
					}
				}
				began, n := time.Now(), 0
				err := p.Do(t.Context(), func() error {
					n++
					if n <= len(c.fails) {
						return c.fails[n-1]
					}
					return nil
				})
				took := time.Since(began)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if c.attempts > 0 && n != c.attempts {
					t.Errorf("%d attempts, want %d", n, c.attempts)
				}
				if took < c.least || took > c.most {
					t.Errorf("took %v, want between %v and %v", took, c.least, c.most)
				}
				if told != n-1 {
					t.Errorf("told %d times of %d attempts", told, n)
				}
			})
		})
	}
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := retry.Policy{First: time.Hour, Most: time.Hour}.Do(ctx, func() error { return answer{passes: true} })
		if time.Since(began) != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, answer{passes: true}) {
			t.Errorf("after %v: %v, want the deadline and the answer", time.Since(began), err)
		}
		if err := (&retry.Backoff{First: time.Hour, Most: time.Hour}).Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait after the end: %v", err)
		}
		if err := retry.Sleep(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no sleep after the end: %v", err)
		}
		n := 0
		_ = retry.Policy{First: time.Second, Most: time.Second}.Do(ctx, func() error { n++; return answer{passes: true} })
		if n != 1 {
			t.Errorf("%d attempts after the end, want 1", n)
		}
	})
}

// TestPace: one throttled worker holds all of them back, and many at the same time count once.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &retry.Pace{First: time.Second, Most: 4 * time.Second}
		wait := func() time.Duration {
			began := time.Now()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if err := p.Wait(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			return time.Since(began)
		}
		between := func(what string, got, least, most time.Duration) {
			t.Helper()
			if got < least || got > most {
				t.Errorf("%s: waited %v, want between %v and %v", what, got, least, most)
			}
		}
		between("at first", wait(), 0, 0)
		p.Report(answer{passes: true})
		between("after an error that asks for nothing", wait(), 0, 0)
		for range 8 {
			p.Report(fmt.Errorf("read: %w", answer{throttled: true}))
		}
		between("throttled", wait(), time.Second/2, time.Second)
		p.Report(answer{throttled: true})
		between("throttled again", wait(), time.Second, 2*time.Second)
		p.Report(nil)
		p.Report(answer{throttled: true})
		between("throttled after a success", wait(), time.Second/2, time.Second)
		p.Report(answer{throttled: true, after: 20 * time.Second})
		between("as the server asks", wait(), 20*time.Second, 20*time.Second)

		p.Report(answer{throttled: true})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("wait after the end: %v", err)
		}
	})
}

func TestParseAfter(t *testing.T) {
	now := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-5": 0, "0": 0, "120": 2 * time.Minute,
		"Thu, 26 Nov 2026 10:00:30 GMT": 30 * time.Second, "Thu, 26 Nov 2026 09:00:00 GMT": 0,
	} {
		if got := retry.ParseAfter(header, now); got != want {
			t.Errorf("Retry-After: %s is %v, want %v", header, got, want)
		}
	}
}
