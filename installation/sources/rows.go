package sources

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/storagerows"
)

// Rows gives a capture and a restore of objects the table in which Supabase Storage keeps what it knows of them.
type Rows struct{ table storagerows.Table }

var (
	_ bucket.Recent    = Rows{}
	_ bucket.Inventory = Rows{}
	_ restoring.FixUp  = Rows{}
)

// RowsOf returns the table behind the configured storage, false if no database of it is configured.
//
// Errors: those of ServerOf.
func RowsOf(cfg *config.Config) (Rows, bool, error) {
	if cfg.Storage == nil || cfg.Storage.Supabase == nil || cfg.Database == nil {
		return Rows{}, false, nil
	}
	server, err := ServerOf(cfg.Database.URL, cfg.Database.Password)
	return Rows{storagerows.Table{Server: server}}, err == nil, err
}

// Rows yields every row. Its first error is cofre.ErrNotFound if the database has no such table.
func (s Rows) Rows(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return s.Since(ctx, time.Time{})
}

// Since yields the rows that were written since t, by the server's clock.
func (s Rows) Since(ctx context.Context, t time.Time) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		enough := false
		err := s.table.Read(ctx, t, func(columns []string, rows io.Reader) error {
			for o, err := range supabase.CopyRows(rows, columns) {
				if enough = !yield(o, err); enough {
					break
				}
			}
			return nil
		})
		if err != nil && !enough {
			yield(bucket.Object{}, err)
		}
	}
}

// FixUp sets owners and times. In another database than the storage's there is nothing to set.
//
// Errors: those of the database and of its rows.
func (s Rows) FixUp(ctx context.Context, objects iter.Seq2[bucket.Object, error]) (restoring.FixedUp, error) {
	done, err := s.table.Set(ctx, rowsOf(objects))
	if errors.Is(err, storagerows.ErrNoTable) {
		err = nil
	}
	return restoring.FixedUp{Rows: done.Rows, Left: done.Left}, err
}

// rowsOf is what is set of objects in their rows. An object that was captured without its row is passed over.
func rowsOf(objects iter.Seq2[bucket.Object, error]) iter.Seq2[storagerows.Row, error] {
	return func(yield func(storagerows.Row, error) bool) {
		for o, err := range objects {
			if err == nil && o.Row == nil {
				continue
			}
			row := storagerows.Row{Bucket: o.Bucket, Name: o.Name}
			if err == nil {
				row.Owner, row.OwnerID, row.LastModified = o.Row.Owner, o.Row.OwnerID, o.Row.LastModified
				row.CreatedAt, row.UpdatedAt = o.Row.CreatedAt, o.Row.UpdatedAt
			}
			if !yield(row, err) {
				return
			}
		}
	}
}
