package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre/postgres"
)

// Heartbeat commits a message that says nothing: some hundred bytes of WAL, no table, and no end of a segment. A standby commits nothing, and that is no error.
//
// Errors: those of the server.
func Heartbeat(ctx context.Context, server postgres.Config) (err error) {
	conn, err := postgres.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var done bool
	err = conn.QueryRow(ctx, `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN true
		ELSE pg_catalog.pg_logical_emit_message(true, 'cofre', '') IS NOT NULL END`).Scan(&done)
	if err != nil {
		return postgres.Explain(fmt.Errorf("write a heartbeat: %w", err))
	}
	return nil
}
