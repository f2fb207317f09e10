package testkit

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// idle keeps a session in the database postgres, for the next who asks: on some machines the start and the end of a session cost more than all that is done
// in it, and tests look at their servers thousands of times. No session is kept in another database: what is tested renames, copies and drops them, and looks
// who is connected.
type idle struct {
	mu   sync.Mutex
	conn *pgconn.PgConn
	pid  int // of the postmaster that it is a session of
}

// session is one of the superuser in a database, as new, and what ends it.
func (s *Server) session(t testing.TB, database string) (*pgconn.PgConn, func()) {
	t.Helper()
	ctx := context.Background()
	if database == "postgres" {
		if conn := s.idle.take(ctx, s.PID()); conn != nil {
			return conn, func() { s.idle.put(ctx, conn, s.PID()) }
		}
	}
	conn, err := pgconn.Connect(ctx, s.URL(database))
	if err != nil {
		t.Fatalf("connect to %s: %v", database, err)
	}
	if database == "postgres" {
		return conn, func() { s.idle.put(ctx, conn, s.PID()) }
	}
	return conn, func() { _ = conn.Close(ctx) }
}

// take returns the session that is kept, if it still is one, with nothing left in it of what was done there.
func (i *idle) take(ctx context.Context, postmaster int) *pgconn.PgConn {
	i.mu.Lock()
	conn, of := i.conn, i.pid
	i.conn = nil
	i.mu.Unlock()
	if conn == nil {
		return nil
	}
	if of == postmaster {
		if _, err := conn.Exec(ctx, "DISCARD ALL").ReadAll(); err == nil {
			return conn
		}
	}
	_ = conn.Close(ctx)
	return nil
}

// put keeps a session, if none is kept and no transaction is open in this one.
func (i *idle) put(ctx context.Context, conn *pgconn.PgConn, postmaster int) {
	i.mu.Lock()
	keep := i.conn == nil && conn.TxStatus() == 'I' && !conn.IsClosed()
	if keep {
		i.conn, i.pid = conn, postmaster
	}
	i.mu.Unlock()
	if !keep {
		_ = conn.Close(ctx)
	}
}
