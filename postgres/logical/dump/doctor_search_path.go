package dump

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

// used begins a query with the functions that a restore calls, because a stored expression does: of a generated column, a CHECK of a table or
// a domain, an exclusion, an index, extended statistics, a partition key, or a query of a materialized view, also through views.
const used = `
WITH RECURSIVE filled(rel, root) AS (
	SELECT oid, oid FROM pg_catalog.pg_class WHERE relkind = 'm'
	UNION
	SELECT v.oid, f.root FROM filled f JOIN pg_catalog.pg_rewrite w ON w.ev_class = f.rel
	JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
	JOIN pg_catalog.pg_class v ON v.oid = d.refobjid AND v.relkind = 'v'
), stored(classid, objid, sub, named, name) AS (
	SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, 0, 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid FROM pg_catalog.pg_constraint WHERE contype IN ('c', 'x')
	UNION ALL
	SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid, 0, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid FROM pg_catalog.pg_attrdef a
	JOIN pg_catalog.pg_attribute c ON c.attrelid = a.adrelid AND c.attnum = a.adnum WHERE c.attgenerated <> ''
	UNION ALL -- up to version 14 it is the column that depends on them
	SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, a.adrelid, a.adnum, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid FROM pg_catalog.pg_attrdef a
	JOIN pg_catalog.pg_attribute c ON c.attrelid = a.adrelid AND c.attnum = a.adnum WHERE c.attgenerated <> ''
	UNION ALL
	SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid, 0, 'pg_catalog.pg_class'::pg_catalog.regclass, oid FROM pg_catalog.pg_class WHERE relkind IN ('i', 'I', 'p')
	UNION ALL
	SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid, 0, 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, oid FROM pg_catalog.pg_statistic_ext
	UNION ALL
	SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, 0, 'pg_catalog.pg_class'::pg_catalog.regclass, f.root FROM filled f JOIN pg_catalog.pg_rewrite w ON w.ev_class = f.rel
), used(proc, name) AS (
	SELECT CASE WHEN o.oid IS NULL THEN d.refobjid ELSE o.oprcode::pg_catalog.oid END, i.type || ' ' || i.identity
	FROM stored s JOIN pg_catalog.pg_depend d ON s.classid = d.classid AND s.objid = d.objid AND s.sub = d.objsubid
	LEFT JOIN pg_catalog.pg_operator o ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
	CROSS JOIN LATERAL pg_catalog.pg_identify_object(s.named, s.name, 0) i
	WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass OR o.oid IS NOT NULL
)
`

// evaluated are those that need a search path: others set one of their own, or are the server's.
const evaluated = used + `
SELECT p.oid, (SELECT i.identity FROM pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) i), l.lanname, p.prosrc, u.users
FROM (SELECT proc, pg_catalog.array_agg(DISTINCT name) users FROM used GROUP BY proc) u JOIN pg_catalog.pg_proc p ON p.oid = u.proc JOIN pg_catalog.pg_language l ON l.oid = p.prolang JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE l.lanname IN ('sql', 'plpgsql') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc <> ''
	AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) c WHERE c LIKE 'search\_path=%')
	AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
ORDER BY 2`

// called is a function that a restore calls.
type called struct {
	oid            uint32
	language, body string
	logical.Reliance
}

func (x *examination) searchPath(ctx context.Context) error {
	all, err := reliances(ctx, x.conn)
	for _, r := range all {
		x.found = append(x.found, cofre.NewDiagnosis(cofre.Say("doctor.search_path", "search path"), false, r.Said(),
			cofre.Say("doctor.search_path_set", "ALTER FUNCTION {{.function}} SET search_path = …; points of before are restored with cofre restore database --search-path", "function", r.Function)))
	}
	return err
}

