package backup

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/trustlayer/cofre"
)

// session is a cofre.Session that remembers whether the repository failed, so that an error of the source, which ends
// that source alone, is told from one of the repository, which ends the run.
type session struct {
	cofre.Session

	mu     sync.Mutex
	broken error
}

// failed returns the first error that was the repository's, or nil.
func (s *session) failed() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// note keeps err if nothing but the repository can have caused it. That a name is taken, or that what is to be
// reused is not there, is an answer.
func (s *session) note(ctx context.Context, err error) {
	answer := errors.Is(err, cofre.ErrExists) || errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrRefused)
	if err == nil || ctx.Err() != nil || answer {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
	}
}

func (s *session) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	given := &given{r: r}
	done, err := s.Session.Put(ctx, e, given)
	if !given.failed() && !given.shortOf(e.Size) {
		s.note(ctx, err)
	}
	return done, err
}

func (s *session) Store(ctx context.Context, layout cofre.Layout, r io.Reader) (cofre.ObjectID, int64, error) {
	given := &given{r: r}
	id, n, err := s.Session.Store(ctx, layout, given)
	if !given.failed() {
		s.note(ctx, err)
	}
	return id, n, err
}

func (s *session) Add(ctx context.Context, e cofre.Entry) error {
	err := s.Session.Add(ctx, e)
	s.note(ctx, err)
	return err
}

func (s *session) Reuse(ctx context.Context, e cofre.Entry) error {
	err := s.Session.Reuse(ctx, e)
	s.note(ctx, err)
	return err
}

func (s *session) Concat(ctx context.Context, e cofre.Entry, parts []cofre.ObjectID) (cofre.Entry, error) {
	done, err := s.Session.Concat(ctx, e, parts)
	s.note(ctx, err)
	return done, err
}

// given is what a source gives to be stored. One goroutine reads it.
type given struct {
	r     io.Reader
	n     int64
	err   error
	ended bool
}

func (g *given) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.n += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		g.ended = true
	case err != nil:
		g.err = err
	}
	return n, err
}

func (g *given) failed() bool { return g.err != nil }

// shortOf reports whether the source promised another size than it gave.
func (g *given) shortOf(size int64) bool { return g.ended && size >= 0 && g.n != size }
