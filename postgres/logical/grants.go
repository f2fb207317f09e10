package logical

import (
	"fmt"
	"strings"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// PrintGrants is the SQL that makes, on a server of a major version, a role that can do exactly what a capture
// needs: come in, read every table, sequence and large object of one database, and see through row-level
// security. It may run any number of times. From 14 what is created later is covered; on 13 for the owners of today.
func PrintGrants(major int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `-- The role with which cofre captures this database, on PostgreSQL %d.
-- Run it with psql as a superuser, connected to the database; then give the role a password: \password cofre_backup

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cofre_backup') THEN
    CREATE ROLE cofre_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
  END IF;
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %%I TO cofre_backup', pg_catalog.current_database());
END
$$;

-- Tables with row-level security are read whole, or the capture refuses.
ALTER ROLE cofre_backup BYPASSRLS;

-- Settings and sessions of the server: its version, its directory, and who holds a lock that a capture waits for.
GRANT pg_read_all_settings, pg_read_all_stats TO cofre_backup;

-- The bytes of large objects are in this catalog.
GRANT SELECT ON pg_catalog.pg_largeobject TO cofre_backup;
`, major)
	if major >= 14 {
		b.WriteString(`
-- Every table, view and sequence, and the use of every schema, of today and of tomorrow.
GRANT pg_read_all_data TO cofre_backup;
`)
		return b.String()
	}
	b.WriteString(`
-- Every schema, table and sequence of today, and those that their owners will make. For those of another owner
-- run this again; cofre doctor names what the role may not read.
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LOOP
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA %I TO cofre_backup', name);
    EXECUTE pg_catalog.format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO cofre_backup', name);
    EXECUTE pg_catalog.format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO cofre_backup', name);
  END LOOP;
  FOR name IN
    SELECT DISTINCT r.rolname FROM pg_catalog.pg_roles r
    WHERE r.oid IN (SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384 UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384)
  LOOP
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT USAGE ON SCHEMAS TO cofre_backup', name);
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON TABLES TO cofre_backup', name);
    EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I GRANT SELECT ON SEQUENCES TO cofre_backup', name);
  END LOOP;
END
$$;
`)
	return b.String()
}

// ACLItem is one grant of an access list.
type ACLItem struct {
	Grantee    string // empty is PUBLIC
	Privileges string // letters, each followed by * if it may be granted on
	Grantor    string
}

// ParseACLItem reads an aclitem's text: grantee=privileges/grantor.
//
// Errors: one that quotes a text of another form.
//
// Source: PostgreSQL, src/backend/utils/adt/acl.c, aclitemout.
func ParseACLItem(s string) (ACLItem, error) {
	name := func(s string) (string, string) {
		if !strings.HasPrefix(s, `"`) {
			if i := strings.IndexAny(s, "="); i >= 0 {
				return s[:i], s[i:]
			}
			return s, ""
		}
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			if s[i] == '"' {
				if i+1 < len(s) && s[i+1] == '"' {
					i++
				} else {
					return b.String(), s[i+1:]
				}
			}
			b.WriteByte(s[i])
		}
		return b.String(), ""
	}
	grantee, rest := name(s)
	rest, ok := strings.CutPrefix(rest, "=")
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 0 {
		return ACLItem{}, fmt.Errorf("access list entry %q is not grantee=privileges/grantor", s)
	}
	grantor, _ := name(rest[slash+1:])
	return ACLItem{grantee, rest[:slash], grantor}, nil
}

// ACLName writes a role as an aclitem does: in double quotes only if it needs them.
func ACLName(s string) string {
	for _, r := range s {
		if r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return pgarchive.Quote(s)
		}
	}
	return s
}
