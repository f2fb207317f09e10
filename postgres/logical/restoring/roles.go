package restoring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/globals"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

func readMemberships(ctx context.Context, q logical.Querier) ([]string, error) {
	return logical.Collect(ctx, q, "the memberships", `
SELECT pg_catalog.pg_get_userbyid(roleid) || ' to ' || pg_catalog.pg_get_userbyid(member) FROM pg_catalog.pg_auth_members`, pgx.RowTo[string])
}

// rolesInside reports whether roles can be named only over the staged database: the server keeps the bytes of a name, and
// which name they are depends on the encoding of the database in which it is said.
func (t *Target) rolesInside() bool {
	names := globals.Roles(t.roles)
	if !t.o.NoOwner && !t.fromTemplate() {
		names = append(names, t.Facts.Database.Owner)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
	})
}

// createRoles makes the missing roles in one transaction.
func (t *Target) createRoles(ctx context.Context, over postgres.Config, obs cofre.Observer) error {
	if len(t.roles) == 0 {
		return nil
	}
	conn, err := logical.Connect(ctx, over, nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if err := runGlobals(ctx, conn, t.roles); err != nil {
		return err
	}
	for _, r := range globals.Roles(t.roles) {
		obs.Observe(cofre.Event{Type: cofre.TypeNote, Item: r}.Doing(rolesTask()).Saying(cofre.Say("database.role_created", "role {{.role}} created", "role", r)))
	}
	return nil
}

// giveOwner makes the captured owner that of the staged database.
func (t *Target) giveOwner(ctx context.Context) error {
	if t.o.NoOwner || t.fromTemplate() {
		return nil
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+pgarchive.Quote(t.staged)+" OWNER TO "+pgarchive.Quote(t.Facts.Database.Owner)); err != nil {
		return fmt.Errorf("set the owner of database %s: %w", t.staged, err)
	}
	return nil
}

func runGlobals(ctx context.Context, conn *pgx.Conn, statements []globals.Statement) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			// The error does not have the statement's text, in which a password's verifier may be. The server would write a failing one
			// into its log as well, which is out of our hands.
			if _, err := tx.Exec(ctx, s.SQL()); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

func rolesTask() cofre.Message { return cofre.Say("database.task_roles", "create roles") }
