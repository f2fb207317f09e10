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
