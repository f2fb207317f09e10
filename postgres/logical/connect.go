package logical

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Connect opens a session with settings of its own.
//
// Errors: those of postgres.Connect.
func Connect(ctx context.Context, c postgres.Config, settings map[string]string) (*pgx.Conn, error) {
	return postgres.Connect(ctx, c.WithSettings(settings))
}

// SetEncoding makes an encoding that of a session's texts.
//
// Errors: the server's if it does not know the encoding; of the connection.
func SetEncoding(ctx context.Context, conn *pgx.Conn, encoding string) error {
	if _, err := conn.Exec(ctx, "SET client_encoding = "+Literal(encoding)); err != nil {
		return fmt.Errorf("set the client encoding %s: %w", encoding, err)
	}
	return nil
}

// IsDenied reports whether the server refused for want of a privilege.
func IsDenied(err error) bool { return HasCode(err, "42501") }

// HasCode reports whether the server answered with this SQLSTATE.
func HasCode(err error, code string) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == code
}

// IsServerError reports whether the server said it: not the connection, and not the repository.
func IsServerError(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server)
}

// Literal writes a text as a constant of SQL.
func Literal(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		// Under either setting of standard_conforming_strings.
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// ColumnList writes columns for SQL, each behind alias if there is one.
func ColumnList(alias string, columns []string) string {
	q := make([]string, len(columns))
	for i, c := range columns {
		q[i] = pgarchive.Quote(c)
		if alias != "" {
			q[i] = alias + "." + q[i]
		}
	}
	return strings.Join(q, ", ")
}

// CutName is a name that ends with suffix, and begins with as many whole characters of base as there is room for.
func CutName(base, suffix string) string {
	const longest = 63 // bytes, NAMEDATALEN - 1
	if room := longest - len(suffix); len(base) > room {
		base = strings.ToValidUTF8(base[:room], "")
	}
	return base + suffix
}

// ToolDatabase writes a database's name so that libpq does not take it for a connection string.
func ToolDatabase(name string) string {
	if strings.ContainsAny(name, "= ") || strings.Contains(name, "://") {
		return "dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
	}
	return name
}
