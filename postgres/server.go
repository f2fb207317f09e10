package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Server is what a session says of its server.
type Server struct {
	Version     Version
	VersionText string         // as the server prints it: 15.18 (Debian 15.18-0+deb12u1)
	SystemID    cofre.SystemID // 0 if the role may not read it
	InRecovery  bool           // a standby, or a cluster being recovered
	DataDir     string         // empty if the role may not read it
	Database    string
	Encoding    string // of the database
	Role        Role
	Settings    map[string]string // those that the role may see
}

// Role is what the session's role may do.
type Role struct {
	Name        string
	Superuser   bool
	BypassRLS   bool
	Replication bool
	CreateRole  bool
	CreateDB    bool
	ReadAllData bool // a member of pg_read_all_data, which 14 introduced
	Inherit     bool // it has the rights of the roles that it is a member of; up to 15 always, later unless a grant says otherwise
}

// ReadServer asks the server what it is.
//
// Errors: those of the server and of the connection, as Explain gives them.
func ReadServer(ctx context.Context, conn *pgx.Conn) (Server, error) {
	s := Server{Settings: map[string]string{}}
	rows, err := conn.Query(ctx, `SELECT name, setting FROM pg_catalog.pg_settings`)
	if err != nil {
		return s, Explain(fmt.Errorf("read the settings of the server: %w", err))
	}
	var name, setting string
	if _, err := pgx.ForEachRow(rows, []any{&name, &setting}, func() error {
		s.Settings[name] = setting
		return nil
	}); err != nil {
		return s, Explain(fmt.Errorf("read the settings of the server: %w", err))
	}
	number, err := strconv.Atoi(s.Settings["server_version_num"])
	if err != nil {
		return s, fmt.Errorf("read the version of the server: %w", err)
	}
	s.Version, s.VersionText, s.DataDir = Version(number), s.Settings["server_version"], s.Settings["data_directory"]
	err = conn.QueryRow(ctx, `
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_database(), pg_catalog.pg_encoding_to_char(d.encoding),
       r.rolname, r.rolsuper, r.rolbypassrls, r.rolreplication, r.rolcreaterole, r.rolcreatedb, r.rolinherit,
       EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = 'pg_read_all_data' AND pg_catalog.pg_has_role(r.oid, p.oid, 'USAGE'))
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
WHERE r.rolname = current_user AND d.datname = pg_catalog.current_database()`).Scan(
		&s.InRecovery, &s.Database, &s.Encoding, &s.Role.Name, &s.Role.Superuser, &s.Role.BypassRLS,
		&s.Role.Replication, &s.Role.CreateRole, &s.Role.CreateDB, &s.Role.Inherit, &s.Role.ReadAllData)
	if err != nil {
		return s, Explain(fmt.Errorf("read the role of the session: %w", err))
	}
	var id *int64
	// A provider may have taken the right to run this function away; the identifier is then unknown.
	err = conn.QueryRow(ctx, `
SELECT CASE WHEN pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
       THEN (SELECT system_identifier FROM pg_catalog.pg_control_system()) END`).Scan(&id)
	if err != nil {
		return s, Explain(fmt.Errorf("read the system identifier: %w", err))
	}
	if id != nil {
		s.SystemID = cofre.SystemID(uint64(*id))
	}
	return s, nil
}

// RawRoleName is, in SQL, the name of a row r of pg_roles as the server keeps it: the bytes with which the role was made, in
// the encoding of the database over which that was done, which may be no text in that of another.
const RawRoleName = `pg_catalog.replace(r.rolname::text, E'\\', E'\\\\')::bytea`
