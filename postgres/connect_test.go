package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
)

// A role may be given another one to act as, and is left with it; what a database says means its applications.
func TestConnectAsTheRoleThatWasMeant(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE DATABASE acting")
		s.Exec(t, "postgres", "CREATE ROLE actor LOGIN; CREATE ROLE other; CREATE ROLE third; GRANT other, third TO actor")
		for _, c := range []struct{ set, want string }{
			{"ALTER ROLE actor SET role = other", "other"},
			{"ALTER DATABASE acting SET role = third", "other"}, // the role's own setting counts
			{"ALTER ROLE actor IN DATABASE acting SET role = third", "actor"},
			{"ALTER ROLE actor RESET role; ALTER ROLE actor IN DATABASE acting RESET role", "actor"},
		} {
			s.Exec(t, "postgres", c.set)
			to := s.Config("acting")
			to.User = "actor"
			conn, err := postgres.Connect(t.Context(), to)
			if err != nil {
				t.Errorf("%s: %v", c.set, err)
				continue
			}
			var got string
			if err := conn.QueryRow(t.Context(), "SELECT current_user").Scan(&got); err != nil || got != c.want {
				t.Errorf("%s: it acts as %s, want %s: %v", c.set, got, c.want, err)
			}
			_ = conn.Close(t.Context())
		}
	})
}

// A role that gives its sessions hardly any time to be idle has sessions all the same: the server ends one that stalls before its first
// statement, and another is begun that it does not end.
func TestConnectThoughSessionsAreSoonIdle(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if major < 14 {
			t.Skip("idle_session_timeout is from 14 on")
		}
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE ROLE hurried LOGIN SUPERUSER; ALTER ROLE hurried SET idle_session_timeout = '1ms'")
		s.Exec(t, "postgres", "ALTER ROLE hurried SET statement_timeout = '1ms'")
		c := s.Config("postgres")
		c.User = "hurried"
		for range 20 {
			conn, err := postgres.Connect(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var value string
			if err := conn.QueryRow(t.Context(), "SHOW idle_session_timeout").Scan(&value); err != nil || value != "0" {
				t.Errorf("idle_session_timeout %q, %v", value, err)
			}
			postgres.Close(t.Context(), conn)
		}
	})
}

// Whoever owns a database says where its sessions look for operators. The statements that begin a session of cofre, often a superuser's, call
// none of them.
func TestConnectCallsNothingOfTheDatabase(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE ROLE mallory LOGIN")
		s.Exec(t, "postgres", "CREATE DATABASE hers OWNER mallory")
		s.Exec(t, "hers", `SET SESSION AUTHORIZATION mallory; CREATE SCHEMA trap; CREATE TABLE trap.called (name text)`)
		s.Exec(t, "hers", `SET SESSION AUTHORIZATION mallory;
CREATE FUNCTION trap.sprung(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO trap.called VALUES (current_user); RETURN false; END$$;
CREATE FUNCTION trap.sprung(name, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO trap.called VALUES (current_user); RETURN false; END$$;
CREATE FUNCTION trap.sprung(int, int) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO trap.called VALUES (current_user); RETURN false; END$$;
CREATE FUNCTION trap.sprung(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN INSERT INTO trap.called VALUES (current_user); RETURN false; END$$;
DO $$DECLARE op text; pair text[]; BEGIN
 FOREACH op IN ARRAY ARRAY['=', '<>', '<', '>', '<=', '>=', '||', '~', '~~'] LOOP
  FOREACH pair SLICE 1 IN ARRAY ARRAY[['text', 'text'], ['name', 'text'], ['int', 'int'], ['boolean', 'boolean']] LOOP
   EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.sprung)', op, pair[1], pair[2]);
  END LOOP;
 END LOOP;
END$$;
ALTER DATABASE hers SET search_path = trap, pg_catalog`)
		for range 2 {
			conn, err := postgres.Connect(t.Context(), s.Config("hers"))
			if err != nil {
				t.Fatal(err)
			}
			var called []string
			if err := conn.QueryRow(t.Context(), "SELECT coalesce(array_agg(name), '{}') FROM trap.called").Scan(&called); err != nil || len(called) > 0 {
				t.Errorf("operators of the database were called by %v, %v", called, err)
			}
			postgres.Close(t.Context(), conn)
		}
	})
}

