package bucket

import (
	"context"
	"errors"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/retry"
)

const firstPause = 200 * time.Millisecond

// Tests shorten what follows.
var (
	longestPause = 10 * time.Second

	// outage is how long one object is tried that the service does not answer for. Stores wait for minutes for a service
	// that is away, with each other request: see unanswered.
	outage = retry.Policy{First: firstPause, Most: 10 * time.Second, For: time.Minute, Passing: always}
	// patience is how long a restore waits for a service that is away.
	patience = retry.Policy{First: firstPause, Most: 10 * time.Second, For: 5 * time.Minute, Passing: always}
	// settling is how often something is read that was written a moment ago: a server may fail the first reads beside an
	// overwrite.
	settling = retry.Policy{First: firstPause, Most: 10 * time.Second, Attempts: brokenAttempts + 1}
	// broken is how often an object is tried whose row is there and whose bytes are not: the answer does not change.
	broken = retry.Policy{First: firstPause, Most: 10 * time.Second, Attempts: brokenAttempts, Passing: always}
	// uploads is how often an object is uploaded that is not taken, or served otherwise.
	uploads = retry.Policy{First: firstPause, Most: 10 * time.Second, Attempts: 10, Passing: always}
)

const brokenAttempts = 4

func always(error) bool { return true }

// Away reports whether a service does not answer, or asks to be called less: not what is asked for is the reason.
func Away(err error) bool { return errors.Is(err, cofre.ErrUnreachable) || retry.Throttled(err) }

// Steadily tries again what a server fails beside an overwrite, a few times, and for minutes if the server is away.
//
// Errors: that of the last attempt, with the error of ctx if it ends during a pause.
func Steadily(ctx context.Context, try func() error) error {
	waiting, settled := patience.Begin(), settling.Begin()
	for {
		err := try()
		if err == nil {
			return nil
		}
		attempts := settled
		if Away(err) {
			attempts = waiting
		}
		if err := attempts.Again(ctx, err); err != nil {
			return err
		}
	}
}

// Waiting are the attempts at something that a service which is away does not answer for.
func Waiting() *retry.Attempts { return patience.Begin() }

// Uploading are the attempts at writing one object.
func Uploading() *retry.Attempts { return uploads.Begin() }

// NewPace holds the workers on one store back when it asks to be called less.
func NewPace() *retry.Pace { return &retry.Pace{First: firstPause, Most: longestPause} }
