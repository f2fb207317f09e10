package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Moments finds the first moment of each window of a status that can be typed. That a base backup has ended by then is not enough: the
// target must lie before the end of a transaction that is archived. What cannot be found is in the window.
func (f *Fetcher) Moments(ctx context.Context, s *wal.Status, inv *wal.Inventory, backups []recovery.BaseBackup) {
	backups = slices.DeleteFunc(slices.Clone(backups), func(b recovery.BaseBackup) bool { return b.SystemID != s.System })
	scan, err := f.Scan(ctx, inv), f.Unusable
	if len(f.Copies) > 0 && errors.Is(err, cofre.ErrCorrupt) {
		err = nil // they are read in its place
	}
	for i := range s.Windows {
		win := &s.Windows[i]
		failed := err
		// As it is printed, and if that lies behind the last transaction, as exactly as PostgreSQL counts.
		for _, at := range []time.Time{ceil(win.FromAt, time.Second), ceil(win.FromAt, time.Microsecond)} {
			if err != nil {
				break
			}
			if _, failed = recovery.Recover(cofre.RecoveryTarget{At: at, Timeline: win.Timeline}, backups, &inv.WAL, scan); failed == nil {
				win.Moment = at
				break
			}
		}
		if failed != nil && err == nil {
			win.NoMoment, win.Unplanned = cofre.OneLine(failed), failed
		}
	}
}

// ceil is the first whole unit that is not before t: typed as it is printed, it must not lie before it.
func ceil(t time.Time, unit time.Duration) time.Time {
	if s := t.Truncate(unit); s.Before(t) {
		return s.Add(unit)
	}
	return t
}
