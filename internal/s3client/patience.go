package s3client

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/retry"
)

const (
	// defaultPatience is how long a server that throttles, fails or has gone away is waited for, for each request.
	defaultPatience = 5 * time.Minute
	firstPause      = time.Second
	longestPause    = 30 * time.Second
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
// must be one that can be made again. A server that asks for a pause (Retry-After) gets it.
//
// Errors: that of the last request, as it came: see Condition; with the error of ctx if it ends during a pause.
func (p *Patience) Do(ctx context.Context, what string, request func() error) error {
	return retry.Policy{
		First: firstPause, Most: longestPause, For: cmp.Or(p.For, defaultPatience), Passing: p.passing,
		Tell: func(err error, pause, left time.Duration) {
			tell(ctx, cofre.Say("s3.again", "{{.what}}: {{.cause}}; trying again in {{.pause}}, for {{.left}} more", "what", cofre.Verbatim(what), "cause", reason(err), "pause", pause.Round(time.Second/10), "left", left.Round(time.Second)))
		},
	}.Do(ctx, func() error {
		err := request()
		p.heard(err)
		return err
	})
}

// heard keeps in mind that the server has answered.
func (p *Patience) heard(err error) {
	if err == nil || isAnswer(err) {
		p.answered.Store(true)
	}
}

// asked gives a server the pause that it asks for before its answer is handed on: the client between, which tries again by
// itself, does not know of Retry-After.
type asked struct{ http.RoundTripper }

func (a asked) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := a.RoundTripper.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusServiceUnavailable && answer.StatusCode != http.StatusTooManyRequests {
		return answer, err
	}
	if err := retry.Sleep(r.Context(), min(retry.ParseAfter(answer.Header.Get("Retry-After"), time.Now()), longestPause)); err != nil {
		return nil, errors.Join(err, answer.Body.Close())
	}
	return answer, nil
}

// passing reports whether an error may be over by itself.
func (p *Patience) passing(err error) bool {
	var stays *final
	if errors.As(err, &stays) || !errors.Is(Condition(err), cofre.ErrUnreachable) {
		return false
	}
	return isAnswer(err) || p.answered.Load() && !permanent(err)
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
func reason(err error) cofre.Message {
	if code, status := answerOf(err); status != 0 {
		return cofre.Say("s3.server_answers", "the server answers {{.status}} {{.code}}", "status", status, "code", code)
	}
	return cofre.SayError(err)
}

type tellerKey struct{}

// WithTeller returns a context under which tell is called with a sentence before each wait.
func WithTeller(ctx context.Context, tell func(cofre.Message)) context.Context {
	return context.WithValue(ctx, tellerKey{}, tell)
}

func tell(ctx context.Context, m cofre.Message) {
	if t, ok := ctx.Value(tellerKey{}).(func(cofre.Message)); ok {
		t(m)
	}
}
