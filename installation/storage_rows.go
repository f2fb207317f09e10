package installation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres"
)

// storageRows reads and sets storage.objects, the table in which Supabase Storage keeps what it knows of objects.
type storageRows struct{ server postgres.Config }

var (
	_ bucket.Recent    = storageRows{}
	_ bucket.Inventory = storageRows{}
	_ bucket.FixUp     = storageRows{}
)

// storageRowsOf returns the table behind the configured storage, false where no database of it is configured.
func storageRowsOf(cfg *config.Config) (storageRows, bool, error) {
	if cfg.Storage == nil || cfg.Storage.Supabase == nil || cfg.Database == nil {
		return storageRows{}, false, nil
	}
	server, err := serverOf(cfg.Database.URL, cfg.Database.Password)
	return storageRows{server}, err == nil, err
}

// Rows yields every row. Its first error is cofre.ErrNotFound where the database has no such table.
func (s storageRows) Rows(ctx context.Context) iter.Seq2[bucket.Object, error] {
	return s.rows(ctx, "")
}

// Since yields the rows that were written since t, by the server's clock.
func (s storageRows) Since(ctx context.Context, t time.Time) iter.Seq2[bucket.Object, error] {
	return s.rows(ctx, "WHERE updated_at >= '"+t.UTC().Format("2006-01-02 15:04:05.999999+00")+"'")
}

func (s storageRows) rows(ctx context.Context, where string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		conn, err := s.connect(ctx)
		if err != nil {
			yield(bucket.Object{}, err)
			return
		}
		defer postgres.Close(ctx, conn)
		rows, err := conn.Query(ctx, bucket.ColumnsQuery)
		if err != nil {
			yield(bucket.Object{}, err)
			return
		}
		columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			yield(bucket.Object{}, fmt.Errorf("read the columns of storage.objects: %w", err))
			return
		}
		quoted := make([]string, len(columns))
		for i, c := range columns {
			quoted[i] = pgx.Identifier{c}.Sanitize()
		}
		r, w := io.Pipe()
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, err := conn.PgConn().CopyTo(ctx, w, "COPY (SELECT "+strings.Join(quoted, ", ")+" FROM storage.objects "+where+") TO STDOUT")
			w.CloseWithError(err)
		}()
		defer func() {
			_ = r.Close() // ends a copy that nobody reads any more
			<-copied
		}()
		for o, err := range bucket.CopyRows(r, columns) {
			if !yield(o, err) {
				return
			}
		}
	}
}

func (s storageRows) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, s.server)
	if err != nil {
		return nil, fmt.Errorf("read storage.objects: %w", err)
	}
	var there bool
	err = conn.QueryRow(ctx, `SELECT to_regclass('storage.objects') IS NOT NULL`).Scan(&there)
	if err == nil && !there {
		err = fmt.Errorf("table storage.objects: %w", cofre.ErrNotFound)
	}
	if err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}

// insufficientPrivilege is PostgreSQL's SQLSTATE for a right that is missing.
const insufficientPrivilege = "42501"

// FixUp sets owners and times, in one transaction. A row that cannot be set is named, and so are rows whose updated_at
// a trigger set because this role may not keep it from running.
func (s storageRows) FixUp(ctx context.Context, objects iter.Seq2[bucket.Object, error]) (bucket.FixedUp, error) {
	var f fixing
	conn, err := s.connect(ctx)
	if errors.Is(err, cofre.ErrNotFound) {
		return f.done, nil // another database than the storage's
	}
	if err != nil {
		return f.done, err
	}
	defer postgres.Close(ctx, conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, bucket.FixUpSetting)
			return err
		})
		var refused *pgconn.PgError
		if err != nil && !(errors.As(err, &refused) && refused.Code == insufficientPrivilege) {
			return err
		}
		for batch, err := range bucket.FixUpBatches(objects) {
			if err != nil {
				return err
			}
			if err := f.set(ctx, tx, batch); err != nil {
				return err
			}
		}
		return nil
	})
	if f.touched > 0 {
		f.leave(fmt.Sprintf("updated_at of %d rows of storage.objects", f.touched), "as captured", "the time of the restore: this role may not set session_replication_role")
	}
	return f.done, err
}

// fixing is one FixUp under way.
type fixing struct {
	done    bucket.FixedUp
	touched int // rows whose updated_at is another
}

// mostLeft bounds what is named.
const mostLeft = 100

func (f *fixing) leave(what, want, got string) {
	if len(f.done.Left) < mostLeft {
		f.done.Left = append(f.done.Left, cofre.Checked{What: what, Want: want, Got: got})
	}
}

// set sets a batch, or, if the server refuses it, each of its rows.
func (f *fixing) set(ctx context.Context, tx pgx.Tx, batch bucket.FixUpBatch) error {
	err := f.setAll(ctx, tx, batch)
	var refused *pgconn.PgError
	if err == nil || !errors.As(err, &refused) {
		return err
	}
	if len(batch) == 1 {
		f.leave("row of object "+batch.Paths()[0], "owner and times as captured", refused.Message)
		return nil
	}
	for _, one := range batch.Singly() {
		if err := f.set(ctx, tx, one); err != nil {
			return err
		}
	}
	return nil
}

func (f *fixing) setAll(ctx context.Context, tx pgx.Tx, batch bucket.FixUpBatch) error {
	param, err := batch.JSON()
	if err != nil {
		return err
	}
	unset := map[string]bool{}
	for _, p := range batch.Paths() {
		unset[p] = true
	}
	touched := 0
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, bucket.FixUpSQL, param)
		if err != nil {
			return err
		}
		var id, name string
		var same, untouched bool
		_, err = pgx.ForEachRow(rows, []any{&id, &name, &same, &untouched}, func() error {
			if same {
				delete(unset, id+"/"+name)
			}
			if !untouched {
				touched++
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	f.touched += touched
	f.done.Rows += int64(len(batch) - len(unset))
	for _, p := range slices.Sorted(maps.Keys(unset)) {
		f.leave("row of object "+p, "owner and times as captured", "not set, or set otherwise by the server")
	}
	return nil
}
