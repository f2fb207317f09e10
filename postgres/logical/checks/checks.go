// Package checks puts the CHECK constraints of a database off: those of its tables and domains are taken away while rows are loaded
// and compared, and made again as they were.
//
// What a CHECK calls is code of the captured database, and nobody can tell from its text what it does. Nothing is read from the text
// of a dump: the server says what it has, takes it away, and is asked in the end whether it has the same again (docs/decisions/0043).
package checks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Constraint is a CHECK of a table or of a domain, as the catalogs have it. Names are UTF-8.
type Constraint struct {
	On     string // its table or domain, quoted
	Domain bool
	Name   string
	Def    string // as pg_get_constraintdef says it
	// Local and Parents say whether it was made for this table, and from how many others it is inherited.
	Local   bool
	Parents int
	Depth   int     // how many tables are above its own, at most
	Comment *string // as a literal
}

// String names the constraint and what it is of.
func (c Constraint) String() string { return pgarchive.Quote(c.Name) + " on " + c.On }

func (c Constraint) kind() string {
	if c.Domain {
		return "DOMAIN"
	}
	return "TABLE"
}

func (c Constraint) add() string {
	return "ADD CONSTRAINT " + pgarchive.Quote(c.Name) + " " + c.Def
}

// listSQL has the constraints of relations and domains that are no extension's. A foreign table has no rows of its own.
const listSQL = `
WITH RECURSIVE above(rel, depth) AS (
  SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p')
  UNION
  SELECT i.inhrelid, a.depth + 1 FROM above a JOIN pg_catalog.pg_inherits i ON i.inhparent = a.rel
), depths AS (SELECT rel, max(depth) AS depth FROM above GROUP BY rel)
SELECT pg_catalog.format('%I.%I', n.nspname, coalesce(c.relname, t.typname)), k.contypid <> 0, k.conname, pg_catalog.pg_get_constraintdef(k.oid), k.conislocal, k.coninhcount, coalesce(d.depth, 0),
  pg_catalog.quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint'))
FROM pg_catalog.pg_constraint k
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid LEFT JOIN depths d ON d.rel = k.conrelid LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
JOIN pg_catalog.pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace)
WHERE k.contype = 'c' AND (k.contypid <> 0 OR c.relkind IN ('r', 'p')) AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.deptype = 'e' AND e.objsubid = 0
  AND (e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = k.conrelid OR e.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND e.objid = k.contypid))
ORDER BY 2, 7, 1, 3`

func list(ctx context.Context, conn *pgx.Conn) ([]Constraint, error) {
	var all []Constraint
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// The server then writes every name with its schema.
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = ''"); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, listSQL)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c Constraint, err error) {
			return c, r.Scan(&c.On, &c.Domain, &c.Name, &c.Def, &c.Local, &c.Parents, &c.Depth, &c.Comment)
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the constraints: %w", err)
	}
	return all, nil
}

// Off is what was put off.
type Off struct {
	All  []Constraint
	Left []Constraint // of domains: they stay, because the server would not make them again
}

// PutOff takes the constraints away. The tables are empty: nothing is read, and no code of the database runs.
//
// The server refuses to make a constraint of a domain of which columns are arrays, composites or ranges; it is asked before, and such a
// constraint stays.
//
// Errors: of the connection; the server's, if the role does not own a table or a domain.
func PutOff(ctx context.Context, conn *pgx.Conn) (*Off, error) {
	all, err := list(ctx, conn)
	if err != nil {
		return nil, err
	}
	o := &Off{}
	for _, c := range all {
		if c.Domain {
			stays, err := c.putOffDomain(ctx, conn)
			if err != nil {
				return nil, fmt.Errorf("put off constraint %s: %w", c, err)
			}
			if stays {
				o.Left = append(o.Left, c)
				continue
			}
		} else if c.Local { // what is inherited goes with it
			if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", c.On, pgarchive.Quote(c.Name))); err != nil {
				return nil, fmt.Errorf("put off constraint %s: %w", c, err)
			}
		}
		o.All = append(o.All, c)
	}
	return o, nil
}

var errStays = errors.New("it stays")

