package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// print is what there is to compare: for each part, the value of each thing by its name.
type print map[string]map[string]string

const (
	partTables = "rows of tables (count, checksum of every row)"
	partFiles  = "files, folders, links (content, mode, owner, time)"
)

// catalogues ask PostgreSQL's own catalogues for everything that makes the database what it is. Each query
// yields a name and a value, and repeats no object identifier, which a restore may change.
var catalogues = []struct{ part, sql string }{
	{"sequences (last value, whether it was used)", `
		SELECT format('%I.%I', schemaname, sequencename), concat_ws(' ', last_value, start_value, increment_by, cache_size, data_type, cycle)
		FROM pg_sequences`},
	{"columns (type, default, identity, comment)", `
		SELECT format('%s.%I', c.oid::regclass, a.attname),
		  concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
		    pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum), a.attcollation::regcollation, a.attacl)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
		WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace::regnamespace::text IN ('grc', 'private', 'public')`},
	{"constraints", `
		SELECT format('%s %I', conrelid::regclass, conname), pg_get_constraintdef(oid) || convalidated::text
		FROM pg_constraint WHERE connamespace::regnamespace::text IN ('grc', 'private', 'public')`},
	{"indexes and statistics", `
		SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) || indisvalid::text FROM pg_index
		WHERE (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = indexrelid) IN ('grc', 'private', 'public')
		UNION ALL SELECT stxname, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext`},
	{"triggers and functions", `
		SELECT format('%s %I', tgrelid::regclass, tgname), pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT p.oid::regprocedure::text, concat_ws(' ', pg_get_functiondef(p.oid), proowner::regrole, proacl)
		FROM pg_proc p WHERE pronamespace::regnamespace::text IN ('grc', 'private', 'public')`},
	{"views and types", `
		SELECT oid::regclass::text, pg_get_viewdef(oid) || coalesce(reloptions::text, '') FROM pg_class
		WHERE relkind IN ('v', 'm') AND relnamespace::regnamespace::text IN ('grc', 'private', 'public')
		UNION ALL SELECT t.oid::regtype::text, concat_ws(' ', typtype, typowner::regrole,
		  (SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
		  (SELECT string_agg(pg_get_constraintdef(c.oid), ',') FROM pg_constraint c WHERE contypid = t.oid))
		FROM pg_type t WHERE typnamespace::regnamespace::text IN ('grc', 'private', 'public') AND typtype IN ('e', 'd', 'c')`},
	{"row security and its policies", `
		SELECT format('%s %I', polrelid::regclass, polname), concat_ws(' ', polcmd, polpermissive,
		  (SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (polroles)),
		  pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(oid, 'pg_policy'))
		FROM pg_policy
		UNION ALL SELECT oid::regclass::text, concat_ws(' ', relrowsecurity, relforcerowsecurity) FROM pg_class
		WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text IN ('grc', 'private', 'public')`},
	{"owners, grants, comments", `
		SELECT 'relation ' || oid::regclass, concat_ws(' ', relowner::regrole, (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(relacl) a), obj_description(oid, 'pg_class'))
		FROM pg_class WHERE relnamespace::regnamespace::text IN ('grc', 'private', 'public')
		UNION ALL SELECT 'schema ' || nspname, concat_ws(' ', nspowner::regrole, (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(nspacl) a), obj_description(oid, 'pg_namespace'))
		FROM pg_namespace WHERE nspname IN ('grc', 'private', 'public')
		UNION ALL SELECT format('default %s %s %s', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype), defaclacl::text FROM pg_default_acl`},
	{"the database, roles and their settings", `
		SELECT 'database', concat_ws(' ', datdba::regrole, pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit,
		  (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid, 'pg_database'))
		FROM pg_database WHERE datname = current_database()
		UNION ALL SELECT 'role ' || rolname, concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit)
		FROM pg_roles WHERE rolname LIKE 'trustlayer%'
		UNION ALL SELECT format('member %s of %s', member::regrole, roleid::regrole), admin_option::text FROM pg_auth_members WHERE roleid::regrole::text LIKE 'trustlayer%'
		UNION ALL SELECT format('settings of %s in %s', nullif(setrole, 0)::regrole, (SELECT datname FROM pg_database WHERE oid = setdatabase)), setconfig::text FROM pg_db_role_setting
		UNION ALL SELECT 'extension ' || extname, extversion FROM pg_extension`},
	{"large objects", `
		SELECT oid::text, concat_ws(' ', lomowner::regrole, lomacl, md5(lo_get(oid)), obj_description(oid, 'pg_largeobject')) FROM pg_largeobject_metadata`},
}

