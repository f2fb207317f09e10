package dump

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

// readGlobals has pg_dumpall write the roles, their memberships and settings, and the tablespaces. They are
// not in the snapshot, nor in any transaction of their own: pg_dumpall reads them as they are.
//
// Passwords are left out unless they are asked for. If the role may not read them, as on every hosted
// service, that is a warning: the roles are there all the same.
func (d *dump) readGlobals(ctx context.Context) ([]byte, error) {
	if d.s.o.RolePasswords {
		b, err := d.dumpAll(ctx)
		if err == nil || !isPermission(err) {
			return b, err
		}
		d.warning(cofre.Say("database.no_passwords", "the passwords of roles are not in the globals: role {{.role}} may not read pg_authid", "role", d.server.Role.Name))
	}
	return d.dumpAll(ctx, "--no-role-passwords")
}

func (d *dump) dumpAll(ctx context.Context, options ...string) ([]byte, error) {
	// The database of the capture, which the role may certainly enter, and not postgres or template1.
	b, err := d.dumpAllOver(ctx, d.server.Database, append(slices.Clone(options), "--encoding="+d.server.Encoding))
	if isOtherEncoding(err) {
		return d.dumpAllElsewhere(ctx, options, err)
	}
	return b, err
}

func (d *dump) dumpAllOver(ctx context.Context, database string, options []string) ([]byte, error) {
	args := append([]string{"--globals-only", "--no-password", "--database=" + logical.ToolDatabase(database)}, options...)
	cmd, err := d.tools.Command(d.s.config, d.conn, "pg_dumpall", args...)
	if err != nil {
		return nil, err
	}
	b, err := process.Output(ctx, cmd)
	if err != nil {
		return nil, postgres.ExplainProgram(fmt.Errorf("dump the globals: %w", err), err.Error())
	}
	// Its last line proves that it came to its end.
	if !strings.Contains(string(b[max(0, len(b)-200):]), "PostgreSQL database cluster dump complete") {
		return nil, errors.New("dump the globals: pg_dumpall ended before it was complete")
	}
	return b, nil
}

// isOtherEncoding reports that the name of a role, which is in the encoding of the database in which it was made, is no
// text in that of this one.
func isOtherEncoding(err error) bool {
	var tool *cofre.ToolError
	return errors.As(err, &tool) && strings.Contains(tool.Stderr, "invalid byte sequence for encoding")
}

// isOther reports whether the name of a role may be no text in the encoding: of those that are not UTF-8, the server alone knows.
func isOther(name []byte, encoding string) bool {
	if encoding == "UTF8" {
		return !utf8.Valid(name)
	}
	return slices.ContainsFunc(name, func(b byte) bool { return b >= utf8.RuneSelf })
}

// dumpAllElsewhere has the globals dumped over a database in which all bytes are text. Roles belong to the server, and
// one that another database made must not keep this one from being captured: without such a database the component is
// published without globals, as one that lacks something.
func (d *dump) dumpAllElsewhere(ctx context.Context, options []string, cause error) ([]byte, error) {
	conn, err := postgres.Connect(ctx, d.s.config) // the capture's own is reading the facts
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	names, err := logical.Collect(ctx, conn, "the names of the roles", `SELECT `+postgres.RawRoleName+` FROM pg_catalog.pg_roles r`, pgx.RowTo[[]byte])
	if err != nil {
		return nil, err
	}
	var roles []string
	for _, name := range names {
		if isOther(name, d.server.Encoding) {
			roles = append(roles, fmt.Sprintf("%q", name))
		}
	}
	type place struct{ name, encoding string }
	places, err := logical.Collect(ctx, conn, "the databases", `
SELECT datname, pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database
WHERE datallowconn AND pg_catalog.pg_encoding_max_length(encoding) = 1 AND pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY datname`,
		func(r pgx.CollectableRow) (p place, err error) { return p, r.Scan(&p.name, &p.encoding) })
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		if !utf8.ValidString(p.name) {
			continue
		}
		b, err := d.dumpAllOver(ctx, p.name, append(slices.Clone(options), "--encoding="+p.encoding))
		if err == nil {
			d.warning(cofre.Say("database.globals_elsewhere", "the globals were read over database {{.database}}, because names of roles are no text in {{.encoding}}: {{.roles}}", "database", p.name, "encoding", d.server.Encoding, "roles", logical.Some(roles)))
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
	d.lacking.Store(true)
	d.warning(cofre.Say("database.no_globals", "the roles of the server are not captured: their names are no text in {{.encoding}}: {{.roles}} ({{.error}}); rename them over a database in the encoding in which they were made: ALTER ROLE … RENAME TO …",
		"encoding", d.server.Encoding, "roles", logical.Some(roles), "error", cause))
	return []byte("-- not captured: names of roles are no text in this database's encoding\n"), nil
}

func isPermission(err error) bool {
	var tool *cofre.ToolError
	return errors.As(err, &tool) && strings.Contains(tool.Stderr, "permission denied")
}
