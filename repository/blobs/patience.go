package blobs

import (
	"context"
	"io"
	"iter"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
)

// Kopia reads its indexes again and again, with growing pauses, until it has them or its context ends. A store that
// has gone away would be asked for ever. So the contexts under which indexes are read end with the first error that
// says that the store cannot be asked: the store has then tried each request several times.
//
// Source: kopia, internal/epoch/epoch_manager.go, refreshLocked.

// Attempt is one such context.
type Attempt struct {
	mu   sync.Mutex
	end  context.CancelCauseFunc
	gone error
}

type attemptKey struct{}

// Try returns a context that ends when the store cannot be read, and its attempt, whose Done is to be called.
func Try(ctx context.Context) (context.Context, *Attempt) {
	ctx, end := context.WithCancelCause(ctx)
	a := &Attempt{end: end}
	return context.WithValue(ctx, attemptKey{}, a), a
}

// Fail ends the attempt.
func (a *Attempt) Fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end != nil && a.gone == nil {
		a.gone = err
		a.end(err)
	}
}

// Keep lets the context live on: Kopia keeps that of an opened repository.
func (a *Attempt) Keep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end = nil
}

// Done ends the context, and returns what the store said instead of the end of the context that Kopia then met.
//
// Errors: what the store said, or else err.
func (a *Attempt) Done(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end != nil {
		a.end(nil)
	}
	if err != nil && a.gone != nil {
		return a.gone
	}
	return err
}

// impatient is a store that ends the attempt it is read in when it cannot be asked.
type impatient struct{ cofre.Store }

// failed does not count what was called off: Kopia reads several indexes at once, and calls the others off if one
// is damaged. The context says so and not the error, for a silence of the store is a deadline that was exceeded, too.
func (s impatient) failed(ctx context.Context, err error) {
	if ctx.Err() == nil && seal.IsOutside(err) {
		fail(ctx, err)
	}
}

// fail ends the attempt that a context is of.
func fail(ctx context.Context, err error) {
	if a, ok := ctx.Value(attemptKey{}).(*Attempt); ok {
		a.Fail(err)
	}
}

// Open opens an object, whose reader ends the attempt in the same way.
func (s impatient) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, name, offset, length)
	if err != nil {
		s.failed(ctx, err)
		return nil, err
	}
	if ctx.Value(attemptKey{}) == nil {
		return r, nil
	}
	return &impatientReader{r, func(err error) { s.failed(ctx, err) }}, nil
}

// List lists objects.
func (s impatient) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		for o, err := range s.Store.List(ctx, prefix) {
			if err != nil {
				s.failed(ctx, err)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

type impatientReader struct {
	io.ReadCloser
	failed func(error)
}

func (r *impatientReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.failed(err)
	}
	return n, err
}
