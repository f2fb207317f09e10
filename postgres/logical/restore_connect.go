package logical

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre/postgres"
)

func connect(ctx context.Context, c postgres.Config, settings map[string]string) (*pgx.Conn, error) {
	return postgres.Connect(ctx, c.WithSettings(settings))
}

// maintenance connects to a database that is neither the one replaced nor the staged one.
func (t *Target) maintenance(ctx context.Context) (*pgx.Conn, error) {
	return connect(ctx, t.server.maintenance, nil)
}

// isDenied reports whether the server refused for want of a privilege.
func isDenied(err error) bool { return hasCode(err, "42501") }

func hasCode(err error, code string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == code
}
