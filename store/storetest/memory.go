package storetest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Memory is a cofre.Store in memory. It stands for a bucket whose conditional writes hold; what a real one does besides is for the tests
// of package store to find out.
type Memory struct {
	mu      sync.Mutex
	objects map[string]Object
	now     func() time.Time
}

// Object is what a Memory has of one object.
type Object struct {
	Bytes []byte
	At    time.Time
}

// NewMemory makes an empty store. Its clock is now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{objects: map[string]Object{}, now: now}
}

// SetClock gives the store another clock.
func (s *Memory) SetClock(now func() time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// State is everything that is stored.
func (s *Memory) State() map[string]Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.objects)
}

// Restore makes a state the whole of what is stored.
func (s *Memory) Restore(state map[string]Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = maps.Clone(state)
}

func (s *Memory) write(ctx context.Context, name string, r io.Reader, size int64, absent bool) error {
	if err := check(name); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err == nil && int64(len(b)) != size {
		err = fmt.Errorf("%d bytes came, and %d were announced", len(b), size)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.objects[name]; there && absent {
		return fmt.Errorf("create %s: %w", name, cofre.ErrExists)
	}
	s.objects[name] = Object{b, s.now()}
	return nil
}

func check(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q is no name", name)
	}
	return nil
}

// Create implements cofre.Store.
func (s *Memory) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.write(ctx, name, r, size, true)
}

// Replace implements cofre.Store.
func (s *Memory) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.write(ctx, name, r, size, false)
}

func (s *Memory) find(ctx context.Context, name string) (Object, error) {
	if err := ctx.Err(); err != nil {
		return Object{}, fmt.Errorf("open %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, there := s.objects[name]
	if !there {
		return o, fmt.Errorf("open %s: %w", name, cofre.ErrNotFound)
	}
	return o, nil
}

// Open implements cofre.Store.
func (s *Memory) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	b := o.Bytes[min(offset, int64(len(o.Bytes))):]
	if length >= 0 {
		b = b[:min(length, int64(len(b)))]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat implements cofre.Store.
func (s *Memory) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	o, err := s.find(ctx, name)
	return cofre.StoredObject{Name: name, Size: int64(len(o.Bytes)), ModifiedAt: o.At}, err
}

// List implements cofre.Store. What is written while it goes on is not listed.
func (s *Memory) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(cofre.StoredObject{}, err)
			return
		}
		state := s.State()
		for _, name := range slices.Sorted(maps.Keys(state)) {
			o := state[name]
			if strings.HasPrefix(name, prefix) && !yield(cofre.StoredObject{Name: name, Size: int64(len(o.Bytes)), ModifiedAt: o.At}, nil) {
				return
			}
		}
	}
}

// Delete implements cofre.Store.
func (s *Memory) Delete(ctx context.Context, name string) error {
	if err := cmp.Or(ctx.Err(), check(name)); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return nil
}

// Free implements cofre.Store: a bucket does not say.
func (s *Memory) Free(context.Context) (int64, error) { return -1, nil }

// URL implements cofre.Store.
func (s *Memory) URL() string { return "s3://memory/repository" }
