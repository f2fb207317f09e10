package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/guard"
)

// TestGroup: the panic of one goroutine is the error of the group, and ends the others.
func TestGroup(t *testing.T) {
	g, ctx := guard.WithContext(t.Context())
	g.SetLimit(2)
	g.Go(func() error {
		<-ctx.Done()
		return ctx.Err()
	})
	g.Go(func() error {
		panic("none")
	})
	err := g.Wait()
	if err == nil || !strings.Contains(err.Error(), "internal error: none, at guard/guard_test.go:2") {
		t.Errorf("the group ended with %v", err)
	}
	if !errors.Is(context.Cause(ctx), err) {
		t.Errorf("the others were ended with %v", context.Cause(ctx))
	}
}
