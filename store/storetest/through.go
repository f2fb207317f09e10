package storetest

import (
	"bytes"
	"context"
	"io"
	"iter"
	"sync"

	"github.com/trustlayer/cofre"
)

// Verb is what a request asks of a store.
type Verb string

// The verbs.
const (
	Create  Verb = "create"
	Replace Verb = "replace"
	Open    Verb = "open"
	Stat    Verb = "stat"
	List    Verb = "list"
	Delete  Verb = "delete"
)

// Writes reports whether a request of this verb changes something.
func (v Verb) Writes() bool { return v == Create || v == Replace || v == Delete }

// Through is a store each of whose requests goes through Do, which carries it out with do: never, once, or more than once, also after it
// has answered itself. What Do returns is the answer. Name is the object's, or the prefix that is listed.
type Through struct {
	cofre.Store
	Do func(ctx context.Context, verb Verb, name string, do func() error) error
}

// Create implements cofre.Store.
func (s *Through) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.write(ctx, Create, name, r, size, s.Store.Create)
}

// Replace implements cofre.Store.
func (s *Through) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return s.write(ctx, Replace, name, r, size, s.Store.Replace)
}

// write reads the whole of what is to be written, since it may be written twice.
func (s *Through) write(ctx context.Context, verb Verb, name string, r io.Reader, size int64, write func(context.Context, string, io.Reader, int64) error) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.Do(ctx, verb, name, func() error { return write(ctx, name, bytes.NewReader(b), size) })
}

// Delete implements cofre.Store.
func (s *Through) Delete(ctx context.Context, name string) error {
	return s.Do(ctx, Delete, name, func() error { return s.Store.Delete(ctx, name) })
}

// Open implements cofre.Store.
func (s *Through) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return read(ctx, s, Open, name, func() (io.ReadCloser, error) { return s.Store.Open(ctx, name, offset, length) })
}

// Stat implements cofre.Store.
func (s *Through) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	return read(ctx, s, Stat, name, func() (cofre.StoredObject, error) { return s.Store.Stat(ctx, name) })
}

// List implements cofre.Store: one request, which is the whole list, or none of it.
func (s *Through) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		all, err := read(ctx, s, List, prefix, func() (all []cofre.StoredObject, err error) {
			for o, err := range s.Store.List(ctx, prefix) {
				if err != nil {
					return all, err
				}
				all = append(all, o)
			}
			return all, nil
		})
		if err != nil {
			yield(cofre.StoredObject{}, err)
			return
		}
		for _, o := range all {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// read carries out what has a result besides its error, which is lost with an error. It may still be carried out after it was answered.
func read[T any](ctx context.Context, s *Through, verb Verb, name string, do func() (T, error)) (T, error) {
	var mu sync.Mutex
	var found T
	err := s.Do(ctx, verb, name, func() error {
		got, err := do()
		mu.Lock()
		defer mu.Unlock()
		found = got
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		found = *new(T)
	}
	return found, err
}

// Before is a store that asks fail before each request, and carries it out if that returns nil.
func Before(st cofre.Store, fail func(verb Verb, name string) error) *Through {
	return &Through{st, func(_ context.Context, verb Verb, name string, do func() error) error {
		if err := fail(verb, name); err != nil {
			return err
		}
		return do()
	}}
}
