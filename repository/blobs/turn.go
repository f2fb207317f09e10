package blobs

import (
	"context"
	"runtime"
)

// Turns limits how many pieces are decrypted and decompressed at once to what there are processors for. Many more
// are fetched at once, which costs waiting and little memory; but the library keeps its buffers of 8 MiB for as many
// decryptions as there are processors and makes a new one, zeroed by the kernel, for each beyond: more than half of
// what a restore with 32 pieces in flight did.
type Turns chan struct{}

// NewTurns are as many as there are processors.
func NewTurns() Turns { return make(Turns, runtime.GOMAXPROCS(0)) }

type turnKey struct{}

// turn is that of one piece, taken when its bytes have been fetched.
type turn struct {
	of    Turns
	taken bool
}

// Begin returns the context to read a piece with and what is to be called when it was read.
func (t Turns) Begin(ctx context.Context) (context.Context, func()) {
	my := &turn{of: t}
	return context.WithValue(ctx, turnKey{}, my), func() {
		if my.taken {
			<-my.of
		}
	}
}

// takeTurn waits until whoever reads with ctx may compute. Without begin nobody waits.
func takeTurn(ctx context.Context) error {
	my, ok := ctx.Value(turnKey{}).(*turn)
	if !ok || my.taken {
		return nil
	}
	select {
	case my.of <- struct{}{}:
		my.taken = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
