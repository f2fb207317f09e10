package trouble

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
)

// TestInterruptedIsNotDamaged: whoever interrupts what Kopia reads is not told to look for damage in the repository.
func TestInterruptedIsNotDamaged(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	_, a := blobs.Try(context.WithoutCancel(ctx))
	interrupt(cofre.ErrInterrupted)
	a.Fail(context.Cause(ctx)) // as connect does
	for _, ended := range []error{a.Done(errors.New("what Kopia says of it")), fmt.Errorf("read a blob: %w", context.Cause(ctx))} {
		err := Of("read its format and indexes", ended)
		if !errors.Is(err, cofre.ErrInterrupted) || errors.Is(err, cofre.ErrCorrupt) || cofre.Hint(err) != "" {
			t.Errorf("an interrupted reading said: %v (hint: %s); want ErrInterrupted alone", err, cofre.Hint(err))
		}
	}
	if err := Of("read", errors.New("bytes of nothing")); !errors.Is(err, cofre.ErrCorrupt) || cofre.Hint(err) == "" {
		t.Errorf("what cannot be read said: %v; want ErrCorrupt and where to look", err)
	}
}
