// Package storagerows reads and sets storage.objects, the table in which Supabase Storage keeps what it knows of objects,
// in the database itself: no request to the service shows the version of an object, or sets its owner.
//
// It knows rows and no buckets. What the columns mean to a backup is said where objects are captured and restored.
// Read this file, then set.go.
package storagerows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
)

// Table is storage.objects in the database that Server names.
type Table struct{ Server postgres.Config }

// ErrNoTable says that the database is another than the storage's. It is a cofre.ErrNotFound.
var ErrNoTable = fmt.Errorf("table storage.objects: %w", cofre.ErrNotFound)

// columnsQuery lists the columns that COPY may name, in order: versions of the service differ in them.
const columnsQuery = `SELECT attname FROM pg_attribute
 WHERE attrelid = 'storage.objects'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 ORDER BY attnum`

// Read hands over the rows written since an instant of the server's clock, of all time if it is zero: the names of the
// columns, and the rows as COPY writes them. An error of the copy is the reader's. It ends when read returns.
//
// Errors: ErrNoTable; those of postgres.Connect and of the server; read's.
//
// Source: PostgreSQL 18, https://www.postgresql.org/docs/18/sql-copy.html#SQL-COPY-FILE-FORMATS (text format).
func (t Table) Read(ctx context.Context, since time.Time, read func(columns []string, rows io.Reader) error) error {
	conn, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	columns, err := Columns(ctx, conn)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, err := conn.PgConn().CopyTo(ctx, w, copySQL(columns, since))
		w.CloseWithError(err)
	}()
	defer func() {
		_ = r.Close() // ends a copy that nobody reads any more
		<-copied
	}()
	return read(columns, r)
}

func copySQL(columns []string, since time.Time) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	where := ""
	if !since.IsZero() {
		where = " WHERE updated_at >= '" + since.UTC().Format("2006-01-02 15:04:05.999999+00") + "'"
	}
	return "COPY (SELECT " + strings.Join(quoted, ", ") + " FROM storage.objects" + where + ") TO STDOUT"
}

// Columns names the columns of the table that COPY may name, in order.
//
// Errors: those of the server.
func Columns(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, columnsQuery)
	if err != nil {
		return nil, err
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the columns of storage.objects: %w", err)
	}
	return columns, nil
}

func (t Table) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, t.Server)
	if err != nil {
		return nil, fmt.Errorf("read storage.objects: %w", err)
	}
	var there bool
	err = conn.QueryRow(ctx, `SELECT to_regclass('storage.objects') IS NOT NULL`).Scan(&there)
	if err == nil && !there {
		err = ErrNoTable
	}
	if err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}
