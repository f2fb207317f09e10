package logical

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// freezeFrom is the size from which a table's rows are loaded frozen. Below, the file that TRUNCATE makes anew
// costs more than a later vacuum saves. Bytes.
const freezeFrom = 1 << 20

// tableLoad is one table's rows on their way from the repository into a table.
type tableLoad struct {
	path    string // in the tree
	table   string // quoted
	columns []string
	facts   *TableFacts // nil where nothing was recorded
	fresh   bool        // the table was made by this restore and is empty
	entry   *pgarchive.Entry
	whole   bool // never loaded in parts: the table takes rows of others too
	parted  bool // loaded in parts, of which some may be in when another fails
	// encoding is that of the rows, where it is not the session's.
	encoding string
}

func (l *tableLoad) bytes() int64 {
	if l.facts == nil {
		return 0
	}
	return l.facts.Bytes
}

// copy loads one table in one transaction and compares what passed with what was recorded and with what the
// server took.
//
// Errors: cofre.ErrCorrupt where they differ.
func (l tableLoad) copy(ctx context.Context, conn *pgx.Conn, tree cofre.Tree, p *progress) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.copyInto(ctx, tx, tree, p) })
}

func (l tableLoad) copyStatement() string {
	sql := "COPY " + l.table
	if len(l.columns) > 0 {
		sql += " (" + list("", l.columns) + ")"
	}
	sql += " FROM STDIN"
	if l.encoding != "" {
		sql += " WITH (ENCODING " + literal(l.encoding) + ")"
	}
	return sql
}

func (l tableLoad) copyInto(ctx context.Context, tx pgx.Tx, tree cofre.Tree, p *progress) (err error) {
	body, err := openRows(ctx, tree, l.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	var taken int64
	if body.size > 0 {
		sql := l.copyStatement()
		if l.fresh && body.size >= freezeFrom {
			// Rows may be stored frozen only in a file that this transaction made.
			if _, err := tx.Exec(ctx, "TRUNCATE ONLY "+l.table); err != nil {
				return err
			}
			sql += " WITH (FREEZE)"
		}
		tag, err := tx.Conn().PgConn().CopyFrom(ctx, p.reader(body, l.table), sql)
		if err != nil {
			// The server repeats what the reader said; what the reader knows is told.
			if body.err != nil {
				return body.err
			}
			return err
		}
		taken = tag.RowsAffected()
	}
	if err := body.finish(); err != nil {
		return err
	}
	return l.verify(&body.tally, taken)
}

func (l tableLoad) verify(passed *rowTally, taken int64) error {
	if taken != passed.rows {
		return fmt.Errorf("%d rows were sent and the server took %d: %w", passed.rows, taken, cofre.ErrUnproven)
	}
	if l.facts == nil {
		return nil
	}
	if passed.rows != l.facts.Rows {
		return fmt.Errorf("%d rows in the repository, %d were captured: %w", passed.rows, l.facts.Rows, cofre.ErrCorrupt)
	}
	if l.facts.Checksum != "" && passed.checksum() != l.facts.Checksum {
		return fmt.Errorf("the rows in the repository have checksum %s, those captured had %s: %w", passed.checksum(), l.facts.Checksum, cofre.ErrCorrupt)
	}
	return nil
}

// rowReader reads the COPY text of a table out of the repository, without its end marker, and counts it.
type rowReader struct {
	src   io.ReadSeekCloser
	left  int64
	size  int64 // without the end marker
	tally rowTally
	err   error
}

func openRows(ctx context.Context, tree cofre.Tree, path string) (*rowReader, error) {
	e, err := tree.Stat(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if e.Size < int64(len(endMarker)) {
		return nil, fmt.Errorf("open %s: %d bytes are no rows of a table: %w", path, e.Size, cofre.ErrCorrupt)
	}
	src, err := tree.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	size := e.Size - int64(len(endMarker))
	return &rowReader{src: src, left: size, size: size}, nil
}

func (r *rowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.src.Read(p)
	r.left -= int64(n)
	_, _ = r.tally.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		err = fmt.Errorf("the rows end %d bytes early: %w", r.left, cofre.ErrCorrupt)
	case errors.Is(err, io.EOF):
		err = nil // the next call says so
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// finish reads the end marker, once all rows have been read.
func (r *rowReader) finish() error {
	if err := r.tally.end(); err != nil {
		return fmt.Errorf("%v: %w", err, cofre.ErrCorrupt)
	}
	return endsWell(r.src)
}

// endsWell reads the end marker.
func endsWell(r io.Reader) error {
	tail, err := io.ReadAll(io.LimitReader(r, int64(len(endMarker))+1))
	if err != nil {
		return err
	}
	if string(tail) != endMarker {
		return fmt.Errorf("the rows do not end with the end marker: %w", cofre.ErrCorrupt)
	}
	return nil
}

func (r *rowReader) Close() error { return r.src.Close() }

// connectForLoad opens a session that takes rows as pg_dump wrote them, without firing triggers where the role
// may ask for that.
func connectForLoad(ctx context.Context, c postgres.Config, encoding string) (*pgx.Conn, error) {
	// Durable all the same: the rename is a commit that waits for all WAL before it.
	conn, err := connect(ctx, c, map[string]string{"synchronous_commit": "off"})
	if err != nil {
		return nil, err
	}
	if err := setEncoding(ctx, conn, encoding); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	if _, err := replicaRole(ctx, conn); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}

// replicaRole makes the session one in which ordinary triggers and foreign keys do not fire, and reports
// whether the role was permitted to.
func replicaRole(ctx context.Context, conn *pgx.Conn) (bool, error) {
	_, err := conn.Exec(ctx, "SET session_replication_role = replica")
	if isDenied(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set session_replication_role: %w", err)
	}
	return true, nil
}
