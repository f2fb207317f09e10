package installation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// ExpiredWAL is what of one system's WAL is, or would be, removed from one repository.
type ExpiredWAL struct {
	System   cofre.SystemID `json:"system_identifier"`
	Segments int            `json:"segments"`
	Objects  int            `json:"objects"`
	Copy     string         `json:"copy,omitempty"` // empty for the repository itself
}

// WALExpiry is what nothing kept and nothing promised needs.
type WALExpiry struct {
	Since    time.Time // where the window begins that the configuration promises
	Segments int       // of all repositories
	Systems  []ExpiredWAL
	Removed  bool // or only found
}

// ExpireOptions say whether WAL is removed. The zero value removes what is found.
type ExpireOptions struct {
	DryRun bool // removes nothing
	// Confirm is told what was found, if it is anything, before anything is removed. Its error ends the expiry, as it is. Nil confirms.
	Confirm func(*WALExpiry) error
}

// Expire removes the WAL that no base backup in the catalog needs and that is older than the window that the configuration promises: what
// it found, and what has become like it since. It returns what was removed, or found. A crash leaves some of it, which the next call finds.
//
// Errors: cofre.ErrConfig if every moment is promised; that of Confirm; those of the repository, and of each copy beside what the others
// have.
func (w WAL) Expire(ctx context.Context, o ExpireOptions) (_ *WALExpiry, err error) {
	end := w.in.begin(ctx, cofre.RunWALExpire, aboutCluster())
	defer func() { end(err) }()
	since := w.promisedSince()
	if since.IsZero() {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("wal.all_promised", "expire WAL: every moment is promised"), cofre.ErrConfig), cofre.Say("wal.keep_days", "say how far back a moment must be reachable: cluster.keep.days"))
	}
	found, err := w.expire(ctx, since, false)
	if err != nil || o.DryRun || len(found.Systems) == 0 {
		return found, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(found); err != nil {
			return found, err
		}
	}
	w.in.keepJournal(ctx, true) // what is removed is written down as it goes
	return w.expire(ctx, since, true)
}

func (w WAL) expire(ctx context.Context, since time.Time, remove bool) (*WALExpiry, error) {
	e := &WALExpiry{Since: since, Systems: []ExpiredWAL{}, Removed: remove}
	keys := keys{}
	err := w.each(ctx, func(held []holding, backups []recovery.BaseBackup) error {
		var errs []error
		for i, h := range held {
			if h.err != nil {
				errs = append(errs, fmt.Errorf("copies[%d]: %w", i-1, h.err))
				continue
			}
			if err := wal.Readable(ctx, h.store, keys.of(ctx, h)); errors.Is(err, cofre.ErrCorrupt) {
				errs = append(errs, err) // histories say what WAL is needed for
				continue
			}
			gone, err := wal.Expire(ctx, h.store, h.inv, backups, since, remove)
			errs = append(errs, err)
			if gone.Objects == 0 {
				continue
			}
			w.tellExpired(h, gone, since, remove)
			of := ExpiredWAL{System: h.inv.SystemID, Segments: gone.Segments, Objects: gone.Objects}
			if i > 0 {
				of.Copy = h.repository.URL
			}
			e.Systems = append(e.Systems, of)
			e.Segments += gone.Segments
		}
		return errors.Join(errs...)
	})
	return e, err
}

// tellExpired tells what of one repository may go, or, also if it was not all that may, what is gone.
func (w WAL) tellExpired(h holding, gone wal.Expired, since time.Time, removed bool) {
	of := cofre.WALExpiry{
		System: h.inv.SystemID, Repository: h.repository.URL, Since: since.UTC(),
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
	return observe.About{Of: cofre.SourceID{Kind: cofre.KindCluster, Name: clusterName}}
}
