package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Querier is a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// The functions of this file read the parts of Facts that are in the system catalogs. Capture reads them in the
// dump's snapshot, a restore's check reads them again from what was restored: the same query on both sides.
// They expect search_path to be empty, so that expressions come out with schemas.

// UserObject is true for objects that an archive holds: no system schema, no temporary one, no extension's.
const UserObject = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.deptype = 'e' AND x.objid = o.oid AND x.classid = o.tableoid)`

// ReadDatabase reads the properties of the current database.
//
// Errors: those of the queries, as they come: see postgres.Explain.
func ReadDatabase(ctx context.Context, q Querier) (DatabaseFacts, error) {
	var f DatabaseFacts
	var version int
	if err := q.QueryRow(ctx, `SELECT pg_catalog.current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return f, fmt.Errorf("read the properties of the database: %w", err)
	}
	provider, locale, rules, collversion := "'c'", "NULL::text", "NULL::text", "NULL::text"
	switch {
	case version >= 170000:
		provider, locale, rules, collversion = "d.datlocprovider", "d.datlocale", "d.daticurules", "d.datcollversion"
	case version >= 160000:
		provider, locale, rules, collversion = "d.datlocprovider", "d.daticulocale", "d.daticurules", "d.datcollversion"
	case version >= 150000:
		provider, locale, collversion = "d.datlocprovider", "d.daticulocale", "d.datcollversion"
	}
	err := q.QueryRow(ctx, fmt.Sprintf(`
SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding),
       CASE %s WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
       d.datcollate, d.datctype, coalesce(%s, ''), coalesce(%s, ''), coalesce(%s, ''),
       t.spcname, d.datconnlimit, coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), ''),
       d.datacl::text[], pg_catalog.pg_database_size(d.oid)
FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = pg_catalog.current_database()`, provider, locale, rules, collversion)).Scan(
		&f.Name, &f.Owner, &f.Encoding, &f.LocaleProvider, &f.Collate, &f.CType, &f.Locale, &f.ICURules,
		&f.CollationVersion, &f.Tablespace, &f.ConnectionLimit, &f.Comment, &f.ACL, &f.Bytes)
	if err != nil {
		return f, fmt.Errorf("read the properties of the database: %w", err)
	}
	f.Settings, err = Collect(ctx, q, "the settings of the database", `
SELECT coalesce(r.rolname, ''), pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)
FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c
WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
ORDER BY 1, 2`, func(r pgx.CollectableRow) (s Setting, err error) {
		return s, r.Scan(&s.Role, &s.Name, &s.Value)
	})
	return f, err
}

// ReadExtensions lists the installed extensions by name.
//
// Errors: those of Collect.
func ReadExtensions(ctx context.Context, q Querier) ([]ExtensionFacts, error) {
	return Collect(ctx, q, "the extensions", `
SELECT e.extname, e.extversion, n.nspname
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1`,
		func(r pgx.CollectableRow) (e ExtensionFacts, err error) {
			return e, r.Scan(&e.Name, &e.Version, &e.Schema)
		})
}

// ReadPolicies lists the row-level security policies by table and name.
//
// Errors: those of Collect.
func ReadPolicies(ctx context.Context, q Querier) ([]PolicyFacts, error) {
	return Collect(ctx, q, "the policies", `
SELECT n.nspname, o.relname, p.polname, p.polpermissive,
       (SELECT pg_catalog.array_agg(CASE m WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(m)::text END ORDER BY 1) FROM pg_catalog.unnest(p.polroles) m),
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
       coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), ''), coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '')
FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class o ON o.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
ORDER BY 1, 2, 3`, func(r pgx.CollectableRow) (p PolicyFacts, err error) {
		return p, r.Scan(&p.Schema, &p.Table, &p.Name, &p.Permissive, &p.Roles, &p.Command, &p.Using, &p.Check)
	})
}

