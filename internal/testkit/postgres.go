package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// DefaultMajor is the major version that is always tested: the one of the installations that cofre is for.
const DefaultMajor = 15

// Server is a real PostgreSQL server of this test binary, or of one test.
type Server struct {
	*throwaway.Server
	shared    bool
	databases atomic.Int64
	idle      idle
}

// Option makes Postgres start a server for this test alone.
type Option func(*throwaway.Options)

// Own asks for a server of the test's own, without anything special.
func Own() Option { return func(*throwaway.Options) {} }

// Conf adds lines of postgresql.conf: "wal_level = logical".
func Conf(lines ...string) Option {
	return func(o *throwaway.Options) { o.Conf = append(o.Conf, lines...) }
}

// TCP makes the server listen on the loopback interface too.
func TCP() Option { return func(o *throwaway.Options) { o.TCP = true } }

// Durable makes the server call fsync as usual.
func Durable() Option { return func(o *throwaway.Options) { o.Durable = true } }

// InitArgs adds arguments of initdb.
func InitArgs(args ...string) Option {
	return func(o *throwaway.Options) { o.InitArgs = append(o.InitArgs, args...) }
}

// Majors lists the major versions whose server programs are on this machine or in .services, ascending.
func Majors() []int {
	discover()
	var majors []int
	for _, i := range postgres.Installed() {
		majors = append(majors, i.Major)
	}
	return majors
}

// EachMajor runs fn once for every major of Majors, in parallel, and skips if there is none. Majors that
// COFRE_REQUIRE names as postgres-17 and that are not here fail the test.
func EachMajor(t *testing.T, fn func(t *testing.T, major int)) {
	t.Helper()
	majors := Majors()
	for _, major := range requiredMajors() {
		if !slices.Contains(majors, major) {
			t.Errorf("PostgreSQL %d is required and not here: make services PG=%d", major, major)
		}
	}
	if len(majors) == 0 {
		Missing(t, "postgres", "no PostgreSQL server programs: make services")
	}
	for _, major := range majors {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			fn(t, major)
		})
	}
}

// Postgres returns a running server of a major version; 0 takes DefaultMajor. Without options all tests of the
// binary share one, with superuser postgres on a Unix socket: use Database for a database of your own, and give
// roles names of your own, since roles belong to the server. With options the server is this test's, ended with it.
func Postgres(t testing.TB, major int, opts ...Option) *Server {
	t.Helper()
	discover()
	if major == 0 {
		major = DefaultMajor
	}
	bin, err := postgres.BinDir(major)
	if err != nil {
		Missing(t, "postgres", fmt.Sprintf("PostgreSQL %d is not here: make services", major))
	}
	if len(opts) == 0 {
		return sharedServer(t, major, bin)
	}
	o := throwaway.Options{BinDir: bin}
	for _, opt := range opts {
		opt(&o)
	}
	o.Template = template(t, major, bin, o.InitArgs...)
	s, err := throwaway.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	reap(s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Server{Server: s}
}

// Binary is the path of a program of a major version: Binary(t, 15, "pg_restore").
func Binary(t testing.TB, major int, name string) string {
	t.Helper()
	discover()
	dir, err := postgres.BinDir(major)
	if err != nil {
		Missing(t, "postgres", fmt.Sprintf("PostgreSQL %d is not here: make services", major))
	}
	return filepath.Join(dir, name)
}

// Database makes an empty database, dropped at the end of the test, and returns its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	s.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0"+s.asFiles())
	t.Cleanup(func() {
		if s.Running() {
			s.Drop(t, name)
		}
	})
	return name
}

// asFiles is how a database is made at half the price where it is made on a server that the tests share. The WAL of a test's own server may be what is tested,
// and there a database is made as it is everywhere.
func (s *Server) asFiles() string {
	if !s.shared || s.Major < 15 {
		return "" // before 15 there is no other way
	}
	return " STRATEGY file_copy"
}