// Once a superuser's session keeps login triggers from running, an error that is not about that changes nothing of it.
func TestLoginTriggersStayOff(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if major < 17 {
			t.Skip("login triggers are of version 17")
		}
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE DATABASE hers")
		s.Exec(t, "hers", `CREATE TABLE logins (who text); CREATE FUNCTION login() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.logins VALUES (session_user); END$$;
CREATE EVENT TRIGGER login ON login EXECUTE FUNCTION login()`)
		connect := func(database string) error {
			conn, err := postgres.Connect(t.Context(), s.Config(database))
			if err != nil {
				return err
			}
			return postgres.Close(t.Context(), conn)
		}
		if err := connect("postgres"); err != nil {
			t.Fatal(err)
		}
		if err := connect("absent"); !errors.Is(err, cofre.ErrNotFound) {
			t.Fatal(err)
		}
		if err := connect("hers"); err != nil {
			t.Fatal(err)
		}
		s.Exec(t, "postgres", "ALTER ROLE postgres SET event_triggers = off")
		if n := s.Query(t, "hers", "SELECT count(*) FROM logins"); n != "0" {
			t.Errorf("the trigger ran %s times", n)
		}
	})
}

func TestConnectErrors(t *testing.T) {
	s := testkit.Postgres(t, 0)
	wrong := s.TCPConfig("postgres")
	wrong.Password = secret.New("errada")
	tcp := s.TCPConfig("postgres")
	tcp.User = "nobody_knows"
	for name, c := range map[string]struct {
		config postgres.Config
		want   error
	}{
		"wrong password": {wrong, cofre.ErrDenied},
		"unknown role":   {tcp, cofre.ErrDenied},
		"no database":    {s.Config("absent"), cofre.ErrNotFound},
		"nobody there":   {postgres.Config{URL: "postgres://u:errada@127.0.0.1:1/d?sslmode=disable"}, cofre.ErrUnreachable},
		"no socket":      {postgres.Config{URL: "host=/nowhere user=u"}, cofre.ErrUnreachable},
		"bad URL":        {postgres.Config{URL: "postgres://u:errada@h:port/d"}, cofre.ErrConfig},
		"bad sslmode":    {postgres.Config{URL: "host=h password=errada sslmode=perhaps"}, cofre.ErrConfig},
	} {
		_, err := postgres.Connect(t.Context(), c.config)
		if !errors.Is(err, c.want) || cofre.Hint(err) == "" {
			t.Errorf("%s: got %v (hint %q)", name, err, cofre.Hint(err))
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v %s", err, c.config, cofre.Hint(err)), "errada") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q says too much", name, err)
		}
		var server *pgconn.PgError
		if (name == "wrong password" || name == "no database") && (!errors.As(err, &server) || server.Code == "") {
			t.Errorf("%s: the server's own fields are lost in %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := postgres.Connect(ctx, s.Config("postgres")); !errors.Is(err, context.Canceled) || errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConfigPrintsNoPassword(t *testing.T) {
	c := postgres.Config{URL: "postgres://u:segredo@h:5433/d", Password: secret.New("segredo")}
	b, err := json.Marshal(map[string]any{"config": c})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(b), fmt.Sprintf("%v %+v %#v %s", c, c, c, c)} {
		if strings.Contains(text, "segredo") || !strings.Contains(text, "u@h:5433/d") {
			t.Errorf("printed %s", text)
		}
	}
}

func TestServerFacts(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		conn, err := postgres.Connect(t.Context(), s.Config("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		got, err := postgres.ReadServer(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version.Major() != major || got.SystemID == 0 || got.DataDir != s.DataDir || !got.Role.Superuser || got.InRecovery || got.Encoding != "UTF8" {
			t.Errorf("%+v", got)
		}
		tools, err := postgres.FindTools(t.Context(), got.Version)
		if err != nil || tools.Version.Major() != major {
			t.Errorf("tools %+v, %v", tools, err)
		}
	})
}

