package logical

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// freezeFrom is the size from which a table's rows are loaded frozen. Below, the file that TRUNCATE makes anew
// costs more than a later vacuum saves. Bytes.
const freezeFrom = 1 << 20

// TableLoad is one table's rows on their way from the repository into a table.
type TableLoad struct {
	Path    string // in the tree
	Table   string // quoted
	Columns []string
	Facts   *TableFacts  // nil if nothing was recorded
	Key     *rowhash.Key // of the component
	Fresh   bool         // the table was made by this restore and is empty
	Entry   *pgarchive.Entry
	Whole   bool // never loaded in parts: the table takes rows of others too
	Parted  bool // loaded in parts, of which some may be in when another fails
	// encoding is that of the rows, if it is not the session's.
	Encoding string
}

// Bytes is how many bytes of rows were captured, 0 if that is not known.
func (l *TableLoad) Bytes() int64 {
	if l.Facts == nil {
		return 0
	}
	return l.Facts.Bytes
}

// Copy loads one table in one transaction and compares what passed with what was recorded and with what the
// server took.
//
// Errors: cofre.ErrCorrupt if they differ.
func (l TableLoad) Copy(ctx context.Context, conn *pgx.Conn, tree cofre.Tree, p *Progress) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.CopyInto(ctx, tx, tree, p) })
}

// CopyStatement is the COPY that takes the rows.
func (l TableLoad) CopyStatement() string {
	sql := "COPY " + l.Table
	if len(l.Columns) > 0 {
		sql += " (" + ColumnList("", l.Columns) + ")"
	}
	sql += " FROM STDIN"
	if l.Encoding != "" {
		sql += " WITH (ENCODING " + Literal(l.Encoding) + ")"
	}
	return sql
}

// CopyInto loads one table within a transaction, and compares as Copy does.
//
// Errors: cofre.ErrCorrupt if the repository does not hold what was captured; cofre.ErrUnproven if the server took another number of
// rows; *pgconn.PgError.
func (l TableLoad) CopyInto(ctx context.Context, tx pgx.Tx, tree cofre.Tree, p *Progress) (err error) {
	body, err := OpenRows(ctx, tree, l.Path, l.Key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	var taken int64
	if body.Size > 0 {
		sql := l.CopyStatement()
		if l.Fresh && body.Size >= freezeFrom {
			// Rows may be stored frozen only in a file that this transaction made.
			if _, err := tx.Exec(ctx, "TRUNCATE ONLY "+l.Table); err != nil {
				return err
			}
			sql += " WITH (FREEZE)"
		}
		tag, err := tx.Conn().PgConn().CopyFrom(ctx, p.Reader(body, l.Table), sql)
		if err != nil {
			// The server repeats what the reader said; what the reader knows is told.
			if body.Err != nil {
				return body.Err
			}
			return err
		}
		taken = tag.RowsAffected()
	}
	if err := body.Finish(); err != nil {
		return err
	}
	return l.Verify(&body.Tally, taken)
}

// Verify compares the rows that passed, and how many the server took, with what was captured.
//
// Errors: cofre.ErrUnproven, cofre.ErrCorrupt.
func (l TableLoad) Verify(passed *Tally, taken int64) error {
	if taken != passed.Rows {
		return fmt.Errorf("%d rows were sent and the server took %d: %w", passed.Rows, taken, cofre.ErrUnproven)
	}
	if l.Facts == nil {
		return nil
	}
	if passed.Rows != l.Facts.Rows {
		return fmt.Errorf("%d rows in the repository, %d were captured: %w", passed.Rows, l.Facts.Rows, cofre.ErrCorrupt)
	}
	if !l.Facts.RowSum.IsZero() && passed.Sum() != l.Facts.RowSum {
		return fmt.Errorf("the rows in the repository have checksum %s, those captured had %s: %w", passed.Sum(), l.Facts.RowSum, cofre.ErrCorrupt)
	}
	return nil
}

// RowReader reads the COPY text of a table out of the repository, without its end marker, and counts it.
type RowReader struct {
	Source io.ReadSeekCloser
	left   int64
	Size   int64 // without the end marker
	Tally  Tally
	Err    error
}

// OpenRows opens the rows of a table, to be summed under the key of their component. The caller closes it.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if there is no room for the end marker.
func OpenRows(ctx context.Context, tree cofre.Tree, path string, key *rowhash.Key) (*RowReader, error) {
	e, err := tree.Stat(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if e.Size < int64(len(EndMarker)) {
		return nil, fmt.Errorf("open %s: %d bytes are no rows of a table: %w", path, e.Size, cofre.ErrCorrupt)
	}
	src, err := tree.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	size := e.Size - int64(len(EndMarker))
	return &RowReader{Source: src, left: size, Size: size, Tally: Tally{Key: key}}, nil
}

// Read yields the rows, without the end marker.
//
// Errors: cofre.ErrCorrupt if they end early, or are not what was stored; Err keeps it.
func (r *RowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.Source.Read(p)
	r.left -= int64(n)
	_, _ = r.Tally.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		err = fmt.Errorf("the rows end %d bytes early: %w", r.left, cofre.ErrCorrupt)
	case errors.Is(err, io.EOF):
		err = nil // the next call says so
	}
	if err != nil {
		r.Err = err
	}
	return n, err
}

// Finish reads the end marker, once all rows have been read.
//
// Errors: cofre.ErrCorrupt if the last row does not end; those of EndsWell.
func (r *RowReader) Finish() error {
	if err := r.Tally.End(); err != nil {
		return fmt.Errorf("%v: %w", err, cofre.ErrCorrupt)
	}
	return EndsWell(r.Source)
}

// EndsWell reads the end marker.
//
// Errors: cofre.ErrCorrupt if it is not there, or something follows it; those of r.
func EndsWell(r io.Reader) error {
	tail, err := io.ReadAll(io.LimitReader(r, int64(len(EndMarker))+1))
	if err != nil {
		return err
	}
	if string(tail) != EndMarker {
		return fmt.Errorf("the rows do not end with the end marker: %w", cofre.ErrCorrupt)
	}
	return nil
}

// Close gives the file back.
//
// Errors: of closing it.
func (r *RowReader) Close() error { return r.Source.Close() }

// ConnectForLoad opens a session that takes rows as pg_dump wrote them, without firing triggers if the role
// may ask for that.
//
// Errors: those of Connect, SetEncoding and ReplicaRole.
func ConnectForLoad(ctx context.Context, c postgres.Config, encoding string) (*pgx.Conn, error) {
	// Durable all the same: the rename is a commit that waits for all WAL before it.
	conn, err := Connect(ctx, c, map[string]string{"synchronous_commit": "off"})
	if err != nil {
		return nil, err
	}
	if err := SetEncoding(ctx, conn, encoding); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	if _, err := ReplicaRole(ctx, conn); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}

// ReplicaRole makes the session one in which ordinary triggers and foreign keys do not fire, and reports
// whether the role was permitted to.
//
// Errors: of the connection, and of the server; not that the role is not permitted to.
func ReplicaRole(ctx context.Context, conn *pgx.Conn) (bool, error) {
	_, err := conn.Exec(ctx, "SET session_replication_role = replica")
	if IsDenied(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set session_replication_role: %w", err)
	}
	return true, nil
}