func (c Constraint) putOffDomain(ctx context.Context, conn *pgx.Conn) (stays bool, err error) {
	alter := "ALTER DOMAIN " + c.On + " "
	drop := alter + "DROP CONSTRAINT " + pgarchive.Quote(c.Name)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, drop); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, alter+c.add()); isServers(err) {
			return errStays
		} else if err != nil {
			return err
		}
		_, err := tx.Exec(ctx, drop)
		return err
	})
	if errors.Is(err, errStays) {
		return true, nil
	}
	return false, err
}

func isServers(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server)
}

// Failure is a constraint that could not be made again.
type Failure struct {
	Constraint
	Said string
}

// Add makes the constraints again: the server reads the rows of each table for them. Those that cannot be made as they were, because
// rows violate them or the server says something else than before, are returned.
//
// Errors: of the connection.
func (o *Off) Add(ctx context.Context, conn *pgx.Conn) ([]Failure, error) {
	failed := map[string]string{}
	add := func(of []Constraint) error {
		_, err := conn.Exec(ctx, statement(of))
		if !isServers(err) {
			return err
		}
		for _, c := range of { // one of them does not hold: which?
			if len(of) > 1 {
				if _, err = conn.Exec(ctx, statement([]Constraint{c})); err == nil {
					continue
				} else if !isServers(err) {
					return err
				}
			}
			failed[c.String()] = strings.Join(strings.Fields(err.Error()), " ")
		}
		return nil
	}
	// Domains first, and tables from the last of a hierarchy to its root: what is made for a parent joins what its children have.
	order := slices.Clone(o.All)
	slices.SortStableFunc(order, func(a, b Constraint) int {
		if a.Domain != b.Domain {
			if a.Domain {
				return -1
			}
			return 1
		}
		return b.Depth - a.Depth
	})
	order = slices.DeleteFunc(order, func(c Constraint) bool { return !c.Local && !c.Domain })
	for len(order) > 0 {
		n := 1
		for !order[0].Domain && n < len(order) && order[n].On == order[0].On {
			n++ // one table is read once
		}
		if err := add(order[:n]); err != nil {
			return nil, fmt.Errorf("make constraint %s again: %w", order[0], err)
		}
		order = order[n:]
	}
	for _, c := range o.All {
		if c.Comment == nil || failed[c.String()] != "" {
			continue
		}
		on := c.On
		if c.Domain {
			on = "DOMAIN " + on
		}
		if _, err := conn.Exec(ctx, fmt.Sprintf("COMMENT ON CONSTRAINT %s ON %s IS %s", pgarchive.Quote(c.Name), on, *c.Comment)); err != nil && !isServers(err) {
			return nil, fmt.Errorf("comment on constraint %s: %w", c, err)
		}
	}
	return o.compare(ctx, conn, failed)
}

func statement(of []Constraint) string {
	parts := make([]string, len(of))
	for i, c := range of {
		parts[i] = c.add()
	}
	return "ALTER " + of[0].kind() + " " + of[0].On + " " + strings.Join(parts, ", ")
}

// compare asks the server whether it has what it had.
func (o *Off) compare(ctx context.Context, conn *pgx.Conn, failed map[string]string) (out []Failure, err error) {
	now, err := list(ctx, conn)
	if err != nil {
		return nil, err
	}
	have := map[string]Constraint{}
	for _, c := range now {
		have[c.kind()+" "+c.String()] = c
	}
	text := func(c *string) string {
		if c == nil {
			return ""
		}
		return *c
	}
	for _, c := range o.All {
		got, ok := have[c.kind()+" "+c.String()]
		said := failed[c.String()]
		switch {
		case said != "":
		case !ok:
			said = "the server does not have it"
		case got.Def != c.Def || got.Local != c.Local || got.Parents != c.Parents:
			said = fmt.Sprintf("it was %s (local %t, inherited %d times), and is %s (local %t, inherited %d times)", c.Def, c.Local, c.Parents, got.Def, got.Local, got.Parents)
		case text(got.Comment) != text(c.Comment):
			said = "its comment is another"
		default:
			continue
		}
		out = append(out, Failure{c, said})
	}
	return out, nil
}
