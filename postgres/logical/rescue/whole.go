package rescue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// storage sets where and how an entry's table or index is kept, as pg_restore does before each.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, _selectTablespace and _selectTableAccessMethod.
func (r *tableRestore) storage(e *pgarchive.Entry) string {
	switch e.Desc {
	case "TABLE", "INDEX", "CONSTRAINT", "MATERIALIZED VIEW":
	default:
		return ""
	}
	sql := "SET LOCAL default_tablespace = " + logical.Literal(e.Tablespace) + ";"
	if e.TableAM != "" {
		sql += "SET LOCAL default_table_access_method = " + logical.Literal(e.TableAM) + ";"
	}
	return sql
}

// makeSchema makes the schema if it is missing: under its own name with its own owner and grants.
func (r *tableRestore) makeSchema(ctx context.Context, tx pgx.Tx) error {
	name := pgarchive.Quote(r.to)
	for _, locked := range []bool{false, true} {
		if locked { // another restore that makes it is done with by then, or its end is not waited for
			if err := lockName(ctx, tx, "schema "+name, cofre.Say("table.schema_busy", "another restore makes schema {{.name}}", "name", name)); err != nil {
				return err
			}
		}
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`, r.to).Scan(&there); err != nil || there {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		return err
	}
	if err := closeToOthers(ctx, tx, "SCHEMA", name); err != nil || !r.a.Whole || r.to != r.a.Schema {
		return err
	}
	for i := range r.TOC.Entries {
		e := &r.TOC.Entries[i]
		var sql string
		switch {
		case e.Desc == "SCHEMA" && e.Tag == r.to && e.Owner != "":
			sql = "ALTER SCHEMA " + name + " OWNER TO " + pgarchive.Quote(e.Owner)
		case e.Desc == "ACL" && e.Tag == "SCHEMA "+r.to:
			sql = e.Defn
		default:
			continue
		}
		if _, err := tx.Conn().PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("give schema %s its owner and grants: %w", r.to, err)
		}
	}
	return nil
}

// executor is a connection or a transaction.
type executor interface {
	logical.Querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// closeToOthers takes from what has just been made every right that default privileges of the database gave to others
// than its owner, and gives the owner what no default would have taken. The definitions of grants expect that.
func closeToOthers(ctx context.Context, tx executor, desc, name string) error {
	kind, catalog, list, owner, find := "TABLE", "pg_class", "relacl", "relowner", "to_regclass"
	switch desc {
	case "SEQUENCE":
		kind = "SEQUENCE"
	case "SCHEMA":
		kind, catalog, list, owner, find = "SCHEMA", "pg_namespace", "nspacl", "nspowner", "to_regnamespace"
	}
	statements, err := logical.Collect(ctx, tx, "the default privileges", fmt.Sprintf(`
SELECT pg_catalog.format('REVOKE ALL ON %[1]s %%s FROM %%s', %[2]s, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)
FROM pg_catalog.%[3]s o, pg_catalog.aclexplode(o.%[4]s) a WHERE o.oid = pg_catalog.%[6]s(%[2]s)::oid AND a.grantee <> o.%[5]s
UNION
SELECT pg_catalog.format('GRANT ALL ON %[1]s %%s TO %%I', %[2]s, pg_catalog.pg_get_userbyid(o.%[5]s)) FROM pg_catalog.%[3]s o WHERE o.oid = pg_catalog.%[6]s(%[2]s)::oid AND o.%[4]s IS NOT NULL`,
		kind, logical.Literal(name), catalog, list, owner, find), pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("close %s to others: %w", name, err)
		}
	}
	return nil
}

// isObject reports whether an entry makes something that has a name of its own.
func isObject(e *pgarchive.Entry) bool {
	switch e.Desc {
	case "FK CONSTRAINT", "VIEW", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE":
		return true
	}
	return false
}

func described(e *pgarchive.Entry) cofre.Message {
	if e.Desc == "FK CONSTRAINT" {
		return cofre.Say("table.foreign_key", "foreign key {{.name}} in schema {{.schema}}", "name", e.Tag, "schema", e.Namespace)
	}
	return logical.Named(e.Desc, e.Namespace+"."+e.Tag)
}

func notMade(what cofre.Message, err error) cofre.Message {
	return cofre.Say("table.not_made", "{{.object}}: {{.error}}", "object", what, "error", err)
}

// makeOthers makes again what of other objects went with the table. What is there stays as it is; what cannot be made
// is named.
func (r *tableRestore) makeOthers(ctx context.Context, tx pgx.Tx, out *TableOutcome) error {
	made := map[int]bool{}
	for _, e := range r.a.Others {
		if !isObject(e) {
			// Of a view that was made here: its grants, comments, indexes, rows.
			if slices.ContainsFunc(e.Depends, func(d int) bool { return made[d] }) {
				if err := r.attempt(ctx, tx, e, e.Defn); err != nil {
					out.missing(notMade(logical.Named(e.Desc, e.Tag), err))
				}
			}
			continue
		}
		there, err := r.there(ctx, tx, e)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if e.Desc == "FUNCTION" || e.Desc == "PROCEDURE" {
			// Default privileges may open a function that was closed.
			out.missing(cofre.Say("table.function", "{{.object}}: it went with the table, and this command does not create it", "object", described(e)))
			continue
		}
		attempt := r.attempt
		if e.Desc == "FK CONSTRAINT" {
			attempt = func(ctx context.Context, tx pgx.Tx, e *pgarchive.Entry, sql string) error {
				return r.makeKey(ctx, tx, e, sql, out)
			}
		}
		if err := attempt(ctx, tx, e, e.Defn); err != nil {
			if ctx.Err() != nil || tx.Conn().IsClosed() {
				return err
			}
			out.missing(notMade(described(e), err))
			continue
		}
		if r.without[e.DumpID] {
			continue
		}
		made[e.DumpID] = true
		out.made(described(e))
	}
	return nil
}

// attempt makes an entry within a savepoint, with a definition that may have been rewritten.
func (r *tableRestore) attempt(ctx context.Context, tx pgx.Tx, e *pgarchive.Entry, definition string) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().Exec(ctx, r.storage(e)+definition).ReadAll(); err != nil {
			return err
		}
		if e.Desc != "VIEW" && e.Desc != "MATERIALIZED VIEW" {
			return nil
		}
		name := pgarchive.Quote(e.Namespace, e.Tag)
		if e.Owner != "" {
			if _, err := tx.Exec(ctx, "ALTER TABLE "+name+" OWNER TO "+pgarchive.Quote(e.Owner)); err != nil {
				return err
			}
		}
		return closeToOthers(ctx, tx, e.Desc, name)
	})
}

// dispensable reports whether a copy beside the live table is of use without what an entry makes: it is there for its rows, of
// which some may break the constraint, and a function that takes the live table's rows takes none of the copy's. A merge compares
// by the primary key.
func (r *tableRestore) dispensable(e *pgarchive.Entry) bool {
	if r.to == r.a.Schema || r.a.Whole || r.o.keyed && strings.Contains(e.Defn, " PRIMARY KEY ") {
		return false
	}
	return slices.Contains([]string{"CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "INDEX ATTACH", "STATISTICS"}, e.Desc)
}

// there reports whether the object that an entry makes exists.
func (r *tableRestore) there(ctx context.Context, tx pgx.Tx, e *pgarchive.Entry) (there bool, err error) {
	sql, name := `SELECT EXISTS (SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace WHERE n.nspname = $1 AND o.relname = $2)`, e.Tag
	switch e.Desc {
	case "FK CONSTRAINT":
		// The tag is table and constraint. A table that is gone itself has no use for its foreign key.
		sql = `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace WHERE n.nspname = $1 AND pg_catalog.starts_with($2, o.relname || ' '))
 OR EXISTS (SELECT FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class o ON o.oid = c.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
   WHERE n.nspname = $1 AND o.relname || ' ' || c.conname = $2)`
	case "FUNCTION", "PROCEDURE":
		sql = `SELECT EXISTS (SELECT FROM pg_catalog.pg_proc o JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace WHERE n.nspname = $1 AND o.proname = $2)`
		name, _, _ = strings.Cut(name, "(")
	}
	if err := tx.QueryRow(ctx, sql, e.Namespace, name).Scan(&there); err != nil {
		return false, fmt.Errorf("look for %s: %w", described(e), err)
	}
	return there, nil
}

// compareAsBefore reads what was captured of the table's security by the queries that the capture read it by. It is
// for points without a fingerprint that says what belongs to a table.
//
// Errors: cofre.ErrUnproven, with every difference.
func (r *tableRestore) compareAsBefore(ctx context.Context, tx pgx.Tx) error {
	if !r.a.Whole || r.to != r.a.Schema {
		return nil
	}
	want, got := []string{}, []string{}
	for _, e := range r.a.Tables {
		name := pgarchive.Quote(e.Namespace, e.Tag)
		var on bool
		if err := tx.QueryRow(ctx, "SELECT relrowsecurity FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass("+logical.Literal(name)+")").Scan(&on); err != nil {
			return fmt.Errorf("read the row-level security of %s: %w", name, err)
		}
		should := slices.ContainsFunc(r.a.Post, func(p *pgarchive.Entry) bool {
			return p.Desc == "ROW SECURITY" && p.Namespace == e.Namespace && p.Tag == e.Tag
		})
		want, got = append(want, fmt.Sprintf("row-level security of %s %t", name, should)), append(got, fmt.Sprintf("row-level security of %s %t", name, on))
	}
	var version int
	if err := tx.QueryRow(ctx, `SELECT pg_catalog.current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return err
	}
	// Another major may print the same expression in another way, and has other privileges.
	if version/10000 == logical.MajorOf(r.Facts.ServerVersion) {
		policies, err := logical.ReadPolicies(ctx, tx)
		if err != nil {
			return err
		}
		grants, err := logical.ReadGrants(ctx, tx)
		if err != nil {
			return err
		}
		defaults, err := defaultPrivileges(ctx, tx)
		if err != nil {
			return err
		}
		want = append(append(want, r.policies(r.Facts.Policies)...), r.grants(r.Facts.Grants, defaults)...)
		got = append(append(got, r.policies(policies)...), r.grants(grants, defaults)...)
	}
	missing, extra := logical.OnlyIn(want, got), logical.OnlyIn(got, want)
	if len(missing)+len(extra) == 0 {
		return nil
	}
	return fmt.Errorf("captured %s; restored %s: %w", strings.Join(missing, "; "), strings.Join(extra, "; "), cofre.ErrUnproven)
}

