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

	def     string  // as pg_get_constraintdef says it
	comment *string // as a literal
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
	return fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s;", pgarchive.Typed(k.Schema, k.Table), pgarchive.Typed(k.Name))
}

func (k Key) add(suffix string) string {
	return fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s%s", pgarchive.Quote(k.Schema, k.Table), pgarchive.Quote(k.Name), k.def, suffix)
}

// describeSQL is what is known of keys k, whose tables are c in schemas n.
const describeSQL = `SELECT n.nspname, c.relname, k.conname, k.confrelid::regclass::text, pg_catalog.pg_get_constraintdef(k.oid), pg_catalog.quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint'))
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
`

// keysSQL finds the valid foreign keys that lead to or from tables, or to or from what these are partitions of. Of a partitioned
// table's key, those of its partitions are parts.
const keysSQL = `
WITH lost AS (
  SELECT c.oid FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS l(nspname, relname)
  JOIN pg_catalog.pg_namespace n USING (nspname) JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = l.relname
), reach AS (
  SELECT oid FROM lost UNION SELECT relid FROM lost, pg_catalog.pg_partition_ancestors(lost.oid)
)
` + describeSQL + `WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0 AND (k.conrelid IN (SELECT oid FROM reach) OR k.confrelid IN (SELECT oid FROM reach))
ORDER BY 1, 2, 3`

// Session is a connection or a transaction.
type Session interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Open has the server look at every valid foreign key that leads to or from a table, given by schema and name, and leaves those that
// do not hold as what they are: not valid. It returns these. Nobody else uses the tables meanwhile. In a transaction no trigger waits
// for its end.
//
// Errors: of the connection; of a key that can neither be looked at nor be left as not valid, with those that were opened before.
func Open(ctx context.Context, conn Session, tables [][2]string) (opened []Key, err error) {
	var schemas, names []string
	for _, t := range tables {
		schemas, names = append(schemas, t[0]), append(names, t[1])
	}
	keys, err := describe(ctx, conn, keysSQL, schemas, names)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		holds, err := k.holds(ctx, conn)
		if err == nil && !holds {
			if err = k.drop(ctx, conn); err == nil {
				k, err = k.Reopen(ctx, conn)
			}
			opened = append(opened, k)
		}
		if err != nil {
			return opened, fmt.Errorf("look at foreign key %s: %w", k, err)
		}
	}
	return opened, nil
}

// holds has the server look at all rows, as if the key were made now, and makes none.
//
// Source: PostgreSQL, src/backend/commands/tablecmds.c, validateForeignKeyConstraint.
func (k Key) holds(ctx context.Context, conn Session) (bool, error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	twin := k
	twin.Name = "cofre_looks_at_rows"
	_, err = tx.Exec(ctx, twin.add(""))
	if Broken(err) {
		return false, nil
	}
	return err == nil, err
}

// Suspend drops the key of which the server says, in err, that rows break it, so that they can be written: one that is not valid would
// go on looking at each of them. Reopen makes it again.
//
// Errors: of the connection; err if it names no key.
func Suspend(ctx context.Context, conn Session, err error) (Key, error) {
	failed, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return Key{}, err
	}
	keys, asked := describe(ctx, conn, suspendedSQL, failed.SchemaName, failed.TableName, failed.ConstraintName)
	if asked != nil || len(keys) != 1 {
		return Key{}, errors.Join(err, asked)
	}
	return keys[0], keys[0].drop(ctx, conn)
}

// suspendedSQL finds a key by its name, or that of a partitioned table of which it is a part.
const suspendedSQL = `
WITH RECURSIVE up AS (
  SELECT k.oid, k.conparentid FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE k.contype = 'f' AND n.nspname = $1::text AND c.relname = $2::text AND k.conname = $3::text
  UNION ALL SELECT k.oid, k.conparentid FROM pg_catalog.pg_constraint k JOIN up ON k.oid = up.conparentid
)
` + describeSQL + `WHERE k.oid IN (SELECT oid FROM up WHERE conparentid = 0)`

func describe(ctx context.Context, conn Session, sql string, args ...any) ([]Key, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list the foreign keys over lost rows: %w", err)
	}
	keys, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (k Key, err error) {
		return k, r.Scan(&k.Schema, &k.Table, &k.Name, &k.To, &k.def, &k.comment)
	})
	if err != nil {
		return nil, fmt.Errorf("list the foreign keys over lost rows: %w", err)
	}
	return keys, nil
}

func (k Key) drop(ctx context.Context, conn Session) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", pgarchive.Quote(k.Schema, k.Table), pgarchive.Quote(k.Name)))
		return err
	})
}

// Reopen makes a key that was dropped anew, without a word about the rows that are there. A server that takes no such key of a
// partitioned table, as all do up to 17, is left without it: it is then Gone.
//
// Errors: the server's.
func (k Key) Reopen(ctx context.Context, conn Session) (Key, error) {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, k.add(" NOT VALID"))
		if err == nil && k.comment != nil {
			_, err = tx.Exec(ctx, fmt.Sprintf("COMMENT ON CONSTRAINT %s ON %s IS %s", pgarchive.Quote(k.Name), pgarchive.Quote(k.Schema, k.Table), *k.comment))
		}
		return err
	})
	if RefusesNotValid(err) {
		k.Gone, err = true, nil
	}
	return k, err
}

// Broken reports whether the server said that rows break a key.
func Broken(err error) bool {
	failed, ok := errors.AsType[*pgconn.PgError](err)
	return ok && failed.Code == "23503" // foreign_key_violation
}

// RefusesNotValid reports whether the server said that a key cannot be made without being validated: of a partitioned table, up to 17.
func RefusesNotValid(err error) bool {
	failed, ok := errors.AsType[*pgconn.PgError](err)
	return ok && failed.Code == "42809" // wrong_object_type
}
