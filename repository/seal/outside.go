package seal

import (
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/host"
)

// IsOutside reports whether an error says nothing about what is stored: the store cannot be asked, or nobody
// wants the answer any more.
func IsOutside(err error) bool {
	if host.Exhausted(err) {
		return true
	}
	for _, c := range []error{context.Canceled, context.DeadlineExceeded, cofre.ErrUnreachable, cofre.ErrDenied, cofre.ErrNoRepo} {
		if errors.Is(err, c) {
			return true
		}
	}
	return false
}
