package s3client

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/trustlayer/cofre"
)

func TestPatience(t *testing.T) {
	busy := minio.ErrorResponse{Code: "SlowDown", StatusCode: http.StatusServiceUnavailable}
	denied := minio.ErrorResponse{Code: "AccessDenied", StatusCode: http.StatusForbidden}
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		before   error // of a request before, if any
		heard    bool  // whether there was one
		fails    error
		attempts int // at least
		most     time.Duration
	}{
		"throttled":                                  {fails: busy, attempts: 10, most: 5 * time.Minute},
		"denied":                                     {fails: denied, attempts: 1},
		"no connection, never heard of":              {fails: refused, attempts: 1},
		"no connection after a success":              {heard: true, fails: refused, attempts: 10, most: 5 * time.Minute},
		"no connection after an answer":              {heard: true, before: denied, fails: refused, attempts: 10, most: 5 * time.Minute},
		"an unknown authority after a success":       {heard: true, fails: &net.OpError{Op: "dial", Err: x509.UnknownAuthorityError{}}, attempts: 1},
		"a name that is not known after a success":   {heard: true, fails: &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, attempts: 1},
		"a name server that is away after a success": {heard: true, fails: &net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, attempts: 10, most: 5 * time.Minute},
		"final": {heard: true, fails: Final(busy), attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p Patience
				if c.heard {
					_ = p.Do(t.Context(), "stat a", func() error { return c.before })
				}
				told := 0
				ctx := WithTeller(t.Context(), func(m cofre.Message) {
					if told++; !strings.HasPrefix(m.Text, "stat a: ") || !strings.Contains(m.Text, "trying again in") {
						t.Errorf("told %q", m.Text)
					}
				})
				n, began := 0, time.Now()
				err := p.Do(ctx, "stat a", func() error { n++; return c.fails })
				took := time.Since(began)
				if !errors.Is(err, c.fails) || n < c.attempts || c.attempts == 1 && n > 1 || took > c.most || told != n-1 {
					t.Errorf("%v after %d attempts and %v, told %d times", err, n, took, told)
				}
				if c.most > 0 && took < c.most-30*time.Second {
					t.Errorf("gave up after %v of %v", took, c.most)
				}
			})
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAPauseThatIsAskedForIsMade(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header string
		want   time.Duration
	}{
		"busy": {http.StatusServiceUnavailable, "7", 7 * time.Second}, "throttled": {http.StatusTooManyRequests, "7", 7 * time.Second},
		"too long": {http.StatusTooManyRequests, "7000", longestPause}, "no header": {http.StatusServiceUnavailable, "", 0}, "found": {http.StatusOK, "7", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := asked{roundTrip(func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: c.status, Header: http.Header{"Retry-After": {c.header}}, Body: io.NopCloser(strings.NewReader(""))}, nil
				})}
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://s3.example/", nil)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				answer, err := a.RoundTrip(r)
				if err != nil || answer.StatusCode != c.status || time.Since(began) != c.want {
					t.Errorf("%v after %v, want %d after %v", answer, time.Since(began), c.status, c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := asked{roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"20"}}, Body: io.NopCloser(strings.NewReader(""))}, nil
		})}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://s3.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestConditions(t *testing.T) {
	answer := func(code string, status int) error { return minio.ErrorResponse{Code: code, StatusCode: status} }
	for _, c := range []struct {
		err  error
		want error
	}{
		{nil, nil},
		{context.Canceled, nil},
		{errors.New("something else"), nil},
		{answer("NoSuchKey", 404), cofre.ErrNotFound},
		{answer("", 404), cofre.ErrNotFound},
		{answer("NoSuchBucket", 404), cofre.ErrNoRepo},
		{answer("PreconditionFailed", 412), cofre.ErrExists},
		{answer("", 412), cofre.ErrExists},
		{answer("InvalidAccessKeyId", 403), cofre.ErrDenied},
		{answer("XAdminUserNotFound", 404), cofre.ErrDenied},
		{answer("", 401), cofre.ErrDenied},
		{answer("", 403), cofre.ErrDenied},
		{answer("QuotaExceeded", 400), cofre.ErrDiskFull},
		{answer("", 507), cofre.ErrDiskFull},
		{minio.ErrorResponse{StatusCode: 500, Message: "write: no space left on device"}, cofre.ErrDiskFull},
		{answer("RequestTimeout", 400), cofre.ErrUnreachable},
		{answer("", 500), cofre.ErrUnreachable},
		{answer("", 429), cofre.ErrUnreachable},
		{answer("InvalidArgument", 400), nil},
		{io.ErrUnexpectedEOF, cofre.ErrUnreachable},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, cofre.ErrUnreachable},
	} {
		if got := Condition(c.err); got != c.want {
			t.Errorf("%v means %v, want %v", c.err, got, c.want)
		}
	}
}
