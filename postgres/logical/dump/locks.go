package dump

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// relation is a table as the snapshot shows it.
type relation struct {
	OID        uint32
	Schema     string
	Name       string
	Kind       string // pg_class.relkind: r or p
	Readable   bool
	RowHidden  bool // row-level security would hide rows from the role
	Extension  bool // made by an extension: in the archive only if that registered it
	Unlogged   bool
	Heap       bool
	PrimaryKey []string
	Filter     string // of an extension's configuration table

	bytes  int64 // with its TOAST table, about
	blocks int64

	columns []string // if the database is not in UTF-8
}

func (r relation) String() string { return pgarchive.Quote(r.Schema, r.Name) }

// tablesQuery lists the tables of users and of extensions, with what the capture wants to know of each. The
// rows hidden: a policy applies to the role, which neither owns the table nor may pass by.
const tablesQuery = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text,
       pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       c.relrowsecurity AND pg_catalog.row_security_active(c.oid),
       EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = c.oid AND x.deptype = 'e'),
       c.relpersistence = 'u', coalesce(am.amname = 'heap', false),
       (SELECT pg_catalog.array_agg(a.attname ORDER BY k.i)::text[]
          FROM pg_catalog.pg_index i, pg_catalog.unnest(i.indkey) WITH ORDINALITY k(attnum, i)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
         WHERE i.indrelid = c.oid AND i.indisprimary AND k.i <= i.indnkeyatts),
       coalesce((SELECT e.extcondition[pg_catalog.array_position(e.extconfig, c.oid)]
          FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig) LIMIT 1), '')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// lockBatch is how many tables one LOCK statement names.
const lockBatch = 500

// lockTables takes ACCESS SHARE on every table, which SELECT takes too: it waits only for, and keeps out only,
// what would drop, truncate or rewrite a table. The locks of pg_dump would end with pg_dump.
func (d *dump) lockTables(ctx context.Context) error {
	all, err := logical.Collect(ctx, d.conn, "the tables", tablesQuery, func(r pgx.CollectableRow) (t relation, err error) {
		return t, r.Scan(&t.OID, &t.Schema, &t.Name, &t.Kind, &t.Readable, &t.RowHidden, &t.Extension, &t.Unlogged, &t.Heap, &t.PrimaryKey, &t.Filter)
	})
	if err != nil {
		return err
	}
	d.tables = make(map[uint32]relation, len(all))
	lockable := all[:0:0]
	var denied, hidden []string
	for _, t := range all {
		d.tables[t.OID] = t
		switch {
		case t.Readable:
			lockable = append(lockable, t)
		case !t.Extension:
			denied = append(denied, t.String())
		}
		if t.Readable && t.RowHidden && !t.Extension && t.Kind == "r" {
			hidden = append(hidden, t.String())
		}
	}
	if len(denied) > 0 {
		return cofre.WithHint(fmt.Errorf("role %s may not read %s: %w", d.server.Role.Name, logical.Some(denied), cofre.ErrDenied),
			cofre.Say("database.grants", "cofre doctor --print-grants prints the SQL for a role that may read everything"))
	}
	if len(hidden) > 0 {
		return cofre.WithHint(fmt.Errorf("row-level security hides rows from role %s in %s: %w", d.server.Role.Name, logical.Some(hidden), cofre.ErrDenied),
			cofre.Say("database.bypassrls", "ALTER ROLE {{.role}} BYPASSRLS", "role", pgx.Identifier{d.server.Role.Name}.Sanitize()))
	}
	if _, err := d.conn.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", d.s.o.LockTimeout.Milliseconds())); err != nil {
		return err
	}
	for at := 0; at < len(lockable); at += lockBatch {
		names := make([]string, 0, lockBatch)
		for _, t := range lockable[at:min(at+lockBatch, len(lockable))] {
			names = append(names, "ONLY "+t.String())
		}
		if _, err := d.conn.Exec(ctx, "LOCK TABLE "+strings.Join(names, ", ")+" IN ACCESS SHARE MODE"); err != nil {
			return d.explainLock(ctx, err)
		}
	}
	return d.proveUnchanged(ctx)
}

// proveUnchanged finds the tables that were truncated or rewritten after the snapshot was taken and before the
// lock was. To the snapshot they look empty, though they were not: a dump that went on would lose their rows
// and say nothing. The catalog is read as of the snapshot; the function looks at the present.
func (d *dump) proveUnchanged(ctx context.Context) error {
	changed, err := logical.Collect(ctx, d.conn, "the tables' files", `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND c.relfilenode <> 0
  AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.pg_relation_filenode(c.oid) IS DISTINCT FROM c.relfilenode`,
		pgx.RowTo[string])
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		return cofre.WithHint(fmt.Errorf("table %s: %w", logical.Some(changed), errChanged), cofre.Say("database.rewritten", "run the backup while no table is truncated or rewritten all the time"))
	}
	return nil
}

// explainLock says what a failed LOCK met: a table that is gone, or a session that holds it.
func (d *dump) explainLock(ctx context.Context, err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return fmt.Errorf("lock the tables: %w", err)
	}
	switch server.Code {
	case "42P01", "3F000": // the table, or its schema, was dropped after the snapshot was taken
		return fmt.Errorf("lock the tables: %s: %w", server.Message, errChanged)
	case "55P03":
		return cofre.WithHint(fmt.Errorf("lock the tables: waited %s: %s: %w", d.s.o.LockTimeout, d.lockHolders(ctx), cofre.ErrLocked),
			cofre.Say("database.lock_holder", "let that session finish or end it (SELECT pg_terminate_backend(pid)), or wait longer: --lock-timeout"))
	}
	return fmt.Errorf("lock the tables: %w", err)
}

// lockHolders names the tables of this database that other sessions hold or want exclusively, and these
// sessions. Only such a lock conflicts with reading.
func (d *dump) lockHolders(ctx context.Context) string {
	conn, err := postgres.Connect(ctx, d.s.config)
	if err != nil {
		return "a table is locked"
	}
	defer postgres.Close(ctx, conn)
	holders, err := logical.Collect(ctx, conn, "the locks", `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) || CASE WHEN l.granted THEN ' is locked by' ELSE ' is waited for by' END
       || ' pid ' || l.pid || coalesce(' (' || a.usename || ', since ' || pg_catalog.date_trunc('second', a.xact_start)::text || ': ' || pg_catalog.left(a.query, 100) || ')', '')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY l.granted DESC, 1`, pgx.RowTo[string])
	if err != nil || len(holders) == 0 {
		return "a table was locked, and is no more"
	}
	return logical.Some(holders).Text
}
