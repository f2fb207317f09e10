package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// expire finds, or removes, the WAL that nothing kept and nothing promised needs: it keeps what the base backups need, without those of the points that go,
// and every moment since the beginning of the promised time. A crash leaves some of it, which the next call finds.
//
// Errors: those of the repository, and of each copy beside what the others have.
func (w WAL) expire(ctx context.Context, since time.Time, goes map[cofre.PointID]bool, remove bool) (*expiry.WAL, error) {
	e := &expiry.WAL{Since: since, Systems: []expiry.OfSystem{}, Removed: remove}
	keys := w.keys()
	err := w.each(ctx, func(held []walstore.Holding, backups []recovery.BaseBackup) error {
		backups = slices.DeleteFunc(slices.Clone(backups), func(b recovery.BaseBackup) bool { return goes[b.Point] })
		var errs []error
		for i, h := range held {
			if h.Err != nil {
				errs = append(errs, fmt.Errorf("copies[%d]: %w", i-1, h.Err))
				continue
			}
			if err := wal.Readable(ctx, h.Store, keys.of(ctx, h)); errors.Is(err, cofre.ErrCorrupt) {
				errs = append(errs, err) // histories say what WAL is needed for
				continue
			}
			gone, err := wal.Expire(ctx, h.Store, h.Inventory, backups, since, remove)
			errs = append(errs, err)
			if gone.Objects == 0 {
				continue
			}
			w.tellExpired(h, gone, since, remove)
			of := expiry.OfSystem{System: h.Inventory.SystemID, Segments: gone.Segments, Objects: gone.Objects}
			if i > 0 {
				of.Copy = h.Repository.URL
			}
			e.Systems = append(e.Systems, of)
			e.Segments += gone.Segments
		}
		return errors.Join(errs...)
	})
	return e, err
}

// tellExpired tells what of one repository may go, or, also if it was not all that may, what is gone.
func (w WAL) tellExpired(h walstore.Holding, gone wal.Expired, since time.Time, removed bool) {
	of := cofre.WALExpiry{
		System: h.Inventory.SystemID, Repository: h.Repository.URL, Since: since.UTC(),
		Segments: gone.Segments, Objects: gone.Objects, First: gone.First, Last: gone.Last,
	}
	if removed {
		cofre.Tell(w.in.observer, cofre.WALExpired{WALExpiry: of})
		return
	}
	cofre.Tell(w.in.observer, cofre.WALExpiryDecided{WALExpiry: of})
}

// promisedSince is where the window that the configuration promises begins: zero promises every moment kept.
func (w WAL) promisedSince() time.Time {
	c := w.in.cfg.Cluster
	if c == nil || c.Keep.Days == 0 {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, -c.Keep.Days)
}

// aboutCluster is what a run of WAL is about.
func aboutCluster() observe.About {
	return observe.About{Of: cofre.SourceID{Kind: cofre.KindCluster, Name: sources.ClusterName}}
}
