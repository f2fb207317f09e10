package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/postgres"
)

// serverConfig reads the configuration of a PostgreSQL server over SQL: its files where the role may read them,
// and in any case every setting that is not the default.
//
// Source: PostgreSQL, documentation of pg_read_file (roles with pg_read_server_files) and pg_settings.
func serverConfig(server postgres.Config) func(context.Context) ([]files.Virtual, error) {
	return func(ctx context.Context) (_ []files.Virtual, err error) {
		conn, err := postgres.Connect(ctx, server)
		if err != nil {
			return nil, fmt.Errorf("read the configuration of PostgreSQL: %w", err)
		}
		defer func() { err = errors.Join(err, postgres.Close(ctx, conn)) }()
		// What the server has is read, and not what Connect has set for the session.
		if _, err := conn.Exec(ctx, "RESET ALL"); err != nil {
			return nil, fmt.Errorf("read the configuration of PostgreSQL: %w", err)
		}
		var found []files.Virtual
		var lost []error
		for _, part := range []struct{ path, sql string }{
			{"postgresql/settings.txt", `SELECT coalesce(string_agg(name || ' = ' || quote_literal(setting) || coalesce(' # ' || unit, ''), E'\n' ORDER BY name), '') || E'\n' FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session')`},
			{"postgresql/postgresql.conf", `SELECT pg_read_file(current_setting('config_file'))`},
			{"postgresql/postgresql.auto.conf", `SELECT pg_read_file(current_setting('data_directory') || '/postgresql.auto.conf')`},
			{"postgresql/pg_hba.conf", `SELECT pg_read_file(current_setting('hba_file'))`},
			{"postgresql/pg_ident.conf", `SELECT pg_read_file(current_setting('ident_file'))`},
		} {
			var text string
			if err := conn.QueryRow(ctx, part.sql).Scan(&text); err != nil {
				lost = append(lost, fmt.Errorf("read %s of the server: %w", part.path, err))
				continue
			}
			found = append(found, files.Virtual{Path: part.path, Bytes: []byte(text)})
		}
		return found, errors.Join(lost...)
	}
}
