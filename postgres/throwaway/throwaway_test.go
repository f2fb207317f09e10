package throwaway_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

func query(t *testing.T, c postgres.Config, sql string) (answer string) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return answer
}

func TestLifeOfAServer(t *testing.T) {
	bin := strings.TrimSuffix(testkit.Binary(t, testkit.DefaultMajor, "postgres"), "/postgres")
	s, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: bin, TCP: true, Conf: []string{"work_mem = '3MB'"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	if got := query(t, s.Config("postgres"), "SHOW work_mem"); got != "3MB" {
		t.Errorf("work_mem is %s", got)
	}
	if got := query(t, s.TCPConfig("postgres"), "SELECT host(inet_server_addr())"); got != "127.0.0.1" {
		t.Errorf("over TCP at %s", got)
	}
	open := s.TCPConfig("postgres")
	open.Password = throwaway.Server{}.Password
	if _, err := postgres.Connect(t.Context(), open); err == nil {
		t.Error("the port is open to everybody on this machine")
	}
	// The directory of its log is the server's, and what it runs could put a link in the log's place.
	kept := t.TempDir() + "/kept"
	if err := errors.Join(os.WriteFile(kept, []byte("roots"), 0o600), os.Remove(s.LogFile()), os.Symlink(kept, s.LogFile())); err != nil {
		t.Fatal(err)
	}
	if log := s.Log(); log != "" {
		t.Errorf("the log is what a link in its place leads to: %q", log)
	}
	// Stopped in every way, the same cluster starts again.
	for _, stop := range []func() error{
		func() error { return s.Stop(t.Context(), throwaway.Fast) },
		func() error { return s.Stop(t.Context(), throwaway.Immediate) },
		func() error { s.Kill(); return nil },
	} {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if s.Running() {
			t.Error("it runs still")
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(kept); err != nil || string(b) != "roots" {
		t.Errorf("written through a link in the place of the log: %q, %v", b, err)
	}
	// A second server takes over a data directory that exists, and leaves it.
	if err := s.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	again, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: bin, DataDir: s.DataDir})
	if err != nil {
		t.Fatal(err)
	}
	if got := query(t, again.Config("postgres"), "SHOW work_mem"); got != "3MB" {
		t.Errorf("work_mem is %s", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.DataDir); err != nil {
		t.Errorf("the data directory of the caller is gone: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.TempDir()); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	bin := strings.TrimSuffix(testkit.Binary(t, testkit.DefaultMajor, "postgres"), "/postgres")
	_, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: bin, Conf: []string{"no_such_setting = 1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v", err)
	}
}
