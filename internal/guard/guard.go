// Package guard makes an error of a panic, so that a bug in reading one source is not the end of the others.
package guard

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Run runs f.
//
// Errors: that of f; if it panics, what it panicked with, and the line.
func Run(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: %v, %s", p, thrower(debug.Stack()))
		}
	}()
	return f()
}

// Group is an errgroup.Group whose goroutines are guarded: the panic of one is its error.
type Group struct{ *errgroup.Group }

// Go runs f in a goroutine, as errgroup.Group does.
func (g *Group) Go(f func() error) { g.Group.Go(func() error { return Run(f) }) }

// WithContext returns a group, and a context that ends with its first error or when it has been waited for.
func WithContext(ctx context.Context) (*Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	return &Group{g}, ctx
}

// thrower is the line of a stack that panicked: the one after the runtime's own.
func thrower(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "\npanic(")
	lines := strings.SplitN(after, "\n", 5)
	if len(lines) < 4 {
		return "at an unknown place"
	}
	at, _, _ := strings.Cut(strings.TrimSpace(lines[3]), " +0x")
	return "at " + path.Base(path.Dir(at)) + "/" + path.Base(at)
}
