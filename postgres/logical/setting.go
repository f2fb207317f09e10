package logical

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

// listSettings hold lists of names, each of which is quoted for itself in the catalog already.
//
// Source: PostgreSQL, src/bin/pg_dump/dumputils.c, makeAlterConfigCommand and variable_is_guc_list_quote.
var listSettings = []string{"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}

// Statement sets it for a database, whose name is quoted.
func (s Setting) Statement(db string) string {
	value := Literal(s.Value)
	if slices.Contains(listSettings, strings.ToLower(s.Name)) {
		var parts []string
		for rest := strings.TrimSpace(s.Value); rest != ""; {
			var part string
			if strings.HasPrefix(rest, `"`) {
				end := 1
				for end < len(rest) && (rest[end] != '"' || (end+1 < len(rest) && rest[end+1] == '"')) {
					if rest[end] == '"' {
						end++
					}
					end++
				}
				part, rest = strings.ReplaceAll(rest[1:min(end, len(rest))], `""`, `"`), rest[min(end+1, len(rest)):]
			} else {
				end := strings.IndexByte(rest, ',')
				if end < 0 {
					end = len(rest)
				}
				part, rest = strings.TrimSpace(rest[:end]), rest[end:]
			}
			parts = append(parts, Literal(part))
			rest = strings.TrimLeft(rest, " ")
			rest = strings.TrimLeft(strings.TrimPrefix(rest, ","), " ")
		}
		if value = strings.Join(parts, ", "); value == "" {
			value = "''"
		}
	}
	// An extension's parameter has two parts, each quoted.
	name := pgarchive.Quote(strings.Split(s.Name, ".")...)
	if s.Role != "" {
		return fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET %s TO %s", pgarchive.Quote(s.Role), db, name, value)
	}
	return fmt.Sprintf("ALTER DATABASE %s SET %s TO %s", db, name, value)
}

// NotPermitted are those of settings that the role of a session may not make: of roles that are not its own, and of parameters that are for superusers.
// The server is asked, in transactions that are rolled back: whom it permits what differs by version and by what is granted. Those of a database are asked as the
// role's own.
//
// Errors: the server's, but for a refusal.
func NotPermitted(ctx context.Context, conn *pgx.Conn, settings []Setting) (not []Setting, err error) {
	var database, role string
	if len(settings) > 0 {
		err = conn.QueryRow(ctx, "SELECT current_database(), current_user").Scan(&database, &role)
	}
	for _, s := range settings {
		if err != nil {
			return not, err
		}
		asked := s
		if asked.Role == "" {
			asked.Role = role
		}
		err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, asked.Statement(pgarchive.Quote(database)))
			return errors.Join(err, tx.Rollback(ctx))
		})
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "42501" {
			not = append(not, s)
		}
		if errors.Is(err, pgx.ErrTxClosed) || refused != nil {
			err = nil // what else is wrong with a value is found when it is set
		}
	}
	return not, err
}
