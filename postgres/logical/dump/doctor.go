package dump

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

// oldestMajor is the oldest server that captures are tested with.
const oldestMajor = 13

// Doctor looks at everything that a capture needs, and at what would spoil its promise. A server that cannot be
// reached is a diagnosis, not an error.
//
// Errors: of the connection, once there was one.
func (s *Source) Doctor(ctx context.Context) ([]cofre.Diagnosis, error) {
	x := &examination{s: s}
	conn, err := postgres.Connect(ctx, s.config)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		x.add("database "+s.config.String(), false, err.Error(), cofre.Hint(err))
		return x.found, nil
	}
	defer postgres.Close(ctx, conn)
	if x.server, err = postgres.ReadServer(ctx, conn); err != nil {
		return nil, err
	}
	x.conn = conn
	x.reached()
	x.tools(ctx)
	for _, look := range []func(context.Context) error{x.tables, x.sequences, x.largeObjects, x.locks, x.connections, x.prepared, x.collation} {
		if err := look(ctx); err != nil {
			return x.found, postgres.Explain(fmt.Errorf("examine database %s: %w", s.config.DatabaseName(), err))
		}
	}
	return x.found, nil
}

// examination gathers diagnoses.
type examination struct {
	s      *Source
	conn   *pgx.Conn
	server postgres.Server
	count  int // tables
	found  []cofre.Diagnosis
}

func (x *examination) add(subject string, ok bool, detail, hint string) {
	if ok {
		hint = ""
	}
	x.found = append(x.found, cofre.Diagnosis{Subject: subject, OK: ok, Detail: detail, Hint: hint})
}

func (x *examination) setting(name string) int {
	n, _ := strconv.Atoi(x.server.Settings[name]) // a setting that the role may not see counts as 0
	return n
}

func (x *examination) reached() {
	role := x.server.Role
	detail := fmt.Sprintf("PostgreSQL %s, role %s", x.server.VersionText, role.Name)
	if x.server.InRecovery {
		detail += ", a standby"
	}
	x.add("database "+x.s.config.String(), x.server.Version.Major() >= oldestMajor, detail,
		fmt.Sprintf("PostgreSQL %d is older than what captures are tested with (%d)", x.server.Version.Major(), oldestMajor))
	if role.Superuser {
		x.add("role "+role.Name, true, "a superuser; one that may only read is enough: cofre doctor --print-grants", "")
	}
}

func (x *examination) tools(ctx context.Context) {
	t, err := postgres.FindTools(ctx, x.server.Version)
	if err != nil {
		x.add("pg_dump", false, err.Error(), cofre.Hint(err))
		return
	}
	x.add("pg_dump", true, t.Version.String()+" in "+t.Dir, "")
}

func (x *examination) tables(ctx context.Context) error {
	// As in a capture: what a policy would hide is an error there.
	if _, err := x.conn.Exec(ctx, "SET row_security = off"); err != nil {
		return err
	}
	all, err := logical.Collect(ctx, x.conn, "the tables", tablesQuery, func(r pgx.CollectableRow) (t relation, err error) {
		return t, r.Scan(&t.OID, &t.Schema, &t.Name, &t.Kind, &t.Readable, &t.RowHidden, &t.Extension, &t.Unlogged, &t.Heap, &t.PrimaryKey, &t.Filter)
	})
	if err != nil {
		return err
	}
	x.count = len(all)
	var denied, hidden, unlogged []string
	for _, t := range all {
		switch {
		case t.Extension:
		case !t.Readable:
			denied = append(denied, t.String())
		case t.RowHidden && t.Kind == "r":
			hidden = append(hidden, t.String())
		}
		if t.Unlogged && x.server.InRecovery {
			unlogged = append(unlogged, t.String())
		}
	}
	role := pgx.Identifier{x.server.Role.Name}.Sanitize()
	if len(denied) > 0 {
		hint := "GRANT pg_read_all_data TO " + role
		if x.server.Version.Major() < 14 {
			hint = "cofre doctor --print-grants prints the SQL"
		}
		x.add("privileges on tables", false, "role "+role+" may not read "+some(denied), hint)
	} else {
		x.add("privileges on tables", true, fmt.Sprintf("%d tables, all readable", len(all)), "")
	}
	if len(hidden) > 0 {
		x.add("row-level security", false, "policies would hide rows from role "+role+" in "+some(hidden), "ALTER ROLE "+role+" BYPASSRLS")
	} else {
		x.add("row-level security", true, "hides nothing from role "+role, "")
	}
	if len(unlogged) > 0 {
		x.add("unlogged tables", false, "a standby has no rows of "+some(unlogged), "capture from the primary, or ALTER TABLE … SET LOGGED")
	}
	return nil
}

