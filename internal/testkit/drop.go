package testkit

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// HeldDrop is a DROP DATABASE that stands still after it has marked the database, when nobody can connect to it any more,
// and before it removes a file. It stands for as long as anything else needs the processes of the server, except those
// that wait for every backend: another DROP DATABASE.
type HeldDrop struct {
	t       testing.TB
	name    string
	backend int
	held    bool
	ended   chan error
}

// HoldDrop begins to drop a database and holds it there. It goes on at the end of the test at the latest.
func (s *Server) HoldDrop(t testing.TB, name string) *HeldDrop {
	t.Helper()
	checkpointer, err := strconv.Atoi(s.Query(t, "postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"))
	if err != nil {
		t.Fatal(err)
	}
	// Between the two it waits for a checkpoint. A checkpointer that is stopped in the middle of its work holds what others need.
	s.Exec(t, "postgres", "CHECKPOINT")
	Await(t, "the checkpointer to rest", 30*time.Second, func() bool {
		signal(t, checkpointer, syscall.SIGSTOP)
		if s.Query(t, "postgres", fmt.Sprintf("SELECT wait_event FROM pg_stat_activity WHERE pid = %d", checkpointer)) == "CheckpointerMain" {
			return true
		}
		signal(t, checkpointer, syscall.SIGCONT)
		return false
	})
	defer signal(t, checkpointer, syscall.SIGCONT)
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	h := &HeldDrop{t: t, name: name, backend: int(conn.PgConn().PID()), ended: make(chan error, 1)}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		_, err := conn.Exec(ctx, "DROP DATABASE "+name)
		_ = conn.Close(ctx)
		h.ended <- err
	}()
	Await(t, "the DROP to wait for a checkpoint", 30*time.Second, func() bool {
		return s.Query(t, "postgres", fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event LIKE 'Checkpoint%%'", h.backend)) == "1"
	})
	if got := s.Query(t, "postgres", "SELECT datconnlimit FROM pg_database WHERE datname = '"+name+"'"); got != "-2" {
		t.Fatalf("the DROP waits, and datconnlimit is %s", got)
	}
	signal(t, h.backend, syscall.SIGSTOP)
	h.held = true
	t.Cleanup(func() {
		if h.held {
			h.GoOn()
		}
	})
	return h
}

// GoOn lets the DROP go on, and waits for its end.
func (h *HeldDrop) GoOn() {
	h.t.Helper()
	if err := h.release(); err != nil {
		h.t.Errorf("DROP DATABASE %s: %v", h.name, err)
	}
}

// Interrupt cancels the DROP, which leaves a database to which nobody can connect.
func (h *HeldDrop) Interrupt() {
	h.t.Helper()
	signal(h.t, h.backend, syscall.SIGINT)
	if err := h.release(); err == nil {
		h.t.Errorf("DROP DATABASE %s was canceled, and went on", h.name)
	}
}

func (h *HeldDrop) release() error {
	h.held = false
	signal(h.t, h.backend, syscall.SIGCONT)
	return <-h.ended
}

func signal(t testing.TB, pid int, sig syscall.Signal) {
	if err := syscall.Kill(pid, sig); err != nil {
		t.Error(err)
	}
}
