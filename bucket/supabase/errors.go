package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/retry"
)

// Error is an answer of the storage server that is no success.
type Error struct {
	Op      string // "read bucket/name"
	HTTP    int    // status of the response: 400 for nearly everything
	Status  int    // the status that the body carries, else HTTP
	Code    string // NoSuchKey, NoSuchBucket, …: the stable part
	Message string

	retryAfter time.Duration
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s: storage answered %d", e.Op, e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" && e.Message != e.Code {
		s += ": " + e.Message
	}
	return s
}

// Is gives answers the names of cofre's conditions.
func (e *Error) Is(target error) bool {
	switch target {
	case cofre.ErrNotFound:
		return e.Status == http.StatusNotFound && !e.noRoute()
	case cofre.ErrDenied:
		return e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized
	case cofre.ErrExists:
		return e.Status == http.StatusConflict
	case cofre.ErrRefused:
		return e.Status == http.StatusRequestEntityTooLarge || e.Status == http.StatusUnsupportedMediaType ||
			e.Status == http.StatusBadRequest || e.Code == "KeyTooLongError"
	case cofre.ErrUnreachable:
		return e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout
	}
	return false
}

// Retryable reports whether the same request may succeed later. A 500 may be an object that is being overwritten.
func (e *Error) Retryable() bool {
	return e.Throttled() || e.Status == http.StatusLocked || e.Status >= http.StatusInternalServerError
}

// Throttled reports whether the server asks to be called less: 429 from it or a gateway, 503, and 544 when its
// pool of database connections is exhausted.
func (e *Error) Throttled() bool {
	const databaseTimeout = 544
	return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable || e.Status == databaseTimeout
}

// RetryAfter is how long the server asks not to be called.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// noRoute reports whether the server does not know the path at all, as opposed to what it names.
func (e *Error) noRoute() bool { return strings.HasPrefix(e.Message, "Route ") }

// errorOf reads an answer's body.
func errorOf(op string, res *http.Response, body []byte) *Error {
	e := &Error{Op: op, HTTP: res.StatusCode, Status: res.StatusCode}
	var b struct {
		StatusCode json.RawMessage `json:"statusCode"` // a string, or a number from the router
		Error      string          `json:"error"`
		Message    string          `json:"message"`
		Code       string          `json:"code"`
	}
	if json.Unmarshal(body, &b) == nil && (b.Message != "" || b.Error != "") {
		e.Code, e.Message = b.Code, b.Message
		if e.Code == "" {
			e.Code = b.Error
		}
		if n, err := strconv.Atoi(strings.Trim(string(b.StatusCode), `"`)); err == nil && n >= 400 {
			e.Status = n
		}
	} else {
		e.Message = firstLine(body)
	}
	e.retryAfter = retry.ParseAfter(res.Header.Get("Retry-After"), time.Now())
	return e
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}

// transportError is a request that got no answer.
type transportError struct {
	op  string
	err error
}

func (e *transportError) Error() string   { return e.op + ": " + e.err.Error() }
func (e *transportError) Unwrap() []error { return []error{e.err, cofre.ErrUnreachable} }
func (e *transportError) Retryable() bool { return true }

func transport(op string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &transportError{op, err}
}
