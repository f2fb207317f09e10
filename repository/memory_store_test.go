package repository_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/repository"
)

// memoryStore is a cofre.Store in memory, with a clock of its own and as many copies as a test wants.
type memoryStore struct {
	mu      sync.Mutex
	objects map[string]memoryObject
	now     func() time.Time
}

type memoryObject struct {
	bytes []byte
	at    time.Time
}

func newMemoryStore() *memoryStore {
	return &memoryStore{objects: map[string]memoryObject{}, now: time.Now}
}

// state is everything that is stored.
func (s *memoryStore) state() map[string]memoryObject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

func (s *memoryStore) restore(state map[string]memoryObject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = maps.Clone(state)
}

func (s *memoryStore) write(name string, r io.Reader, absent bool) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.objects[name]; there && absent {
		return fmt.Errorf("create %s: %w", name, cofre.ErrExists)
	}
	s.objects[name] = memoryObject{b, s.now()}
	return nil
}

func (s *memoryStore) Create(_ context.Context, name string, r io.Reader, _ int64) error {
	return s.write(name, r, true)
}

func (s *memoryStore) Replace(_ context.Context, name string, r io.Reader, _ int64) error {
	return s.write(name, r, false)
}

func (s *memoryStore) find(name string) (memoryObject, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there := s.objects[name]
	if !there {
		return o, fmt.Errorf("open %s: %w", name, cofre.ErrNotFound)
	}
	return o, nil
}

func (s *memoryStore) Open(_ context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.find(name)
	if err != nil {
		return nil, err
	}
	b := o.bytes[min(offset, int64(len(o.bytes))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (s *memoryStore) Stat(_ context.Context, name string) (cofre.StoredObject, error) {
	o, err := s.find(name)
	return cofre.StoredObject{Name: name, Size: int64(len(o.bytes)), ModifiedAt: o.at}, err
}

func (s *memoryStore) List(_ context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		state := s.state()
		for _, name := range slices.Sorted(maps.Keys(state)) {
			o := state[name]
			if strings.HasPrefix(name, prefix) && !yield(cofre.StoredObject{Name: name, Size: int64(len(o.bytes)), ModifiedAt: o.at}, nil) {
				return
			}
		}
	}
}

func (s *memoryStore) Delete(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return nil
}

func (s *memoryStore) Free(context.Context) (int64, error) { return -1, nil }
func (s *memoryStore) URL() string                         { return "s3://memory/repository" }

// mortal is a store that dies with its n-th request, of which it carries out what carried says: nothing is answered any more.
type mortal struct {
	cofre.Store
	mu       sync.Mutex
	requests int
	dies     int // 0: never
	carried  bool
	before   func(n int, verb, name string) // is told of each request
}

func (s *mortal) request(verb, name string, do func() error) error {
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

func (s *mortal) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.request("create", name, func() error { return s.Store.Create(ctx, name, r, size) })
}

func (s *mortal) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.request("replace", name, func() error { return s.Store.Replace(ctx, name, r, size) })
}

func (s *mortal) Delete(ctx context.Context, name string) error {
	return s.request("delete", name, func() error { return s.Store.Delete(ctx, name) })
}

func (s *mortal) Open(ctx context.Context, name string, offset, length int64) (r io.ReadCloser, err error) {
	err = s.request("open", name, func() error {
		r, err = s.Store.Open(ctx, name, offset, length)
		return err
	})
	return r, err
}

func (s *mortal) Stat(ctx context.Context, name string) (o cofre.StoredObject, err error) {
	err = s.request("stat", name, func() error {
		o, err = s.Store.Stat(ctx, name)
		return err
	})
	return o, err
}

func (s *mortal) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		if err := s.request("list", prefix, func() error { return nil }); err != nil {
			yield(cofre.StoredObject{}, err)
			return
		}
		s.Store.List(ctx, prefix)(yield)
	}
}

func memoryConfig(t testing.TB) repository.Config {
	return repository.Config{URL: "s3://memory/repository", Password: secret.New(password), StateDir: t.TempDir()}
}

// onMemory makes a repository in memory.
func onMemory(t testing.TB) (*memoryStore, *repository.Repository) {
	t.Helper()
	s := newMemoryStore()
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
