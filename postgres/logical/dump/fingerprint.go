package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/fingerprint"
	"github.com/trustlayer/cofre/postgres/logical"
)

// readFingerprint stores what the catalogs say in the snapshot, as it comes, as an object that is in no tree yet:
// the capture may begin again.
func (d *dump) readFingerprint(ctx context.Context) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := guard.Run(func() error { return fingerprint.Write(ctx, d.conn, w) })
		_ = w.CloseWithError(err)
		written <- err
	}()
	id, _, err := d.c.Session.Store(ctx, cofre.LayoutStream, r)
	_ = r.CloseWithError(err) // if the store failed, nobody reads on
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = werr
	}
	if isGone(err) {
		return fmt.Errorf("read the catalogs: %w: %w", err, errChanged)
	}
	if err != nil {
		return fmt.Errorf("read the catalogs: %w", err)
	}
	d.catalog = []cofre.ObjectID{id}
	return nil
}

// isGone reports whether the server was asked about an object that the snapshot has and that is dropped by now.
// For some it has a code, for others only what it says of a fault of its own.
func isGone(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return false
	}
	switch server.Code {
	case "42704", "42P01", "42883", "XX000": // undefined object, table or function; internal error: "cache lookup failed for …"
		return true
	}
	return false
}

func (d *dump) putFingerprint(ctx context.Context) error {
	if d.catalog == nil {
		return nil
	}
	if _, err := d.c.Session.Concat(ctx, d.entry(logical.FingerprintFile, -1), d.catalog); err != nil {
		return fmt.Errorf("store the fingerprint: %w", err)
	}
	return nil
}

// printed are the catalogs whose rows the server prints as they are now, whatever the snapshot: with the
// column of the object's oid.
//
// Source: PostgreSQL, src/backend/utils/adt/ruleutils.c, which reads them through the system caches.
var printed = [][2]string{
	{"pg_proc", "oid"},
	{"pg_rewrite", "oid"},
	{"pg_constraint", "oid"},
	{"pg_attrdef", "oid"},
	{"pg_trigger", "oid"},
	{"pg_policy", "oid"},
	{"pg_index", "indexrelid"},
	{"pg_statistic_ext", "oid"},
}

// settled proves that no definition was replaced between the snapshot and the moment when both pg_dump and the
// fingerprint had read it: CREATE OR REPLACE waits for none of our locks, and the two could then disagree.
//
// Errors: errChanged if one was. On the last attempt the fingerprint is given up instead, with a warning.
func (d *dump) settled(ctx context.Context) error {
	var horizon string
	if err := d.conn.QueryRow(ctx, `SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text`).Scan(&horizon); err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	now, err := postgres.Connect(ctx, d.s.config)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, now)
	changed, err := d.replaced(ctx, now, horizon)
	if err != nil || len(changed) == 0 {
		return err
	}
	if !d.last {
		return fmt.Errorf("definitions of %s were replaced: %w", strings.Join(changed, ", "), errChanged)
	}
	d.catalog = nil
	d.warning(cofre.Say("database.definitions_change", "definitions keep being replaced while they are read ({{.catalogs}}): a restore of this point compares less than it could", "catalogs", strings.Join(changed, ", ")))
	return nil
}

// replaced names the catalogs in which a row that the snapshot sees is another one by now.
func (d *dump) replaced(ctx context.Context, now *pgx.Conn, horizon string) ([]string, error) {
	var changed []string
	for _, c := range printed {
		// Written by a transaction that may have been running or to come when the snapshot was taken. 32 bits of a
		// transaction's number are in a row; age compares them as the server does.
		rows, err := now.Query(ctx, fmt.Sprintf(`SELECT %s::oid, xmin::text FROM pg_catalog.%s WHERE pg_catalog.age(xmin) <= pg_catalog.age(($1::numeric %% 4294967296)::text::xid)`, c[1], c[0]), horizon)
		if err != nil {
			return nil, fmt.Errorf("look for changes of %s: %w", c[0], err)
		}
		recent := map[uint32]string{}
		var oid uint32
		var xmin string
		if _, err := pgx.ForEachRow(rows, []any{&oid, &xmin}, func() error { recent[oid] = xmin; return nil }); err != nil {
			return nil, fmt.Errorf("look for changes of %s: %w", c[0], err)
		}
		if len(recent) == 0 {
			continue
		}
		oids := make([]uint32, 0, len(recent))
		for oid := range recent {
			oids = append(oids, oid)
		}
		rows, err = d.conn.Query(ctx, fmt.Sprintf(`SELECT %s::oid, xmin::text FROM pg_catalog.%s WHERE %s = ANY($1::oid[])`, c[1], c[0], c[1]), oids)
		if err != nil {
			return nil, fmt.Errorf("look for changes of %s: %w", c[0], err)
		}
		other := false
		if _, err := pgx.ForEachRow(rows, []any{&oid, &xmin}, func() error { other = other || recent[oid] != xmin; return nil }); err != nil {
			return nil, fmt.Errorf("look for changes of %s: %w", c[0], err)
		}
		if other {
			changed = append(changed, c[0])
		}
	}
	return changed, nil
}