func (r *tableRestore) policies(all []logical.PolicyFacts) []string {
	var found []string
	for _, p := range all {
		if slices.ContainsFunc(r.a.Tables, func(t *pgarchive.Entry) bool { return t.Namespace == p.Schema && t.Tag == p.Table }) {
			found = append(found, fmt.Sprintf("policy %s on %s: %s for %v, permissive %t, using %s, check %s", p.Name, pgarchive.Quote(p.Schema, p.Table), p.Command, p.Roles, p.Permissive, p.Using, p.Check))
		}
	}
	return found
}

// grants are owner and rights of the tables, their columns and their sequences, with those written out that no list has.
func (r *tableRestore) grants(all []logical.GrantFacts, defaults map[string]string) []string {
	var found []string
	for _, g := range all {
		parts, err := pgarchive.ParseName(g.Object)
		if err != nil || len(parts) < 2 || g.Type != "table" && g.Type != "column" && g.Type != "sequence" {
			continue
		}
		if !slices.ContainsFunc(r.a.Names, func(n [2]string) bool { return n[0] == parts[0] && n[1] == parts[1] }) {
			continue
		}
		acl := slices.Clone(g.ACL)
		if acl == nil {
			owner := logical.ACLName(g.Owner)
			acl = []string{owner + "=" + defaults[g.Type] + "/" + owner}
		}
		slices.Sort(acl)
		found = append(found, fmt.Sprintf("%s %s of %s: %s", g.Type, g.Object, g.Owner, strings.Join(acl, " ")))
	}
	return found
}

// defaultPrivileges are the letters that an owner has of a table and of a sequence if no list says so.
func defaultPrivileges(ctx context.Context, tx pgx.Tx) (map[string]string, error) {
	var table, sequence string
	err := tx.QueryRow(ctx, `SELECT (pg_catalog.acldefault('r', 10))[1]::text, (pg_catalog.acldefault('s', 10))[1]::text`).Scan(&table, &sequence)
	if err != nil {
		return nil, fmt.Errorf("read the default privileges: %w", err)
	}
	letters := map[string]string{}
	for kind, text := range map[string]string{"table": table, "sequence": sequence} {
		item, err := logical.ParseACLItem(text)
		if err != nil {
			return nil, errors.Join(cofre.ErrUnproven, err)
		}
		letters[kind] = item.Privileges
	}
	return letters, nil
}
