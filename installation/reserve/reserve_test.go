package reserve_test

import (
	"context"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/reserve"
	"github.com/trustlayer/cofre/store"
)

// disk is a folder on a disk with so much free.
type disk struct {
	cofre.Store
	free int64
}

func (d *disk) Free(context.Context) (int64, error) { return d.free, nil }

func TestRoomForTheDayOnWhichTheDiskIsFull(t *testing.T) {
	folder, err := store.Open(t.Context(), store.Config{URL: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{folder, 0}
	size := func() int64 {
		o, err := d.Stat(t.Context(), reserve.Object)
		if err != nil {
			return 0
		}
		return o.Size
	}
	for i, c := range []struct {
		free int64
		do   func(context.Context, cofre.Store) error
		want int64
	}{
		{reserve.Size, reserve.After(cofre.RunBackup), 0}, // there is little: the backup needs it more
		{-1, reserve.After(cofre.RunPrune), 0},            // S3
		{64 * reserve.Size, reserve.After(cofre.RunVerify), 0},
		{64 * reserve.Size, reserve.After(cofre.RunBackup), reserve.Size},
		{reserve.Size, reserve.Give, reserve.Size}, // it is not needed
		{0, reserve.Give, 0},
		{0, reserve.Give, 0},
		{reserve.Size / 16, reserve.After(cofre.RunExpire), 0},
		{reserve.Size / 2, reserve.After(cofre.RunExpire), reserve.Size / 8 * 3},
		{64 * reserve.Size, reserve.After(cofre.RunPrune), reserve.Size},
		{-1, reserve.Give, reserve.Size},
	} {
		d.free = c.free
		if err := c.do(t.Context(), d); err != nil || size() != c.want {
			t.Errorf("%d: %d bytes, %v, want %d", i, size(), err, c.want)
		}
	}
}
