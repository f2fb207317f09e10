package repository

import (
	"context"
	"time"

	"github.com/trustlayer/cofre"
)

// FlushEvery changes how often a capture begun from now on is flushed.
func FlushEvery(r *Repository, every time.Duration) { r.flushEvery = every }

// AwaitFlush returns when everything that the session has stored is flushed.
func AwaitFlush(s cofre.Session) {
	if err := s.(*session).writer.Flush(context.Background()); err != nil {
		panic(err)
	}
}

// WithStore puts a store in the place of the one that a repository writes to.
func WithStore(r *Repository, wrap func(cofre.Store) cofre.Store) {
	s := wrap(r.store)
	r.store, r.notes, r.blobs.Store, r.blobs.Seals.Store = s, s, s, s
}
