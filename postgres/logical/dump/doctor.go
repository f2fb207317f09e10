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
		x.add(s.subject(), false, cofre.SayError(err), cofre.HintOf(err))
		return x.found, nil
	}
	defer postgres.Close(ctx, conn)
	if x.server, err = postgres.ReadServer(ctx, conn); err != nil {
		return nil, err
	}
	x.conn = conn
	x.reached()
	x.tools(ctx)
	for _, look := range []func(context.Context) error{x.tables, x.sequences, x.largeObjects, x.locks, x.connections, x.prepared, x.collation, x.searchPath} {
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

func (x *examination) add(subject cofre.Message, ok bool, detail, hint cofre.Message) {
	if ok {
		hint = cofre.Message{}
	}
	x.found = append(x.found, cofre.NewDiagnosis(subject, ok, detail, hint))
}

func (s *Source) subject() cofre.Message {
	return cofre.Say("object.database", "database {{.name}}", "name", s.config)
}

func printGrants() cofre.Message {
	return cofre.Say("doctor.print_grants", "cofre doctor --print-grants prints the SQL")
}

func (x *examination) setting(name string) int {
	n, _ := strconv.Atoi(x.server.Settings[name]) // a setting that the role may not see counts as 0
	return n
}

func (x *examination) reached() {
	role := x.server.Role
	detail := cofre.Say("doctor.reached", "PostgreSQL {{.version}}, role {{.role}}", "version", x.server.VersionText, "role", role.Name)
	if x.server.InRecovery {
		detail = cofre.Say("doctor.reached_standby", "PostgreSQL {{.version}}, role {{.role}}, a standby", "version", x.server.VersionText, "role", role.Name)
	}
	x.add(x.s.subject(), x.server.Version.Major() >= oldestMajor, detail,
		cofre.Say("doctor.too_old", "upgrade the server to PostgreSQL {{.oldest}} or newer: captures are not tested with {{.major}}", "oldest", oldestMajor, "major", x.server.Version.Major()))
	if role.Superuser {
		x.add(cofre.Say("object.role", "role {{.name}}", "name", role.Name), true, cofre.Say("doctor.superuser", "a superuser; a role that may only read is enough: cofre doctor --print-grants"), cofre.Message{})
	}
}

func (x *examination) tools(ctx context.Context) {
	t, err := postgres.FindTools(ctx, x.server.Version)
	if err != nil {
		x.add(cofre.Verbatim("pg_dump"), false, cofre.SayError(err), cofre.HintOf(err))
		return
	}
	x.add(cofre.Verbatim("pg_dump"), true, cofre.Say("doctor.tool", "{{.version}} in {{.directory}}", "version", t.Version, "directory", t.Dir), cofre.Message{})
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
	privileges := cofre.Say("doctor.table_privileges", "privileges on tables")
	if len(denied) > 0 {
		x.add(privileges, false, cofre.Say("doctor.may_not_read", "role {{.role}} may not read {{.names}}", "role", role, "names", logical.Some(denied)), x.readAllData())
	} else {
		x.add(privileges, true, cofre.SayN("doctor.tables_readable", len(all), "1 table, readable", "{{.n}} tables, all readable"), cofre.Message{})
	}
	security := cofre.Say("doctor.row_security", "row-level security")
	if len(hidden) > 0 {
		x.add(security, false, cofre.Say("doctor.rows_hidden", "policies would hide rows from role {{.role}} in {{.names}}", "role", role, "names", logical.Some(hidden)), cofre.Say("database.bypassrls", "ALTER ROLE {{.role}} BYPASSRLS", "role", role))
	} else {
		x.add(security, true, cofre.Say("doctor.nothing_hidden", "hides nothing from role {{.role}}", "role", role), cofre.Message{})
	}
	if len(unlogged) > 0 {
		x.add(cofre.Say("doctor.unlogged", "unlogged tables"), false, cofre.Say("doctor.unlogged_standby", "a standby has no rows of {{.names}}", "names", logical.Some(unlogged)),
			cofre.Say("doctor.set_logged", "capture from the primary, or ALTER TABLE … SET LOGGED"))
	}
	return nil
}

func (x *examination) sequences(ctx context.Context) error {
	denied, err := logical.Collect(ctx, x.conn, "the sequences", `
SELECT pg_catalog.format('%I.%I', n.nspname, o.relname) FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE o.relkind = 'S' AND `+logical.UserObject+` AND NOT (pg_catalog.has_sequence_privilege(o.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'))
ORDER BY 1`, pgx.RowTo[string])
	if err == nil && len(denied) > 0 {
		x.add(cofre.Say("doctor.sequence_privileges", "privileges on sequences"), false, cofre.Say("doctor.may_not_read", "role {{.role}} may not read {{.names}}", "role", pgx.Identifier{x.server.Role.Name}.Sanitize(), "names", logical.Some(denied)), x.readAllData())
	}
	return err
}

// readAllData is what lets the role read every table and sequence. A role that does not inherit has nothing of a grant alone.
func (x *examination) readAllData() cofre.Message {
	grant, role := "GRANT pg_read_all_data TO ", pgx.Identifier{x.server.Role.Name}.Sanitize()
	switch major := x.server.Version.Major(); {
	case major < 14:
		return printGrants()
	case major >= 16:
		return cofre.Verbatim(grant + role + " WITH INHERIT TRUE")
	case !x.server.Role.Inherit:
		return cofre.Verbatim("ALTER ROLE " + role + " INHERIT; " + grant + role)
	}
	return cofre.Verbatim(grant + role)
}

func (x *examination) largeObjects(ctx context.Context) error {
	var n int64
	var readable bool
	err := x.conn.QueryRow(ctx, `
SELECT pg_catalog.count(*), `+readsPages+` OR NOT coalesce(pg_catalog.bool_or(NOT (
  pg_catalog.current_setting('lo_compat_privileges')::bool OR pg_catalog.pg_has_role(o.lomowner, 'USAGE')
  OR EXISTS (SELECT FROM pg_catalog.aclexplode(o.lomacl) a WHERE a.privilege_type = 'SELECT' AND (a.grantee = 0 OR pg_catalog.pg_has_role(a.grantee, 'USAGE'))))), false)
FROM pg_catalog.pg_largeobject_metadata o`).Scan(&n, &readable)
	if err == nil && n > 0 {
		x.add(cofre.Say("doctor.large_objects", "large objects"), readable, cofre.Verbatim(strconv.FormatInt(n, 10)),
			cofre.Verbatim("GRANT SELECT ON pg_catalog.pg_largeobject TO "+pgx.Identifier{x.server.Role.Name}.Sanitize()))
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
	x.add(cofre.Say("doctor.locks", "locks"), places == 0 || places >= want, cofre.SayN("doctor.lock_places", x.count, "1 table, {{.places}} places in the lock table", "{{.n}} tables, {{.places}} places in the lock table", "places", places),
		cofre.Say("doctor.raise_locks", "ALTER SYSTEM SET max_locks_per_transaction = {{.places}}; then restart PostgreSQL", "places", max(needed, 128)))
	held, err := logical.Collect(ctx, x.conn, "the locks", `
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) || ' (pid ' || l.pid || ')'
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.granted AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1`, pgx.RowTo[string])
	if err == nil && len(held) > 0 {
		x.add(cofre.Say("doctor.locked", "locked tables"), false, logical.Some(held), cofre.Say("doctor.locked_wait", "a backup waits for these sessions, as long as --lock-timeout says"))
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
	x.add(cofre.Say("doctor.connections", "connections"), limit-used >= need, cofre.Say("doctor.connections_taken", "{{.used}} of {{.limit}} taken, a backup takes up to {{.need}}", "used", used, "limit", limit, "need", need),
		cofre.Say("doctor.connections_raise", "raise max_connections, or lower --jobs"))
	return nil
}

// prepared looks for transactions that were prepared and forgotten: they hold their locks and hold up VACUUM
// until somebody ends them.
func (x *examination) prepared(ctx context.Context) error {
	old, err := logical.Collect(ctx, x.conn, "the prepared transactions", `
SELECT pg_catalog.quote_literal(gid) FROM pg_catalog.pg_prepared_xacts
WHERE database = pg_catalog.current_database() AND prepared < pg_catalog.now() - interval '1 hour' ORDER BY prepared`, pgx.RowTo[string])
	if err == nil && len(old) > 0 {
		x.add(cofre.Say("doctor.prepared", "prepared transactions"), false, cofre.Say("doctor.prepared_old", "older than an hour: {{.names}}", "names", logical.Some(old)),
			cofre.Say("doctor.prepared_end", "COMMIT PREPARED {{.name}}, or ROLLBACK PREPARED {{.name}}", "name", old[0]))
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
SELECT datcollversion, pg_catalog.pg_database_collation_actual_version(oid)
FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
  AND datcollversion <> pg_catalog.pg_database_collation_actual_version(oid)`, func(r pgx.CollectableRow) (v [2]string, err error) { return v, r.Scan(&v[0], &v[1]) })
	if err == nil && len(differing) > 0 {
		x.add(cofre.Say("doctor.collation", "collation"), false, cofre.Say("doctor.collation_versions", "version {{.then}} when the database was created, {{.now}} now", "then", differing[0][0], "now", differing[0][1]),
			cofre.Say("doctor.collation_refresh", "REINDEX DATABASE {{.name}}; then ALTER DATABASE {{.name}} REFRESH COLLATION VERSION", "name", pgx.Identifier{x.server.Database}.Sanitize()))
	}
	return err
}
