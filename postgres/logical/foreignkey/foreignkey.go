// Package foreignkey finds the foreign keys of a database that do not hold over rows that are lost, and has them say so.
//
// Rows that are loaded into tables that were there are not looked at by the foreign keys that were there, too: no trigger fires
// while they are loaded. If rows are lost, such a key would go on saying that every row has its parent.
package foreignkey

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Key is a foreign key that was there and does not say any more that it holds: rows have lost their parents. Names are UTF-8.
type Key struct {
	Schema, Table, Name string
	To                  string // the table that it leads to, quoted if it must be
	Gone                bool   // the server takes no such key that is not valid: it is dropped

	def string // as pg_get_constraintdef says it
}

// String names the key and its table.
func (k Key) String() string {
	return pgarchive.Quote(k.Name) + " on " + pgarchive.Quote(k.Schema, k.Table)
}

// State says what became of the key.
func (k Key) State() cofre.Message {
	if k.Gone {
		return cofre.Say("database.key_dropped", "dropped: rows have no parent in {{.table}}, whose rows are lost, and this server takes no such key that is not validated", "table", k.To)
	}
	return cofre.Say("database.key_opened", "not validated: rows have no parent in {{.table}}, whose rows are lost", "table", k.To)
}

// Next is the statement for when the rows are back.
func (k Key) Next() string {
	if k.Gone {
		return k.add("") + ";"
	}
	return fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s;", pgarchive.Quote(k.Schema, k.Table), pgarchive.Quote(k.Name))
}

func (k Key) add(suffix string) string {
	return fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s%s", pgarchive.Quote(k.Schema, k.Table), pgarchive.Quote(k.Name), k.def, suffix)
}

// keysSQL finds the valid foreign keys that lead to or from tables, or to or from what these are partitions of. Of a partitioned
// table's key, those of its partitions are parts.
const keysSQL = `
WITH lost AS (
  SELECT c.oid FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS l(nspname, relname)
  JOIN pg_catalog.pg_namespace n USING (nspname) JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.relname
), reach AS (
  SELECT oid FROM lost UNION SELECT relid FROM lost, pg_catalog.pg_partition_ancestors(lost.oid)
)
SELECT n.nspname, c.relname, k.conname, k.confrelid::regclass::text, pg_catalog.pg_get_constraintdef(k.oid), pg_catalog.quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint'))
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0 AND (k.conrelid IN (SELECT oid FROM reach) OR k.confrelid IN (SELECT oid FROM reach))
ORDER BY 1, 2, 3`

// Open has the server look at every valid foreign key that leads to or from a table, given by schema and name, and leaves those that
// do not hold as what they are: not valid. It returns these. Nobody else uses the tables meanwhile.
//
// Errors: of the connection; of a key that can neither be looked at nor be left as not valid, with those that were opened before.
func Open(ctx context.Context, conn *pgx.Conn, tables [][2]string) (opened []Key, err error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t[0]), append(names, t[1])
	}
	type described struct {
		Key
		comment *string // as a literal
	}
	rows, err := conn.Query(ctx, keysSQL, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("list the foreign keys over lost rows: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (k described, err error) {
		return k, r.Scan(&k.Schema, &k.Table, &k.Name, &k.To, &k.def, &k.comment)
	})
	if err != nil {
		return nil, fmt.Errorf("list the foreign keys over lost rows: %w", err)
	}
	for _, k := range keys {
		holds, err := k.holds(ctx, conn)
		if err == nil && !holds {
			k.Gone, err = k.reopen(ctx, conn, k.comment)
			opened = append(opened, k.Key)
		}
		if err != nil {
			return opened, fmt.Errorf("look at foreign key %s: %w", k.Key, err)
		}
	}
	return opened, nil
}

// holds has the server look at all rows, as if the key were made now, and makes none.
//
// Source: PostgreSQL, src/backend/commands/tablecmds.c, validateForeignKeyConstraint.
func (k Key) holds(ctx context.Context, conn *pgx.Conn) (bool, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	twin := k
	twin.Name = "cofre_looks_at_rows"
	_, err = tx.Exec(ctx, twin.add(""))
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok && failed.Code == "23503" { // foreign_key_violation
		return false, nil
	}
	return err == nil, err
}

// reopen makes the key anew, without a word about the rows that are there. A server that takes no such key of a partitioned table,
// as all do up to 17, is left without it.
func (k Key) reopen(ctx context.Context, conn *pgx.Conn, comment *string) (gone bool, err error) {
	drop := fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", pgarchive.Quote(k.Schema, k.Table), pgarchive.Quote(k.Name))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, drop)
		if err == nil {
			_, err = tx.Exec(ctx, k.add(" NOT VALID"))
		}
		if err == nil && comment != nil {
			_, err = tx.Exec(ctx, fmt.Sprintf("COMMENT ON CONSTRAINT %s ON %s IS %s", pgarchive.Quote(k.Name), pgarchive.Quote(k.Schema, k.Table), *comment))
		}
		return err
	})
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok && failed.Code == "42809" { // wrong_object_type
		_, err = conn.Exec(ctx, drop)
		return true, err
	}
	return false, err
}