func TestToolsReachTheSameDatabaseWithoutArguments(t *testing.T) {
	s := testkit.Postgres(t, 0)
	t.Setenv("PGHOST", "/nowhere")
	t.Setenv("PGSSLMODE", "disable")
	t.Setenv("PGOPTIONS", "-c work_mem=7MB")
	for name, c := range map[string]postgres.Config{"socket": s.Config("template1"), "TCP": s.TCPConfig("template1")} {
		conn, err := postgres.Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		cmd, err := postgres.Tools{Version: 150000, Dir: s.BinDir}.Command(c, conn, "psql", "-XAtc", "SELECT current_database(), current_setting('application_name'), current_setting('work_mem')")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.Join(cmd.Args, " "), s.Password.Reveal()) || !slices.Contains(cmd.Env, "PGAPPNAME=cofre") {
			t.Errorf("%s: arguments %q", name, cmd.Args)
		}
		out, err := process.Output(t.Context(), cmd)
		if err != nil || string(out) != "template1|cofre|7MB\n" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestNoToolsForANewerServer(t *testing.T) {
	_, err := postgres.FindTools(t.Context(), postgres.Version(990001))
	if !errors.Is(err, cofre.ErrNotFound) || !strings.Contains(cofre.Hint(err), "postgresql-client-99") {
		t.Errorf("got %v (hint %q)", err, cofre.Hint(err))
	}
}

func TestExplainLeavesTheFaultsOfOthers(t *testing.T) {
	file := &fs.PathError{Op: "write", Path: "/repository/p", Err: syscall.ENOSPC}
	full := cofre.WithHint(fmt.Errorf("store: %w: %w", cofre.ErrDiskFull, syscall.ENOSPC), "free space")
	for _, err := range []error{file, full, fmt.Errorf("store: %w: %w", cofre.ErrUnreachable, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})} {
		got := postgres.Explain(fmt.Errorf("capture: %w", err))
		if hint := cofre.Hint(got); hint != cofre.Hint(err) || errors.Is(got, cofre.ErrUnreachable) != errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("%v became %v (hint %q)", err, got, hint)
		}
	}
	if cut := postgres.Explain(&net.OpError{Op: "read", Err: syscall.ECONNRESET}); !errors.Is(cut, cofre.ErrUnreachable) {
		t.Errorf("a cut connection is %v", cut)
	}
	if ended := postgres.Explain(&pgconn.PgError{Code: "57P01"}); !errors.Is(ended, cofre.ErrUnreachable) || cofre.Hint(ended) == "" {
		t.Errorf("an ended session is %v (hint %q)", ended, cofre.Hint(ended))
	}
	// What postgres_fdw says of a foreign table's server, in a session that goes on.
	if foreign := (&pgconn.PgError{SeverityUnlocalized: "ERROR", Code: "08001"}); postgres.IsConnectionLost(foreign) {
		t.Error("a foreign server that does not answer ended the session")
	}
}

// TestConnectToSilence: a server that accepts connections and says nothing is unreachable after connect_timeout, and has a
// bound where none is asked for.
func TestConnectToSilence(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // what is not accepted is connected all the same
	url := "postgres://cofre@" + listener.Addr().String() + "/app?sslmode=disable&connect_timeout="
	if _, err := postgres.Connect(t.Context(), postgres.Config{URL: url + "1"}); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("connected with %v, want %v", err, cofre.ErrUnreachable)
	}
	for given, want := range map[string]time.Duration{"": 45 * time.Second, "connect_timeout=3": 3 * time.Second, "connect_timeout=0": 0} {
		if got := postgres.ConnectTimeout(t, postgres.Config{URL: "host=127.0.0.1 " + given}); got != want {
			t.Errorf("with %q a session is waited for %s, want %s", given, got, want)
		}
	}
}
