package drilled

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Muted are the foreign-data wrappers of a database, whose handlers were taken away: a foreign table then reads from nowhere, and writes nowhere,
// whoever asks. The servers and user mappings that lead to the real ones stay as they are, to be compared.
type Muted struct {
	in       postgres.Config
	wrappers []wrapper
}

type wrapper struct{ name, handler string }

// NoHandler is what the server says of a foreign table that was muted: a part of its message.
const NoHandler = "has no handler"

// Mute takes the handlers of all foreign-data wrappers of a database away.
//
// Errors: those of the connection.
func Mute(ctx context.Context, in postgres.Config) (*Muted, error) {
	m := &Muted{in: in}
	conn, err := postgres.Connect(ctx, in)
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	rows, err := conn.Query(ctx, `
SELECT w.fdwname, pg_catalog.format('%I.%I', n.nspname, p.proname) FROM pg_catalog.pg_foreign_data_wrapper w
JOIN pg_catalog.pg_proc p ON p.oid = w.fdwhandler JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace ORDER BY 1`)
	if err == nil {
		m.wrappers, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (w wrapper, err error) { return w, r.Scan(&w.name, &w.handler) })
	}
	if err != nil {
		return nil, fmt.Errorf("list the foreign-data wrappers: %w", postgres.Explain(err))
	}
	return m, m.alter(ctx, conn, func(wrapper) string { return "NO HANDLER" })
}

// Some reports whether there is a wrapper that was muted.
func (m *Muted) Some() bool { return m != nil && len(m.wrappers) > 0 }

// Undo gives the handlers back while catalogs are compared, which read no foreign table, and takes them away again when within returns.
//
// Errors: those of within and of the connection.
func (m *Muted) Undo(ctx context.Context, within func() error) error {
	if err := m.set(ctx, func(w wrapper) string { return "HANDLER " + w.handler }); err != nil {
		return err
	}
	err := within()
	if again := m.set(context.WithoutCancel(ctx), func(wrapper) string { return "NO HANDLER" }); err == nil {
		err = again
	}
	return err
}

func (m *Muted) set(ctx context.Context, to func(wrapper) string) error {
	conn, err := postgres.Connect(ctx, m.in)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	return m.alter(ctx, conn, to)
}

func (m *Muted) alter(ctx context.Context, conn *pgx.Conn, to func(wrapper) string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, w := range m.wrappers {
			if _, err := tx.Exec(ctx, "ALTER FOREIGN DATA WRAPPER "+pgarchive.Quote(w.name)+" "+to(w)); err != nil {
				return fmt.Errorf("set the handler of foreign-data wrapper %s: %w", w.name, postgres.Explain(err))
			}
		}
		return nil
	})
}
