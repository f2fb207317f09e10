package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// packages are those of Debian, Ubuntu and apt.postgresql.org that bring extensions which PostgreSQL itself does not; %d is the major version.
var packages = map[string]string{
	"address_standardizer": "postgresql-%d-postgis-3", "age": "postgresql-%d-age", "citus": "postgresql-%d-citus", "h3": "postgresql-%d-h3", "hll": "postgresql-%d-hll",
	"hypopg": "postgresql-%d-hypopg", "ip4r": "postgresql-%d-ip4r", "orafce": "postgresql-%d-orafce", "pg_cron": "postgresql-%d-cron", "pg_hint_plan": "postgresql-%d-pg-hint-plan",
	"pg_partman": "postgresql-%d-partman", "pg_repack": "postgresql-%d-repack", "pg_squeeze": "postgresql-%d-squeeze", "pgaudit": "postgresql-%d-pgaudit", "pgl_ddl_deploy": "postgresql-%d-pgl-ddl-deploy",
	"pglogical": "postgresql-%d-pglogical", "pgmq": "postgresql-%d-pgmq", "pgpcre": "postgresql-%d-pgpcre", "pgrouting": "postgresql-%d-pgrouting", "pgtap": "postgresql-%d-pgtap",
	"plpgsql_check": "postgresql-%d-plpgsql-check", "plpython3u": "postgresql-plpython3-%d", "plperl": "postgresql-plperl-%d", "plperlu": "postgresql-plperl-%d", "pltcl": "postgresql-pltcl-%d",
	"plv8": "postgresql-%d-plv8", "postgis": "postgresql-%d-postgis-3", "postgis_raster": "postgresql-%d-postgis-3", "postgis_topology": "postgresql-%d-postgis-3",
	"prefix": "postgresql-%d-prefix", "rum": "postgresql-%d-rum", "semver": "postgresql-%d-semver", "temporal_tables": "postgresql-%d-temporal-tables", "timescaledb": "timescaledb-2-postgresql-%d",
	"unit": "postgresql-%d-unit", "vector": "postgresql-%d-pgvector", "wal2json": "postgresql-%d-wal2json",
}

// own are the extensions that are in PostgreSQL's own sources: on Debian in the package of the server.
var own = strings.Fields(`adminpack amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw fuzzystrmatch hstore insert_username
intagg intarray isn lo ltree moddatetime old_snapshot pageinspect pg_buffercache pg_freespacemap pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto
pgrowlocks pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp xml2`)

// ExtensionPackages is the command that installs the packages of extensions for a major version; "" if for one of them no package is known.
func ExtensionPackages(major int, extensions []string) string {
	var install []string
	for _, name := range extensions {
		form, ok := packages[name]
		if !ok && slices.Contains(own, name) {
			form, ok = "postgresql-%d", true
		}
		if !ok {
			return ""
		}
		if of := fmt.Sprintf(form, major); !slices.Contains(install, of) {
			install = append(install, of)
		}
	}
	return "apt-get install " + strings.Join(install, " ")
}
