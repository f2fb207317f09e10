package basebackup

import (
	"context"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// DROP DATABASE marks its database, so that nobody can connect to it any more, waits for a checkpoint, removes the files,
// and only then writes the record that says so. A base backup that begins between the mark and the files has the
// mark in its copy of pg_database, and no WAL that a recovery reads speaks of it: so it is asked for.
//
// Source: PostgreSQL, src/backend/commands/dbcommands.c, dropdb (the mark since 13.12, 14.9, 15.4).

// invalidDatabases lists the databases that a DROP DATABASE has marked, with the transaction that was dropping each: 0 if
// that one ended before, in an error or with the server.
const invalidDatabases = `
SELECT oid, datname, ` + physical.DroppedBy + `
FROM (SELECT oid, datname::text, xmax::text::bigint AS x, next, (xmax::text::bigint - next % 4294967296 + 4294967296) % 4294967296 AS newer
      FROM pg_catalog.pg_database, (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS next) s
      WHERE datconnlimit = -2) d
ORDER BY oid`

// findDrops records the databases that were being dropped once the backup had begun.
func (k *capture) findDrops(ctx context.Context) error {
	rows, err := k.conn.Query(ctx, invalidDatabases)
	if err != nil {
		return fmt.Errorf("ask which databases are being dropped: %w", err)
	}
	defer rows.Close()
	k.facts.Dropping = nil
	for rows.Next() {
		var d recovery.Dropping
		if err := rows.Scan(&d.OID, &d.Name, &d.XID); err != nil {
			return err
		}
		if d.XID == 0 {
			k.warn(cofre.Say("cluster.invalid_database", "database {{.name}} is invalid, since a DROP DATABASE of it was interrupted: nobody can connect to it, and all that can be done with it is DROP DATABASE", "name", fmt.Sprintf("%q", d.Name)))
			continue
		}
		k.facts.Dropping = append(k.facts.Dropping, d)
	}
	return rows.Err()
}