// Drop drops a database, if it exists, with its subscriptions and the sessions in it.
func (s *Server) Drop(t testing.TB, database string) {
	t.Helper()
	literal := "'" + strings.ReplaceAll(database, "'", "''") + "'"
	if s.Query(t, "postgres", "SELECT count(*) FROM pg_database WHERE datname = "+literal) == "0" {
		return
	}
	subscriptions := s.Query(t, "postgres", `SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = `+literal)
	if subscriptions != "" {
		s.Exec(t, database, strings.Split(subscriptions, "\n")...)
	}
	s.Exec(t, "postgres", "DROP DATABASE "+pgx.Identifier{database}.Sanitize()+" WITH (FORCE)")
}

// Conn connects as the superuser; the connection is closed at the end of the test.
func (s *Server) Conn(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL(database))
	if err != nil {
		t.Fatalf("connect to %s: %v", database, err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec runs scripts of SQL as the superuser, in one session: each is one implicit transaction, unless it says otherwise.
func (s *Server) Exec(t testing.TB, database string, scripts ...string) {
	t.Helper()
	conn, done := s.session(t, database)
	defer done()
	for _, sql := range scripts {
		if _, err := conn.Exec(context.Background(), sql).ReadAll(); err != nil {
			t.Fatalf("run on %s: %v\n%.500s", database, err, sql)
		}
	}
}

// Promote ends the recovery of a standby, and waits for its end. pg_promote itself does not wait: its session would
// hold the snapshot that the replay of a DROP TABLESPACE or DROP DATABASE waits for, and be canceled for it after
// max_standby_streaming_delay (ResolveRecoveryConflictWithTablespace).
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, "postgres", "SELECT pg_promote(false)")
	Await(t, "the promotion", 2*time.Minute, func() bool { return s.Query(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
}

// Query returns the rows of a query, a line each, columns separated by "|", NULL as "<null>".
func (s *Server) Query(t testing.TB, database, sql string) string {
	t.Helper()
	conn, done := s.session(t, database)
	defer done()
	results, err := conn.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("query %s: %v\n%.500s", database, err, sql)
	}
	var lines []string
	for _, r := range results {
		for _, row := range r.Rows {
			cells := make([]string, len(row))
			for i, c := range row {
				cells[i] = string(c)
				if c == nil {
					cells[i] = "<null>"
				}
			}
			lines = append(lines, strings.Join(cells, "|"))
		}
	}
	return strings.Join(lines, "\n")
}

// Dump is what pg_dump of the server's own major says of a database, in text, without what differs from run
// to run: the comparison of a source with what was restored from it.
func (s *Server) Dump(t testing.TB, database string, args ...string) string {
	t.Helper()
	argv := append([]string{"--dbname", s.URL(database)}, args...)
	out, err := process.Output(t.Context(), process.Command{
		Path: filepath.Join(s.BinDir, "pg_dump"), Args: argv, Env: process.BaseEnv(),
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	kept := lines[:0]
	for _, l := range lines {
		if !strings.HasPrefix(l, `\restrict `) && !strings.HasPrefix(l, `\unrestrict `) {
			kept = append(kept, l)
		}
	}
	return strings.Join(kept, "\n")
}

// Healthy fails the test if something of ours was left on the server: a session, a slot, a prepared
// transaction, a database of a restore. On the shared server name the test's own databases: tests that run in
// parallel have sessions of theirs. It waits a little, because a server notices a closed connection only when
// it next looks at it. A running backup is a session too, or a wait for one.
func Healthy(t testing.TB, s *Server, databases ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL("postgres"))
	if err != nil {
		t.Fatalf("the server does not answer: %v", err)
	}
	defer conn.Close(context.Background())
	const query = `
		WITH l(what, datname) AS (
			SELECT 'session ' || pid || ', ' || coalesce(application_name, '') || ', ' || coalesce(state, '-') || ': ' || left(query, 80), datname::text
			  FROM pg_stat_activity WHERE application_name ~ '^(cofre|pg_)' AND pid <> pg_backend_pid()
			UNION ALL SELECT 'replication slot ' || slot_name, database::text FROM pg_replication_slots
			UNION ALL SELECT 'prepared transaction ' || gid, database::text FROM pg_prepared_xacts
			UNION ALL SELECT 'database ' || datname, regexp_replace(datname, '_restore_.*|_cofre.*', '') FROM pg_database WHERE datname ~ '_restore_|_cofre')
		SELECT what || coalesce(' in ' || datname, '') FROM l WHERE cardinality($1::text[]) = 0 OR datname = ANY ($1)`
	deadline := time.Now().Add(Hang)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		rows, err := conn.Query(context.Background(), query, append([]string{}, databases...))
		if err != nil {
			t.Fatal(err)
		}
		left, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left on the server:\n%s", strings.Join(left, "\n"))
		}
		<-tick.C
	}
}

// discover makes the majors in .services of this checkout known, as services.sh put them there.
var discover = sync.OnceFunc(func() {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".services")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
	found, _ := filepath.Glob(filepath.Join(dir, ".services", "postgresql-*", "bin"))
	for _, bin := range found {
		major := strings.TrimPrefix(filepath.Base(filepath.Dir(bin)), "postgresql-")
		if name := "COFRE_POSTGRES_" + major; os.Getenv(name) == "" {
			// Into the environment, so that the code under test and programs that tests start find them too.
			os.Setenv(name, bin)
		}
	}
})

