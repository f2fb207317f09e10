// Package bounded reads whole what is small, and nothing that is not: whoever may write to a store, or answers as a server, could have made it.
package bounded

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/trustlayer/cofre"
)

// Read returns the bytes of an object, of which there may be limit.
//
// Errors: cofre.ErrCorrupt if there are more, with the first of them; those of the store.
func Read(ctx context.Context, s cofre.Store, name string, limit int64) ([]byte, error) {
	r, err := s.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was read
	b, err := All(r, limit)
	if errors.Is(err, errLarger) {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return b, err
}

// List bounds what a component says of itself in one file: a line of some hundred bytes for each of a few million tables, files or objects.
const List = 1 << 30

var errLarger = fmt.Errorf("larger than it can be: %w", cofre.ErrCorrupt)

// All returns what r yields, of which there may be limit.
//
// Errors: cofre.ErrCorrupt if there is more, with the first of it; those of r.
func All(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%w, more than %d bytes", errLarger, limit)
	}
	return b, err
}
