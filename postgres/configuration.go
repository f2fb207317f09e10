package postgres

import (
	"context"
	"errors"
	"fmt"
)

// ConfigurationFile is a part of a server's configuration: Path names it below a folder of the server's.
type ConfigurationFile struct {
	Path  string // pg_hba.conf
	Bytes []byte
}

// ReadConfiguration reads the configuration of a server over SQL: its files, if the role may read them, and in any case
// settings.txt, which has every setting that is not the default. What could be read is returned beside the error.
//
// Errors: those of Connect; one that names each part that could not be read.
//
// Source: PostgreSQL, documentation of pg_read_file (roles with pg_read_server_files) and pg_settings.
func ReadConfiguration(ctx context.Context, server Config) (_ []ConfigurationFile, err error) {
	conn, err := Connect(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, Close(ctx, conn)) }()
	// What the server has is read, and not what Connect has set for the session.
	if _, err := conn.Exec(ctx, "RESET ALL"); err != nil {
		return nil, fmt.Errorf("read the configuration of PostgreSQL: %w", err)
	}
	var found []ConfigurationFile
	var lost []error
	for _, part := range []struct{ path, sql string }{
		{"settings.txt", `SELECT coalesce(string_agg(name || ' = ' || quote_literal(setting) || coalesce(' # ' || unit, ''), E'\n' ORDER BY name), '') || E'\n' FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'session')`},
		{"postgresql.conf", `SELECT pg_read_file(current_setting('config_file'))`},
		{"postgresql.auto.conf", `SELECT pg_read_file(current_setting('data_directory') || '/postgresql.auto.conf')`},
		{"pg_hba.conf", `SELECT pg_read_file(current_setting('hba_file'))`},
		{"pg_ident.conf", `SELECT pg_read_file(current_setting('ident_file'))`},
	} {
		var text string
		if err := conn.QueryRow(ctx, part.sql).Scan(&text); err != nil {
			lost = append(lost, fmt.Errorf("read postgresql/%s of the server: %w", part.path, err))
			continue
		}
		found = append(found, ConfigurationFile{part.path, []byte(text)})
	}
	return found, errors.Join(lost...)
}
