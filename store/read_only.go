package store

import (
	"context"
	"fmt"
	"io"

	"github.com/trustlayer/cofre"
)

// readOnly refuses to write, so that a command which only looks cannot change what it looks at.
type readOnly struct{ cofre.Store }

func (s *readOnly) Create(_ context.Context, name string, _ io.Reader, _ int64) error {
	return fmt.Errorf("create %s in %s: opened to read: %w", name, s.URL(), cofre.ErrReadOnly)
}

func (s *readOnly) Replace(_ context.Context, name string, _ io.Reader, _ int64) error {
	return fmt.Errorf("replace %s in %s: opened to read: %w", name, s.URL(), cofre.ErrReadOnly)
}

func (s *readOnly) Delete(_ context.Context, name string) error {
	return fmt.Errorf("delete %s in %s: opened to read: %w", name, s.URL(), cofre.ErrReadOnly)
}