var (
	mu        sync.Mutex
	shared    = map[int]*Server{}
	templates = map[string]string{}
)

func sharedServer(t testing.TB, major int, bin string) *Server {
	t.Helper()
	from := template(t, major, bin)
	mu.Lock()
	defer mu.Unlock()
	if s, ok := shared[major]; ok && s.Running() {
		return s
	}
	s, err := throwaway.Start(context.Background(), throwaway.Options{
		BinDir: bin, TCP: true, Template: from,
		Conf: []string{"max_prepared_transactions = 10", "max_connections = 200", "lc_messages = 'C'"},
	})
	if err != nil {
		t.Fatal(err)
	}
	reap(s)
	shared[major] = &Server{Server: s, shared: true}
	return shared[major]
}

// template is a cluster that servers are copied from, as initdb takes four times as long as cp: initialised once for the binary, or, where COFRE_CLUSTERS names
// a directory, once for all the binaries that are given it.
func template(t testing.TB, major int, bin string, args ...string) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	name := fmt.Sprintf("%d%s", major, strings.Join(args, ""))
	if dir, ok := templates[name]; ok {
		return dir
	}
	in := os.Getenv("COFRE_CLUSTERS")
	if in != "" {
		if dir := filepath.Join(in, name); isCluster(dir) {
			templates[name] = dir
			return dir
		}
	}
	temp, err := os.MkdirTemp(in, "cofre-template-")
	if err != nil {
		t.Fatal(err)
	}
	removeAtExit(temp, "none")
	if err := os.Chmod(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(temp, "data")
	if err := throwaway.Init(context.Background(), bin, dir, args...); err != nil {
		t.Fatal(err)
	}
	if in != "" {
		// Another binary may have been first, whose cluster is as good.
		if err := os.Rename(dir, filepath.Join(in, name)); err != nil && !isCluster(filepath.Join(in, name)) {
			t.Fatal(err)
		}
		dir = filepath.Join(in, name)
	}
	templates[name] = dir
	return dir
}

func isCluster(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}

// open keeps the pipes whose closing says that this process has ended.
var open sync.Map

func reap(s *throwaway.Server) { removeAtExit(s.TempDir(), strconv.Itoa(s.PID())) }

// removeAtExit removes dir when this process has ended, in whatever way: a shell waits for the end of its
// input, which is the end of this process. A shared server has no test whose cleanup could do it, and a killed
// test binary runs none. The postmaster's own death signal has reached it by then; the wait is for its end.
func removeAtExit(dir string, postmaster string) {
	const script = `cat
		i=0
		while [ -d "/proc/$2" ] && ! grep -q '^State:.Z' "/proc/$2/status" && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
		rm -rf "$1" || { sleep 1; rm -rf "$1"; }`
	c := exec.Command("/bin/sh", "-c", script, "sh", dir, postmaster)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end, err := c.StdinPipe()
	if err != nil {
		return
	}
	if c.Start() == nil {
		open.Store(end, true) // for good: a pipe that nobody refers to is closed by the garbage collector
	}
}
