package logical

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
)

// readGlobals has pg_dumpall write the roles, their memberships and settings, and the tablespaces. They are
// not in the snapshot, nor in any transaction of their own: pg_dumpall reads them as they are.
//
// Passwords are left out unless they are asked for. Where the role may not read them, as on every hosted
// service, that is a warning: the roles are there all the same.
func (d *dump) readGlobals(ctx context.Context) ([]byte, error) {
	if d.s.o.RolePasswords {
		b, err := d.dumpAll(ctx)
		if err == nil || !isPermission(err) {
			return b, err
		}
		d.warning("the passwords of roles are not in the globals: role %s may not read pg_authid", d.server.Role.Name)
	}
	return d.dumpAll(ctx, "--no-role-passwords")
}

func (d *dump) dumpAll(ctx context.Context, options ...string) ([]byte, error) {
	// The database of the capture, which the role may certainly enter, and not postgres or template1.
	args := append([]string{"--globals-only", "--no-password", "--database=" + toolDatabase(d.server.Database)}, options...)
	cmd, err := d.tools.Command(d.s.config, d.conn, "pg_dumpall", args...)
	if err != nil {
		return nil, err
	}
	b, err := process.Output(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("dump the globals: %w", err)
	}
	// Its last line proves that it came to its end.
	if !strings.Contains(string(b[max(0, len(b)-200):]), "PostgreSQL database cluster dump complete") {
		return nil, errors.New("dump the globals: pg_dumpall ended before it was complete")
	}
	return b, nil
}

func isPermission(err error) bool {
	var tool *cofre.ToolError
	return errors.As(err, &tool) && strings.Contains(tool.Stderr, "permission denied")
}