// reliances finds functions that a restore calls and that name something without its schema: archives are restored with an empty
// search path, so that they fail on the bad day. No code of the database is run, which may be anybody's: the server parses a
// function in SQL as CREATE FUNCTION does; in the body of one in PL/pgSQL, names of relations and functions are looked for where a
// query or a call has them.
func reliances(ctx context.Context, conn *pgx.Conn) ([]logical.Reliance, error) {
	all, err := logical.Collect(ctx, conn, "the functions of stored expressions", evaluated, func(r pgx.CollectableRow) (c called, err error) {
		return c, r.Scan(&c.oid, &c.Function, &c.language, &c.body, &c.Users)
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c called) bool { return len(c.Users) == 0 })
	if len(all) == 0 {
		return nil, nil
	}
	known, err := namesOutsideCatalog(ctx, conn)
	if err != nil {
		return nil, err
	}
	var found []logical.Reliance
	for _, c := range all {
		c.Missing = c.unqualified(known)
		if c.language == "sql" {
			if c.Missing, err = validate(ctx, conn, c); err != nil {
				return nil, err
			}
		}
		if c.Missing != "" {
			found = append(found, c.Reliance)
		}
	}
	return found, nil
}

// maxSearch bounds how long a capture looks for them: a note is not worth a backup that is late.
const maxSearch = 5 * time.Second

// noteReliances writes into the facts which functions rely on a search path, so that a verification and the plan of a restore can say it. It
// has a session of its own, as what it asks for may fail; then nothing is known.
//
// Errors: that of ctx.
func (d *dump) noteReliances(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, maxSearch)
	defer cancel()
	conn, err := postgres.Connect(bounded, d.s.config)
	if err != nil {
		return ctx.Err()
	}
	defer postgres.Close(ctx, conn)
	if d.facts.Runs, err = functionsRun(bounded, conn); err != nil {
		return ctx.Err()
	}
	all, err := reliances(bounded, conn)
	if err != nil || len(all) == 0 {
		return ctx.Err()
	}
	d.facts.Relies, d.facts.RelyCount = all[:min(len(all), logical.MaxReliances)], len(all)
	// What sessions of the role have in this database, and not this one, which has none.
	if err := conn.QueryRow(bounded, "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path'").Scan(&d.facts.SearchPath); err != nil {
		return ctx.Err()
	}
	return nil
}

// validate has the server parse a function in SQL with an empty search path, and returns what it does not find.
func validate(ctx context.Context, conn *pgx.Conn, c called) (missing string, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL check_function_bodies = on"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_catalog.fmgr_sql_validator($1)", c.oid)
		return err
	})
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return "", err
	}
	if slices.Contains([]string{"42883", "42P01", "42704", "3F000"}, server.Code) { // undefined function, table, object, schema
		return server.Message, nil
	}
	return "", nil // something else, as a privilege, of which nothing is known
}

// namesOutsideCatalog are the names of relations and functions that an empty search path does not lead to.
func namesOutsideCatalog(ctx context.Context, conn *pgx.Conn) (map[string]bool, error) {
	names, err := logical.Collect(ctx, conn, "the names of relations and functions", `
SELECT DISTINCT 'r' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_catalog.pg_class o WHERE o.relname = c.relname AND o.relnamespace = 'pg_catalog'::pg_catalog.regnamespace)
UNION ALL
SELECT DISTINCT 'f' || p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc o WHERE o.proname = p.proname AND o.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)`, pgx.RowTo[string])
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	return known, err
}

var (
	notCode = pattern.Lazy(`(?s)--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'`)
	callOf  = pattern.Lazy(`(?:^|[^.\w"$])(\w+)\s*\(`)
	queried = pattern.Lazy(`(?i)\b(?:from|join)\s+(?:only\s+)?(\w+)\b\s*(?:[^.\w(]|$)`)
)

// unqualified is the first name in the body of a function that needs a search path; empty if there is none.
func (c called) unqualified(known map[string]bool) string {
	code := notCode().ReplaceAllString(c.body, " ")
	for _, m := range queried().FindAllStringSubmatch(code, -1) {
		if name := strings.ToLower(m[1]); known["r"+name] {
			return fmt.Sprintf("relation %s", name)
		}
	}
	for _, m := range callOf().FindAllStringSubmatch(code, -1) {
		if name := strings.ToLower(m[1]); known["f"+name] {
			return fmt.Sprintf("function %s", name)
		}
	}
	return ""
}
