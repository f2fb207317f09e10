package s3client

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
)

const (
	// defaultPatience is how long a server that throttles, fails or has gone away is waited for, for each request.
	defaultPatience = 5 * time.Minute
	firstPause      = 500 * time.Millisecond
	longestPause    = 20 * time.Second
)

// Patience is the one policy of trying again, for every kind of request. What may pass is waited out: throttling, errors
// of the server, connections that are refused or break. What will not is the answer at once: that access is denied, that
// there is no such bucket or object, that a certificate or a name is not known.
//
// A server that has never answered is tried for as long as the client does by itself, some seconds: its address is
// wrong, or it was down before anybody relied on it. Safe for several goroutines.
type Patience struct {
	For time.Duration // for each request; 0 waits five minutes

	answered atomic.Bool
}

// Do calls request until it succeeds, until its error is one that stays, or until the patience is at an end. request
// must be one that can be made again.
func (p *Patience) Do(ctx context.Context, what string, request func() error) error {
	began := time.Now()
	patience := p.For
	if patience == 0 {
		patience = defaultPatience
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := request()
		if !p.passing(err) {
			return err
		}
		wait := pause/2 + rand.N(pause) // so that many clients do not come back in step
		left := patience - time.Since(began)
		if wait > left || ctx.Err() != nil {
			return err
		}
		tell(ctx, fmt.Sprintf("%s: %v; trying again in %v, for %v more", what, reason(err), wait.Round(time.Second/10), left.Round(time.Second)))
		select {
		case <-ctx.Done():
			return err // it says more than that nobody waits any longer
		case <-time.After(wait):
		}
	}
}

// passing reports whether an error may be over by itself, and keeps in mind whether the server has ever answered.
func (p *Patience) passing(err error) bool {
	if err == nil {
		p.answered.Store(true)
		return false
	}
	var stays *final
	if errors.As(err, &stays) {
		return false
	}
	if !errors.Is(Condition(err), cofre.ErrUnreachable) {
		if isAnswer(err) {
			p.answered.Store(true)
		}
		return false
	}
	if isAnswer(err) {
		p.answered.Store(true)
		return true
	}
	return p.answered.Load() && !permanent(err)
}

// final is an error that is not to be waited out, whatever it is.
type final struct{ error }

func (f *final) Unwrap() error { return f.error }

// Final has Patience believe an error at once.
func Final(err error) error { return &final{err} }

// permanent reports errors of a connection that trying again does not change.
func permanent(err error) bool {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		name      *net.DNSError
	)
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &name) && name.IsNotFound
}

// reason is what of an error says why.
func reason(err error) string {
	if code, status := answerOf(err); status != 0 {
		return fmt.Sprintf("the server answers %d %s", status, code)
	}
	return err.Error()
}

type tellerKey struct{}

// WithTeller returns a context under which tell is called with a sentence before each wait.
func WithTeller(ctx context.Context, tell func(string)) context.Context {
	return context.WithValue(ctx, tellerKey{}, tell)
}

func tell(ctx context.Context, text string) {
	if t, ok := ctx.Value(tellerKey{}).(func(string)); ok {
		t(text)
	}
}
