package logical

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres"
)

// leastRead is the least that is worth a part of its own when a table is read back in parts. Bytes.
const leastRead = 32 << 20

// readPart is a stretch of a table's pages, or all of a table.
type readPart struct {
	table  Loaded
	where  string // which rows: empty for all
	shared *sharedTally
}

// sharedTally adds up what the parts of one table held, all of them as one snapshot has it.
type sharedTally struct {
	snapshot string
	mu       sync.Mutex
	left     int
	tally    Tally
}

// split cuts the tables that alone would keep one worker longer than all others together need. Their parts are read in one snapshot, which
// lasts until end is called.
func (b *ReadBack) split(ctx context.Context, tables []Loaded) (parts []readPart, end func(), err error) {
	var total int64
	for _, t := range tables {
		total += t.Facts.Bytes
	}
	share := total / int64(max(b.Jobs, 1))
	var whole []readPart
	var leader *pgx.Conn
	end = func() {
		if leader != nil {
			_ = postgres.Close(ctx, leader) // it has read and nothing else
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	var snapshot string
	for _, t := range tables {
		n := t.Facts.Bytes / max(leastRead, share/4)
		if !b.Sums || b.Jobs < 2 || t.Facts.Bytes <= share+share/2 || n < 2 || t.Config || !strings.HasPrefix(t.from, "ONLY ") {
			whole = append(whole, readPart{table: t})
			continue
		}
		if leader == nil {
			if leader, snapshot, err = b.lead(ctx); err != nil {
				return nil, end, err
			}
		}
		pages, err := pagesOf(ctx, leader, t)
		if err != nil {
			return nil, end, err
		}
		if pages < n {
			whole = append(whole, readPart{table: t})
			continue
		}
		parts = append(parts, t.parts(pages, n, &sharedTally{snapshot: snapshot, left: int(n), tally: Tally{Key: b.Key}})...)
	}
	return append(parts, whole...), end, nil
}

// lead opens the session whose snapshot others share.
func (b *ReadBack) lead(ctx context.Context) (conn *pgx.Conn, snapshot string, err error) {
	if conn, err = b.Open(ctx); err == nil {
		if _, err = conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err == nil {
			err = conn.QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot()").Scan(&snapshot)
		}
	}
	return conn, snapshot, err
}

// pagesOf is how many pages a table has that can be read in parts, and 0 for another: up to version 13 every part would read all
// of it, only a table in heap has pages, and policies that hide rows from its owner are dealt with table by table.
func pagesOf(ctx context.Context, conn *pgx.Conn, t Loaded) (pages int64, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a ON a.oid = c.relam
WHERE c.oid = `+Literal(t.Name)+`::regclass AND c.relkind = 'r' AND NOT c.relforcerowsecurity AND a.amname = 'heap' AND pg_catalog.current_setting('server_version_num')::int >= 140000`).Scan(&pages)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("look at table %s: %w", t.Name, err)
	}
	return pages, err
}

// parts cuts a table at pages: each row is in one part, also those behind what pages counts.
func (t Loaded) parts(pages, n int64, shared *sharedTally) []readPart {
	parts := make([]readPart, n)
	for k := range n {
		var where []string
		if k > 0 {
			where = append(where, fmt.Sprintf("ctid >= '(%d,0)'", pages*k/n))
		}
		if k < n-1 {
			where = append(where, fmt.Sprintf("ctid < '(%d,0)'", pages*(k+1)/n))
		}
		parts[k] = readPart{table: t, where: " WHERE " + strings.Join(where, " AND "), shared: shared}
	}
	return parts
}

// read returns what a table holds when the last of its parts is read, and nil before.
func (p readPart) read(ctx context.Context, conn *pgx.Conn, b *ReadBack) (*Tally, error) {
	if p.shared == nil {
		return b.read(ctx, conn, p.table)
	}
	var tally *Tally
	err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		for _, sql := range []string{"SET TRANSACTION SNAPSHOT " + Literal(p.shared.snapshot), "SET LOCAL enable_seqscan = off"} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("read table %s: %w", p.table.Name, err)
			}
		}
		t := p.table
		t.from += p.where
		tally, err = b.readAs(ctx, tx.Conn(), t)
		return err
	})
	if err != nil {
		return nil, err
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.shared.tally.Merge(tally)
	if p.shared.left--; p.shared.left > 0 {
		return nil, nil
	}
	return &p.shared.tally, nil
}
