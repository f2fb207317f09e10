package repository_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store/storetest"
)

// mortal is a store that dies with its n-th request, of which it carries out what carried says: nothing is answered any more.
type mortal struct {
	cofre.Store
	mu       sync.Mutex
	requests int
	dies     int // 0: never
	carried  bool
	before   func(n int, verb storetest.Verb, name string) // is told of each request
}

func newMortal(st cofre.Store) *mortal {
	s := &mortal{}
	s.Store = &storetest.Through{Store: st, Do: s.request}
	return s
}

func (s *mortal) request(_ context.Context, verb storetest.Verb, name string, do func() error) error {
	s.mu.Lock()
	s.requests++
	n := s.requests
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(n, verb, name)
	}
	if s.dies > 0 && (n > s.dies || n == s.dies && !s.carried) {
		return fmt.Errorf("%s %s: %w: %w", verb, name, cofre.ErrUnreachable, errDied)
	}
	err := do()
	if s.dies > 0 && n == s.dies {
		return fmt.Errorf("%s %s: %w: %w", verb, name, cofre.ErrUnreachable, errDied)
	}
	return err
}

func memoryConfig(t testing.TB) repository.Config {
	return repository.Config{URL: "s3://memory/repository", Password: secret.New(password), StateDir: t.TempDir()}
}

// onMemory makes a repository in memory.
func onMemory(t testing.TB) (*storetest.Memory, *repository.Repository) {
	t.Helper()
	s := storetest.NewMemory(time.Now)
	if err := repository.InitOn(t.Context(), memoryConfig(t), s); err != nil {
		t.Fatal(err)
	}
	return s, openMemory(t, s)
}

func openMemory(t testing.TB, s cofre.Store) *repository.Repository {
	t.Helper()
	r, err := repository.OpenOn(t.Context(), memoryConfig(t), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close repository: %v", err)
		}
	})
	return r
}