func (x *examination) sequences(ctx context.Context) error {
	denied, err := logical.Collect(ctx, x.conn, "the sequences", `
SELECT pg_catalog.format('%I.%I', n.nspname, o.relname) FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE o.relkind = 'S' AND `+logical.UserObject+` AND NOT (pg_catalog.has_sequence_privilege(o.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
ORDER BY 1`, pgx.RowTo[string])
	if err == nil && len(denied) > 0 {
		x.add("privileges on sequences", false, "role "+x.server.Role.Name+" may not read "+some(denied), "cofre doctor --print-grants prints the SQL")
	}
	return err
}

func (x *examination) largeObjects(ctx context.Context) error {
	var n int64
	var readable bool
	err := x.conn.QueryRow(ctx, `
SELECT pg_catalog.count(*), pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT') FROM pg_catalog.pg_largeobject_metadata`).Scan(&n, &readable)
	if err == nil && n > 0 {
		x.add("large objects", readable, fmt.Sprintf("%d", n),
			"GRANT SELECT ON pg_catalog.pg_largeobject TO "+pgx.Identifier{x.server.Role.Name}.Sanitize())
	}
	return err
}

// locks compares the tables with the places of the lock table: a capture locks every table.
//
// Source: https://www.postgresql.org/docs/current/runtime-config-locks.html#GUC-MAX-LOCKS-PER-TRANSACTION
func (x *examination) locks(ctx context.Context) error {
	places := x.setting("max_locks_per_transaction") * (x.setting("max_connections") + x.setting("max_prepared_transactions"))
	want := x.count + x.count/10
	needed := (want/max(x.setting("max_connections"), 1) + 64) / 64 * 64
	x.add("locks", places == 0 || places >= want, fmt.Sprintf("%d tables, %d places in the lock table", x.count, places),
		fmt.Sprintf("ALTER SYSTEM SET max_locks_per_transaction = %d, then restart PostgreSQL", max(needed, 128)))
	held, err := logical.Collect(ctx, x.conn, "the locks", `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) || ' by pid ' || l.pid
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1`, pgx.RowTo[string])
	if err == nil && len(held) > 0 {
		x.add("locked tables", false, some(held), "a backup waits for these sessions, as long as --lock-timeout says")
	}
	return err
}

func (x *examination) connections(ctx context.Context) error {
	var used int
	if err := x.conn.QueryRow(ctx, `SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'`).Scan(&used); err != nil {
		return err
	}
	limit := x.setting("max_connections") - x.setting("superuser_reserved_connections")
	need := max(x.s.o.Jobs, 1) + 3 // the jobs, pg_dump, pg_dumpall, and one that looks who holds a lock
	x.add("connections", limit-used >= need, fmt.Sprintf("%d of %d taken, a backup takes up to %d", used, limit, need),
		"raise max_connections, or lower --jobs")
	return nil
}

// prepared looks for transactions that were prepared and forgotten: they hold their locks and hold up VACUUM
// until somebody ends them.
func (x *examination) prepared(ctx context.Context) error {
	old, err := logical.Collect(ctx, x.conn, "the prepared transactions", `
SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts
WHERE database = pg_catalog.current_database() AND prepared < pg_catalog.now() - interval '1 hour' ORDER BY prepared`, pgx.RowTo[string])
	if err == nil && len(old) > 0 {
		x.add("prepared transactions", false, "older than an hour: "+some(old), "COMMIT PREPARED or ROLLBACK PREPARED "+old[0])
	}
	return err
}

// collation finds a database whose collation the operating system has changed since: its indexes on text may
// be out of order, and a restored copy would differ from it.
func (x *examination) collation(ctx context.Context) error {
	if x.server.Version.Major() < 15 {
		return nil
	}
	differing, err := logical.Collect(ctx, x.conn, "the version of the collation", `
SELECT datcollversion || ' at its making, ' || pg_catalog.pg_database_collation_actual_version(oid) || ' now'
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
  AND datcollversion <> pg_catalog.pg_database_collation_actual_version(oid)`, pgx.RowTo[string])
	if err == nil && len(differing) > 0 {
		x.add("collation", false, differing[0], "REINDEX DATABASE, then ALTER DATABASE "+pgx.Identifier{x.server.Database}.Sanitize()+" REFRESH COLLATION VERSION")
	}
	return err
}
