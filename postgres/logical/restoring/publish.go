package restoring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Publish gives the staged database its name. What has that name is renamed in the same transaction, so that
// there is no moment at which the name leads nowhere, and a crash leaves one or the other, whole.
//
// Errors: cofre.ErrExists if a database of that name has appeared since Plan; cofre.ErrLocked if sessions
// of the old database could not be ended. After an error both databases have the names they had.
func (t *Target) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if t.published { // its sessions would be ended for nothing
		return nil, fmt.Errorf("publish database %s: %w: it is published", t.o.Name, cofre.ErrRefused)
	}
	o, err := t.publish(ctx)
	if err != nil {
		return nil, fmt.Errorf("publish database %s: %w", t.o.Name, postgres.Explain(err))
	}
	t.created, t.published = false, true // it has its name: Discard must not remove it
	return o, nil
}

// renameAttempts is how often sessions that keep coming back are ended. The server itself waits five seconds in
// each attempt for them to leave.
//
// Source: PostgreSQL, src/backend/storage/ipc/procarray.c, CountOtherDBBackends.
const renameAttempts = 6

func (t *Target) publish(ctx context.Context) (*cofre.Outcome, error) {
	conn, err := t.maintenance(ctx)
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)`, t.o.Name).Scan(&exists); err != nil {
		return nil, err
	}
	if exists && !t.o.Replace {
		return nil, cofre.WithHint(fmt.Errorf("%w", cofre.ErrExists), cofre.Say("database.staged", "the restored database is {{.name}}: rename it, or drop it", "name", t.staged))
	}
	for attempt := 1; ; attempt++ {
		err := t.rename(ctx, conn, exists)
		if err == nil {
			break
		}
		// 55006, object_in_use: a session was there or came back.
		if !logical.HasCode(err, "55006") {
			return nil, err
		}
		if attempt == renameAttempts {
			return nil, cofre.WithHint(fmt.Errorf("sessions of database %s do not end: %w", t.o.Name, cofre.ErrLocked),
				cofre.Say("database.sessions", "stop what opens them; the restored database is {{.name}}", "name", t.staged))
		}
	}
	o := &cofre.Outcome{Restored: t.o.Name, Next: slices.Concat(t.afterwards, t.bringLost(ctx))}
	if exists {
		drop := t.dropCommand(t.kept)
		o.Keeps(cofre.ThingDatabase, t.o.Name, t.kept, cofre.Verbatim(t.kept))
		o.Then(cofre.DoDropKept, drop, cofre.Say("database.drop_old", "when the old one is no longer needed: {{.sql}}", "sql", drop))
	}
	return o, nil
}

// rename swaps the names in one transaction. ALTER DATABASE RENAME locks the database against new sessions
// before it looks for old ones; a second session ends those in the meantime. It has come to its end before the
// transaction does: from then on the name is the restored database's, and who connects to it is not to be ended.
func (t *Target) rename(ctx context.Context, conn *pgx.Conn, exists bool) error {
	ending, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- t.endSessions(ending, exists) }()
	var endErr error
	ended := sync.OnceFunc(func() {
		stop()
		endErr = <-done
	})
	defer ended()
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if exists {
			if _, err := tx.Exec(ctx, "ALTER DATABASE "+pgarchive.Quote(t.o.Name)+" RENAME TO "+pgarchive.Quote(t.kept)); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "ALTER DATABASE "+pgarchive.Quote(t.staged)+" RENAME TO "+pgarchive.Quote(t.o.Name)); err != nil {
			return err
		}
		ended()
		if errors.Is(endErr, errUnanswered) {
			return endErr
		}
		return nil
	})
	if ended(); err != nil && endErr != nil && !errors.Is(err, endErr) && ctx.Err() == nil {
		return fmt.Errorf("%w (%v)", err, endErr)
	}
	return err
}

// errUnanswered says that the server may still be ending sessions.
var errUnanswered = errors.New("the server does not say whether it has ended the sessions")

// endSessions ends the sessions of the old and the staged database, again and again until ctx ends. It returns once the
// server has answered.
func (t *Target) endSessions(ctx context.Context, exists bool) error {
	conn, err := t.maintenance(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer postgres.Close(ctx, conn)
	names := logical.Literal(t.staged)
	if exists {
		names += ", " + logical.Literal(t.o.Name)
	}
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		err := execToEnd(ctx, conn, `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname IN (`+names+`) AND pid <> pg_catalog.pg_backend_pid()`)
		switch {
		case err != nil && ctx.Err() != nil && !logical.IsServerError(err):
			return fmt.Errorf("end the sessions of database %s: %w: %w", t.o.Name, errUnanswered, err)
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("end the sessions of database %s: %w", t.o.Name, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}