// look takes the print of the installation as it is now.
func (s *stage) look(ctx context.Context) (print, error) {
	p := print{}
	conn, err := pgx.Connect(ctx, s.server.URL(databaseName))
	if err != nil {
		return nil, fmt.Errorf("demonstration: look at the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if p[partTables], err = tableSums(ctx, conn); err != nil {
		return nil, fmt.Errorf("demonstration: look at the tables: %w", err)
	}
	for _, c := range catalogues {
		if p[c.part], err = pairs(ctx, conn, c.sql); err != nil {
			return nil, fmt.Errorf("demonstration: look at %s: %w", c.part, err)
		}
	}
	if p[partFiles], err = filesPrint(s.path("opt")); err != nil {
		return nil, fmt.Errorf("demonstration: look at the files: %w", err)
	}
	return p, nil
}

func pairs(ctx context.Context, conn *pgx.Conn, sql string) (map[string]string, error) {
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	var name, value *string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		if name == nil || value == nil {
			return errors.New("a query that yields NULL")
		}
		found[*name] = *value
		return nil
	})
	return found, err
}

// tableSums counts the rows of every table and sums up a hash of each: equal whatever order they are stored in.
func tableSums(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT oid::regclass::text FROM pg_class
		WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text IN ('grc', 'private', 'public') ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range names {
		var count int64
		var sum string
		err := conn.QueryRow(ctx, "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM "+name+" t").Scan(&count, &sum)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found[name] = strconv.FormatInt(count, 10) + " " + sum
	}
	return found, nil
}

func dimensions(ctx context.Context, server *throwaway.Server) (rows, size int64, version string, err error) {
	conn, err := pgx.Connect(ctx, server.URL(databaseName))
	if err != nil {
		return 0, 0, "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `SELECT (SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('grc', 'private', 'public')),
		pg_database_size(current_database()), split_part(current_setting('server_version'), ' ', 1)`).Scan(&rows, &size, &version)
	return rows, size, version, err
}

// tryApplication does what the application does: it comes in as its own role, for one organisation, and inserts
// an answer, in a transaction that is taken back. It fails if a sequence stayed behind, a trigger is
// missing, or a policy shows too little or too much. It returns the answers seen.
func tryApplication(ctx context.Context, server *throwaway.Server) (seen int64, err error) {
	conn, err := pgx.Connect(ctx, server.URL(databaseName))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(context.WithoutCancel(ctx))) }()
	var expected, id, logged int64
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM grc.answers w JOIN grc.assessments a ON a.id = w.assessment_id WHERE a.organization_id = $1::text::uuid`, uuid(1, 3)).Scan(&expected); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE trustlayer_app"); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "SELECT set_config('app.organization', $1, true)", uuid(1, 3)); err != nil {
		return 0, err
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM grc.answers").Scan(&seen); err != nil {
		return 0, err
	}
	if seen != expected || seen == 0 {
		return seen, fmt.Errorf("row security shows %d answers of the organisation, and there are %d", seen, expected)
	}
	err = tx.QueryRow(ctx, `INSERT INTO grc.answers (assessment_id, control_id, author_id, answer)
		VALUES ($1::text::uuid, 1, $2::text::uuid, 'depois do desastre') RETURNING id`, uuid(3, 3), uuid(2, 0)).Scan(&id)
	if err != nil {
		return seen, fmt.Errorf("insert an answer: %w", err)
	}
	if id != answers+1 {
		return seen, fmt.Errorf("the next answer has number %d, not %d", id, answers+1)
	}
	err = tx.QueryRow(ctx, "SELECT count(*) FROM grc.change_logs WHERE table_name = 'answers' AND row_id = $1 AND action = 'inserção'", strconv.FormatInt(id, 10)).Scan(&logged)
	if err == nil && logged != 1 {
		err = fmt.Errorf("the trigger logged the insert %d times", logged)
	}
	return seen, err
}

// parts are the names of the parts, rows and files first.
func parts(prints ...print) []string {
	all := map[string]bool{}
	for _, p := range prints {
		for part := range p {
			all[part] = true
		}
	}
	delete(all, partTables)
	delete(all, partFiles)
	return append([]string{partTables, partFiles}, slices.Sorted(maps.Keys(all))...)
}

// compareParts names what is missing, different or new.
func compareParts(before, after map[string]string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[name]; !ok {
			found = append(found, name+" is missing")
		} else if now != before[name] {
			found = append(found, fmt.Sprintf("%s was %q and is %q", name, before[name], now))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			found = append(found, name+" was not there before")
		}
	}
	return found
}

// named is a part for a person.
func named(part string) cofre.Message {
	for _, m := range []cofre.Message{
		cofre.Say("demo.part_tables", "rows of tables (count, checksum of every row)"),
		cofre.Say("demo.part_files", "files, folders, links (content, mode, owner, time)"),
		cofre.Say("demo.part_sequences", "sequences (last value, whether it was used)"),
		cofre.Say("demo.part_columns", "columns (type, default, identity, comment)"),
		cofre.Say("demo.part_constraints", "constraints"),
		cofre.Say("demo.part_indexes", "indexes and statistics"),
		cofre.Say("demo.part_triggers", "triggers and functions"),
		cofre.Say("demo.part_views", "views and types"),
		cofre.Say("demo.part_security", "row security and its policies"),
		cofre.Say("demo.part_owners", "owners, grants, comments"),
		cofre.Say("demo.part_roles", "the database, roles and their settings"),
		cofre.Say("demo.part_large_objects", "large objects"),
	} {
		if m.Text == part {
			return m
		}
	}
	return cofre.Verbatim(part)
}
