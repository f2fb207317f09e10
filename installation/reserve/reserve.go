// Package reserve keeps some room in a folder for the day on which its disk is full: to let recovery points go, and to give their bytes back, something is written first.
package reserve

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
)

const (
	// Object is what holds the room.
	Object = "cofre/reserve"
	// Size is what an expiry and a pruning write before they free anything: a lease, entries of the journal, the catalog.
	Size = 4 << 20
	// ample is how much must be free for the room to be taken.
	ample = 16 * Size
	// least is the smallest room that is of use.
	least = Size / 8
)

// Do does it with the store of a repository. That there is no room stands in the way of nothing.
func Do(ctx context.Context, r config.Repository, do func(context.Context, cofre.Store) error) {
	if st, err := walstore.Open(ctx, r); err == nil && ctx.Err() == nil {
		_ = do(ctx, st)
	}
}

// Give gives the room to whoever frees space now, if there is hardly any other. Where nobody says how much is free, as on S3, there is none.
//
// Errors: those of the store.
func Give(ctx context.Context, st cofre.Store) error {
	free, err := st.Free(ctx)
	if err != nil || free < 0 || free >= Size {
		return err
	}
	if err := st.Delete(ctx, Object); err != nil && !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	return nil
}

// After is what a run of some kind does in the end. A backup takes the room if there is much more; whoever was given it takes most of what is left of it, or of what came
// free, before anybody else does.
//
// Errors, of that: those of the store.
func After(kind cofre.RunKind) func(context.Context, cofre.Store) error {
	return func(ctx context.Context, st cofre.Store) error {
		free, err := st.Free(ctx)
		if err != nil {
			return err
		}
		some := min(Size, free/4*3)
		switch {
		case kind == cofre.RunBackup && free >= ample:
			return take(ctx, st, Size)
		case (kind == cofre.RunExpire || kind == cofre.RunPrune) && some >= least:
			return take(ctx, st, some)
		}
		return nil
	}
}

func take(ctx context.Context, st cofre.Store, size int64) error {
	there, err := st.Stat(ctx, Object)
	if err == nil && there.Size >= size {
		return nil
	}
	if err == nil {
		err = st.Delete(ctx, Object)
	}
	if err != nil && !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	room := make([]byte, size)
	_, _ = rand.Read(room) // what can be compressed takes no room on some disks
	if err := st.Create(ctx, Object, bytes.NewReader(room), size); err != nil && !errors.Is(err, cofre.ErrExists) {
		return err
	}
	return nil
}