// ReadSequences reads the state of the sequences for which wanted is true, by schema and name. An extension's may be
// among them: an archive holds the state of those that pg_extension_config_dump named.
//
// Errors: those of Collect: the server's, too, if the role may not read a sequence.
func ReadSequences(ctx context.Context, q Querier, wanted func(SequenceFacts) bool) ([]SequenceFacts, error) {
	names, err := Collect(ctx, q, "the sequences", `
SELECT n.nspname, o.relname FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE o.relkind = 'S' ORDER BY 1, 2`,
		func(r pgx.CollectableRow) (s SequenceFacts, err error) { return s, r.Scan(&s.Schema, &s.Name) })
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(s SequenceFacts) bool { return !wanted(s) })
	// A sequence's is_called is in the sequence alone, so each is read; many in one statement.
	const perStatement = 200
	for at := 0; at < len(names); at += perStatement {
		part := names[at:min(at+perStatement, len(names))]
		var sql strings.Builder
		for i, s := range part {
			if i > 0 {
				sql.WriteString(" UNION ALL ")
			}
			fmt.Fprintf(&sql, "SELECT %d AS i, last_value, is_called FROM %s", i, pgx.Identifier{s.Schema, s.Name}.Sanitize())
		}
		_, err := Collect(ctx, q, "the sequences", sql.String(), func(r pgx.CollectableRow) (struct{}, error) {
			var i int
			var last int64
			var called bool
			if err := r.Scan(&i, &last, &called); err != nil {
				return struct{}{}, err
			}
			part[i].LastValue, part[i].IsCalled = last, called
			return struct{}{}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// ReadGrants reads owner and access list of relations, columns, schemas, functions, types, foreign servers and
// wrappers, languages, and the default privileges.
//
// Errors: those of Collect.
func ReadGrants(ctx context.Context, q Querier) ([]GrantFacts, error) {
	acl := func(column string) string {
		return `(SELECT pg_catalog.array_agg(a::text ORDER BY a::text COLLATE "C") FROM pg_catalog.unnest(` + column + `) a)`
	}
	identified := func(catalog, owner, aclColumn, namespace string) string {
		where := "true"
		join := ""
		if namespace != "" {
			join = " JOIN pg_catalog.pg_namespace n ON n.oid = o." + namespace
			where = UserObject
		} else {
			where = `NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.deptype = 'e' AND x.objid = o.oid AND x.classid = o.tableoid)`
		}
		return `SELECT i.type, i.identity, pg_catalog.pg_get_userbyid(o.` + owner + `)::text, ` + acl("o."+aclColumn) + `
FROM pg_catalog.` + catalog + ` o` + join + `, LATERAL pg_catalog.pg_identify_object(o.tableoid, o.oid, 0) i WHERE ` + where
	}
	parts := []string{
		`SELECT CASE o.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
 pg_catalog.format('%I.%I', n.nspname, o.relname), pg_catalog.pg_get_userbyid(o.relowner)::text, ` + acl("o.relacl") + `
FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r','p','S','v','m','f') AND ` + UserObject,
		`SELECT 'column', pg_catalog.format('%I.%I.%I', n.nspname, o.relname, a.attname), pg_catalog.pg_get_userbyid(o.relowner)::text, ` + acl("a.attacl") + `
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class o ON o.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND ` + UserObject,
		identified("pg_proc", "proowner", "proacl", "pronamespace"),
		// Row types and array types follow their table or element.
		identified("pg_type", "typowner", "typacl", "typnamespace") + ` AND o.typrelid = 0 AND o.typelem = 0 AND o.typtype IN ('b','d','e','r')`,
		identified("pg_foreign_server", "srvowner", "srvacl", ""),
		identified("pg_foreign_data_wrapper", "fdwowner", "fdwacl", ""),
		identified("pg_language", "lanowner", "lanacl", "") + ` AND o.lanacl IS NOT NULL`,
		`SELECT 'schema', pg_catalog.quote_ident(o.nspname), pg_catalog.pg_get_userbyid(o.nspowner)::text, ` + acl("o.nspacl") + `
FROM pg_catalog.pg_namespace o, LATERAL (SELECT o.nspname) n WHERE ` + UserObject,
		`SELECT 'default privileges', pg_catalog.concat_ws(' ', o.defaclobjtype::text, pg_catalog.quote_ident(n.nspname)), pg_catalog.pg_get_userbyid(o.defaclrole)::text, ` + acl("o.defaclacl") + `
FROM pg_catalog.pg_default_acl o LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.defaclnamespace`,
	}
	return Collect(ctx, q, "the grants", `SELECT * FROM (`+strings.Join(parts, "\nUNION ALL\n")+`) g ORDER BY 1, 2, 3`,
		func(r pgx.CollectableRow) (g GrantFacts, err error) {
			return g, r.Scan(&g.Type, &g.Object, &g.Owner, &g.ACL)
		})
}

// Collect runs a query and reads all of its rows; what names them in an error.
//
// Errors: those of the query, of the connection and of scan, as they come: see postgres.Explain.
func Collect[T any](ctx context.Context, q Querier, what, sql string, scan func(pgx.CollectableRow) (T, error)) ([]T, error) {
	rows, err := q.Query(ctx, sql)
	if err == nil {
		var all []T
		if all, err = pgx.CollectRows(rows, scan); err == nil {
			return all, nil
		}
	}
	return nil, fmt.Errorf("read %s: %w", what, err)
}
