// Package bounded reads small objects of a store whole, and none that is not small: whoever may write to the store could have made it.
package bounded

import (
	"context"
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
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: larger than %d bytes: %w", name, limit, cofre.ErrCorrupt)
	}
	return b, err
}
