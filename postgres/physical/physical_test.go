package physical_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// room is a directory that the server's user can reach, which t.TempDir is not.
func room(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cofre-physical-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shared makes a directory that the server's user may write to.
func shared(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		out, err := exec.Command("chown", "postgres:", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

// archive is a WAL archive made of cp.
type archive string

func (a archive) Missing(_ context.Context, _ cofre.SystemID, segments []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(segments), func(s string) bool {
		_, err := os.Stat(filepath.Join(string(a), s))
		return err == nil
	}), nil
}

func (a archive) Holds(_ context.Context, _ cofre.SystemID, name string, content []byte) (bool, error) {
	b, err := os.ReadFile(filepath.Join(string(a), name))
	if errors.Is(err, fs.ErrNotExist) {
		err = cofre.ErrNotFound
	}
	return bytes.Equal(b, content), err
}

func (a archive) PutHistory(_ context.Context, _ cofre.SystemID, tli cofre.Timeline, content []byte) error {
	return os.WriteFile(filepath.Join(string(a), pgdata.HistoryName(tli)), content, 0o644)
}

func (a archive) conf() testkit.Option {
	return testkit.Conf("archive_mode = on", fmt.Sprintf("archive_command = 'cp %%p %[1]s/%%f.part && mv %[1]s/%%f.part %[1]s/%%f'", a))
}

func (a archive) restoreCommand() string { return fmt.Sprintf("cp %s/%%f %%p", a) }

// pgbench runs pgbench of the server's version to its end.
func pgbench(t *testing.T, s *testkit.Server, args ...string) {
	t.Helper()
	out, err := pgbenchCommand(t, s, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("pgbench: %v\n%s", err, out)
	}
}

func pgbenchCommand(t *testing.T, s *testkit.Server, args ...string) *exec.Cmd {
	argv := append([]string{"-h", s.Socket, "-p", fmt.Sprint(s.Port), "-U", "postgres"}, append(args, "postgres")...)
	return exec.Command(testkit.Binary(t, s.Major, "pgbench"), argv...)
}

// load keeps writers busy until stop is called.
func load(t *testing.T, s *testkit.Server) (stop func()) {
	t.Helper()
	cmd := pgbenchCommand(t, s, "-n", "-c", "2", "-R", "300", "-T", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	testkit.Await(t, "load", 30*time.Second, func() bool { return s.Query(t, "postgres", "SELECT count(*) > 20 FROM pgbench_history") == "t" })
	return stop
}

// backup captures as the use case does and returns the component with the tree that reads it.
func backup(t *testing.T, repo cofre.Repository, src cofre.Source, previous *cofre.Component) cofre.Component {
	t.Helper()
	c, err := tryBackup(t, t.Context(), repo, src, previous)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryBackup(t *testing.T, ctx context.Context, repo cofre.Repository, src cofre.Source, previous *cofre.Component) (cofre.Component, error) {
	t.Helper()
	session, err := repo.Begin(ctx, src.ID())
	if err != nil {
		return cofre.Component{}, err
	}
	defer func() {
		if err := session.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	c := &cofre.Capture{Session: session, Jobs: 2, Observer: cofre.ObserverFunc(func(e cofre.Event) {
		if e.Text != "" {
			t.Logf("%s: %s", e.Type, e.Text)
		}
	})}
	if previous != nil {
		c.Previous = previous
		if c.PreviousTree, err = repo.Tree(ctx, previous.Root); err != nil {
			return cofre.Component{}, err
		}
	}
	captured, err := src.Capture(ctx, c)
	if err != nil {
		return cofre.Component{}, err
	}
	content, err := session.Finish(ctx)
	if err != nil {
		return cofre.Component{}, err
	}
	return cofre.Component{
		Kind: cofre.KindCluster, Name: src.ID().Name, Content: content,
		Facts: captured.Facts, Warnings: captured.Warnings, Partial: captured.Partial,
	}, nil
}

func summaryOf(t *testing.T, c cofre.Component) physical.Summary {
	t.Helper()
	s, err := physical.ParseSummary(c.Facts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// restore carries a target through and returns its proof.
func restore(t *testing.T, repo cofre.Repository, c cofre.Component, o physical.TargetOptions) *cofre.Outcome {
	t.Helper()
	o.Jobs = 2
	target := physical.NewTarget(o)
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := target.Plan(t.Context(), c, tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Problems) > 0 {
		t.Fatalf("plan: %+v", plan.Problems)
	}
	if err := target.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatal(err)
	}
	proof, err := target.Check(t.Context(), cofre.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !proof.Holds() {
		t.Fatalf("proof: %+v", proof.Checks)
	}
	outcome, err := target.Publish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// recovered recovers and hands back a server that the test ends.
func recovered(t *testing.T, o physical.RecoverOptions) *physical.Recovered {
	t.Helper()
	r, err := physical.Recover(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Server != nil {
		t.Cleanup(func() {
			if err := r.Server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return r
}

// query asks a recovered server.
func query(t *testing.T, r *physical.Recovered, sql string) string {
	t.Helper()
	return (&testkit.Server{Server: r.Server}).Query(t, "postgres", sql)
}

// intact stops a recovered server and has PostgreSQL's own tools look at every page.
func intact(t *testing.T, r *physical.Recovered, checksums bool) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(r.Server.BinDir, "pg_amcheck"), "--install-missing", "-h", r.Server.Socket, "-U", "postgres", "-d", "postgres").CombinedOutput(); err != nil && r.Server.Major >= 14 {
		t.Errorf("pg_amcheck: %v\n%s", err, out)
	}
	dir := r.Server.DataDir
	bin := r.Server.BinDir
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if !checksums {
		return
	}
	if out, err := exec.Command(filepath.Join(bin, "pg_checksums"), "--check", "-D", dir).CombinedOutput(); err != nil {
		t.Errorf("pg_checksums: %v\n%s", err, out)
	}
}

const ledger = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_history), (SELECT count(*) FROM elsewhere), (SELECT string_agg(what, ',' ORDER BY id) FROM marks)"

// TestPointInTime backs a cluster up while it is written to, with a tablespace and an archive, and recovers it to
// targets of every kind.
func TestPointInTime(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := room(t)
		a := archive(shared(t, dir, "archive"))
		s := testkit.Postgres(t, major, a.conf(), testkit.InitArgs("--data-checksums"))
		space := shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 20000) g")
		s.Exec(t, "postgres", "CREATE UNLOGGED TABLE passing AS SELECT g FROM generate_series(1, 20000) g; CREATE TABLE marks (id serial, what text)")
		s.Exec(t, "postgres", "ALTER SYSTEM SET work_mem = '5MB'")
		pgbench(t, s, "-i", "-q", "-s", "2")
		stop := load(t, s)
		repo := repositorytest.NewMemory()
		src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a})
		c := backup(t, repo, src, nil)
		mark := func(what string) {
			s.Exec(t, "postgres", "INSERT INTO marks (what) VALUES ('"+what+"')")
		}
		mark("a")
		lsn, err := cofre.ParseLSN(s.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()"))
		if err != nil {
			t.Fatal(err)
		}
		mark("b")
		xid := s.Query(t, "postgres", "SELECT xmin FROM marks WHERE what = 'b'")
		mark("c")
		at, err := time.Parse("2006-01-02T15:04:05.999999Z", s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`))
		if err != nil {
			t.Fatal(err)
		}
		mark("d")
		s.Exec(t, "postgres", "SELECT pg_create_restore_point('point')")
		mark("e")
		stop()
		want := s.Query(t, "postgres", ledger)
		last := s.Query(t, "postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		testkit.Await(t, "the archive", 30*time.Second, func() bool { m, _ := a.Missing(t.Context(), 0, []string{last}); return len(m) == 0 })
		testkit.Healthy(t, s)

		sum := summaryOf(t, c)
		if sum.WALIncluded || c.Partial || sum.Method != physical.MethodFiles || !sum.DataChecksums || len(sum.Tablespaces) != 1 {
			t.Fatalf("summary %+v", sum)
		}
		var xidNumber uint64
		if _, err := fmt.Sscan(xid, &xidNumber); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			target cofre.RecoveryTarget
			action physical.Action
			marks  string
		}{
			{"latest", cofre.RecoveryTarget{}, physical.ActionPromote, "a,b,c,d,e"},
			{"lsn", cofre.RecoveryTarget{LSN: lsn}, physical.ActionPause, "a"},
			{"xid exclusive", cofre.RecoveryTarget{XID: xidNumber, Exclusive: true}, physical.ActionPromote, "a"},
			{"time", cofre.RecoveryTarget{At: at}, physical.ActionPromote, "a,b,c"},
			{"name", cofre.RecoveryTarget{Name: "point"}, physical.ActionShutdown, ""},
			{"immediate", cofre.RecoveryTarget{Immediate: true}, physical.ActionPause, "<null>"},
		} {
			if tt.name != "time" && (testing.Short() || major != testkit.DefaultMajor) { // every major once
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				to := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
				restore(t, repo, c, physical.TargetOptions{
					Dir: to, Tablespaces: map[string]string{space: to + "-space"}, Recovery: tt.target, Action: tt.action,
					RestoreCommand: a.restoreCommand(), VerifyBackup: tt.name == "latest",
				})
				if tt.target.Immediate {
					// As where the original keeps its configuration elsewhere.
					for _, name := range []string{"postgresql.conf", "pg_hba.conf"} {
						if err := os.Remove(filepath.Join(to, name)); err != nil {
							t.Fatal(err)
						}
					}
				}
				r := recovered(t, physical.RecoverOptions{DataDir: to, Recovery: tt.target, Action: tt.action})
				if r.LSN < sum.StopLSN && !tt.target.Immediate {
					t.Errorf("stopped at %s, before the backup's end %s", r.LSN, sum.StopLSN)
				}
				if tt.action == physical.ActionShutdown {
					if r.Server != nil {
						t.Error("the server still runs")
					}
					return
				}
				if got := query(t, r, "SELECT string_agg(what, ',' ORDER BY id) FROM marks"); got != tt.marks {
					t.Errorf("marks %s, want %s; stopped at %+v", got, tt.marks, r)
				}
				if r.Promoted != (tt.action == physical.ActionPromote) || r.Promoted && r.Timeline < 2 {
					t.Errorf("recovered %+v", r)
				}
				if got := query(t, r, "SHOW archive_mode") + query(t, r, "SHOW work_mem"); got != "off5MB" {
					t.Errorf("archive_mode and work_mem %s", got)
				}
				if tt.name != "latest" {
					return
				}
				if got := query(t, r, ledger); got != want {
					t.Errorf("ledger %s, want %s", got, want)
				}
				if got := query(t, r, "SELECT count(*) FROM passing"); got != "0" {
					t.Errorf("unlogged table has %s rows", got)
				}
				b, err := os.ReadFile(filepath.Join(to, "cofre-recovery.conf"))
				if err != nil || strings.Contains(string(b), "restore_command") {
					t.Errorf("recovery settings stay: %v\n%s", err, b)
				}
				intact(t, r, true)
			})
		}
		unreachable := filepath.Join(dir, "unreachable")
		future := cofre.RecoveryTarget{At: time.Now().Add(time.Hour)}
		restore(t, repo, c, physical.TargetOptions{
			Dir: unreachable, Tablespaces: map[string]string{space: unreachable + "-space"}, Recovery: future, RestoreCommand: a.restoreCommand(),
		})
		var u *cofre.UnreachableError
		if r, err := physical.Recover(t.Context(), physical.RecoverOptions{DataDir: unreachable, Recovery: future}); !errors.As(err, &u) {
			t.Errorf("recovered %+v, %v", r, err)
			if err == nil {
				_ = r.Server.Close()
			}
		}
	})
}

// A recovery that ends before its plan said is an error with both positions, whatever it was asked to do there, and
// promotes nothing.
func TestEndsBeforeThePlan(t *testing.T) {
	dir := room(t)
	a := archive(shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.conf())
	repo := repositorytest.NewMemory()
	c := backup(t, repo, physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
	s.Exec(t, "postgres", "CREATE TABLE marks AS SELECT 1")
	last := s.Query(t, "postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")
	s.Exec(t, "postgres", "SELECT pg_switch_wal()")
	testkit.Await(t, "the archive", 30*time.Second, func() bool { m, _ := a.Missing(t.Context(), 0, []string{last}); return len(m) == 0 })
	beyond := &recovery.Recovery{Timeline: 1, Stop: 0x7F000028, Reach: 0x7F000060}
	for _, action := range []physical.Action{physical.ActionPromote, physical.ActionPause, physical.ActionShutdown} {
		for _, target := range []cofre.RecoveryTarget{{}, {At: time.Now()}} {
			to := filepath.Join(dir, fmt.Sprint(action, target.At.IsZero()))
			restore(t, repo, c, physical.TargetOptions{Dir: to, Recovery: target, Plan: beyond, Action: action, RestoreCommand: a.restoreCommand()})
			r, err := physical.Recover(t.Context(), physical.RecoverOptions{DataDir: to, Recovery: target, Plan: beyond, Action: action})
			if _, ok := errors.AsType[*cofre.UnreachableError](err); !ok {
				t.Fatalf("%s, %s: %+v, %v", action, target, r, err)
			}
			for _, want := range []string{"stops after the record at 0/7F000028", "after the record at 0/"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s, %s does not say %q: %v", action, target, want, err)
				}
			}
			if _, err := os.Stat(filepath.Join(to, "recovery.signal")); err != nil {
				t.Errorf("%s, %s: it was promoted: %v", action, target, err)
			}
		}
	}
}

// TestWithoutArchive backs a cluster up that archives nothing, by both methods: the component carries its WAL and
// restores on its own, by stock PostgreSQL.
func TestWithoutArchive(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := room(t)
		s := testkit.Postgres(t, major, testkit.InitArgs("--data-checksums"))
		space := shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 1000) g; CREATE TABLE marks (id serial, what text)")
		pgbench(t, s, "-i", "-q", "-s", "1")
		stop := load(t, s)
		for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
			if method == physical.MethodFiles && major != testkit.DefaultMajor {
				continue
			}
			repo := repositorytest.NewMemory()
			src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
			// Committed before the backup ends: it must be there.
			s.Exec(t, "postgres", "INSERT INTO marks (what) VALUES ('"+string(method)+"')")
			c := backup(t, repo, src, nil)
			if sum := summaryOf(t, c); !sum.WALIncluded || sum.Method != method || sum.StopLSN <= sum.StartLSN || len(sum.Tablespaces) != 1 {
				t.Fatalf("summary %+v", sum)
			}
			to := filepath.Join(dir, string(method))
			restore(t, repo, c, physical.TargetOptions{Dir: to, Tablespaces: map[string]string{space: to + "-space"}, VerifyBackup: true})
			r := recovered(t, physical.RecoverOptions{DataDir: to})
			if !r.Promoted || r.Timeline != 1 {
				t.Errorf("recovered %+v", r)
			}
			if got := query(t, r, "SELECT count(*) FROM marks WHERE what = '"+string(method)+"'"); got != "1" {
				t.Errorf("what was committed before the backup is there %s times", got)
			}
			if got := query(t, r, "SELECT sum(abalance) = sum(delta) FROM (SELECT sum(abalance) abalance FROM pgbench_accounts) a, (SELECT sum(delta) delta FROM pgbench_history) h"); got != "t" {
				t.Error("accounts and history do not agree")
			}
			if got := query(t, r, "SELECT count(*) FROM elsewhere"); got != "1000" {
				t.Errorf("the tablespace's table has %s rows", got)
			}
			intact(t, r, true)
		}
		stop()
		testkit.Healthy(t, s)
	})
}

// TestIncremental has a server that knows what changed send that alone: the component is whole all the same.
func TestIncremental(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		if major < 17 {
			t.Skip("since PostgreSQL 17")
		}
		dir := room(t)
		s := testkit.Postgres(t, major, testkit.Conf("summarize_wal = on"), testkit.InitArgs("--data-checksums"))
		space := shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 20000) g; CREATE TABLE marks (id serial, what text)")
		pgbench(t, s, "-i", "-q", "-s", "2")
		repo := repositorytest.NewMemory()
		src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Method: physical.MethodProtocol})
		c := backup(t, repo, src, nil)
		var want string
		for i := range 2 {
			pgbench(t, s, "-n", "-t", "200")
			s.Exec(t, "postgres", fmt.Sprintf("INSERT INTO marks (what) VALUES ('%d'); CREATE TABLE new%[1]d AS SELECT g FROM generate_series(1, 5000) g", i))
			s.Exec(t, "postgres", "DELETE FROM elsewhere WHERE g > 10000")
			s.Exec(t, "postgres", "VACUUM elsewhere")
			s.Exec(t, "postgres", "UPDATE elsewhere SET g = g + 1 WHERE g % 1000 = 0")
			want = s.Query(t, "postgres", ledger)
			c = backup(t, repo, src, &c)
			sum := summaryOf(t, c)
			if sum.ReusedCount*2 < sum.FileCount || sum.Method != physical.MethodProtocol || !sum.WALIncluded {
				t.Fatalf("summary %+v", sum)
			}
		}
		to := filepath.Join(dir, "data")
		restore(t, repo, c, physical.TargetOptions{Dir: to, Tablespaces: map[string]string{space: to + "-space"}, VerifyBackup: true})
		r := recovered(t, physical.RecoverOptions{DataDir: to})
		if got := query(t, r, ledger); got != want {
			t.Errorf("ledger %s, want %s", got, want)
		}
		if got := query(t, r, "SELECT count(*) FROM new1"); got != "5000" {
			t.Errorf("the new table has %s rows", got)
		}
		intact(t, r, true)
		testkit.Healthy(t, s)
	})
}

// TestStandby backs a standby up whose primary is idle, and that must not make it wait.
func TestStandby(t *testing.T) {
	t.Parallel()
	dir := room(t)
	a := archive(shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.conf(), testkit.Conf("full_page_writes = on"))
	pgbench(t, s, "-i", "-q", "-s", "1")
	repo := repositorytest.NewMemory()
	primary := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a})
	to := filepath.Join(dir, "standby")
	restore(t, repo, backup(t, repo, primary, nil), physical.TargetOptions{Dir: to, RestoreCommand: a.restoreCommand()})
	conf := fmt.Sprintf("\nprimary_conninfo = 'host=%s port=%d user=postgres'\nhot_standby = on\n", s.Socket, s.Port)
	f, err := os.OpenFile(filepath.Join(to, "cofre-recovery.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(conf); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	shared(t, to)
	standby, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: s.BinDir, DataDir: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Exec(t, "postgres", "CREATE TABLE marks AS SELECT 'before' AS what; CHECKPOINT")
	behind := &testkit.Server{Server: standby}
	testkit.Await(t, "the standby", 30*time.Second, func() bool { return behind.Query(t, "postgres", "SELECT to_regclass('marks') IS NOT NULL") == "t" })
	for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
		src := physical.NewSource("test", physical.Config{Name: "cluster", Server: standby.Config("postgres"), Archive: a, Method: method})
		began := time.Now()
		c := backup(t, repo, src, nil)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("the backup of an idle standby took %s", took)
		}
		if sum := summaryOf(t, c); !sum.FromStandby || !sum.WALIncluded {
			t.Fatalf("summary %+v", sum)
		}
		again := filepath.Join(dir, "again-"+string(method))
		restore(t, repo, c, physical.TargetOptions{Dir: again, VerifyBackup: true})
		r := recovered(t, physical.RecoverOptions{DataDir: again})
		if got := query(t, r, "SELECT what FROM marks") + query(t, r, "SELECT count(*) FROM pgbench_accounts"); got != "before100000" {
			t.Errorf("restored from the standby: %s", got)
		}
	}
	testkit.Healthy(t, behind)
}

// TestUnchangedAndDelta takes unchanged files over unread, and restores in place what differs.
func TestUnchangedAndDelta(t *testing.T) {
	t.Parallel()
	dir := room(t)
	s := testkit.Postgres(t, 0, testkit.InitArgs("--data-checksums"))
	space := shared(t, dir, "space")
	s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
	s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 1000) g")
	pgbench(t, s, "-i", "-q", "-s", "2")
	s.Exec(t, "postgres", "CHECKPOINT")
	repo := repositorytest.NewMemory()
	src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres")})
	var first, second cofre.Component
	// A file is trusted once it is two seconds older than the capture that has read it.
	testkit.Await(t, "files old enough to be trusted", 30*time.Second, func() bool {
		first = backup(t, repo, src, nil)
		second = backup(t, repo, src, &first)
		sum := summaryOf(t, second)
		return sum.ReusedCount*10 > sum.FileCount*9
	})
	before, after := summaryOf(t, first), summaryOf(t, second)
	if before.ReusedCount != 0 || after.FileCount < before.FileCount-2 {
		t.Errorf("%d files reused at first; %d files, then %d", before.ReusedCount, before.FileCount, after.FileCount)
	}
	to := filepath.Join(dir, "data")
	spaces := map[string]string{space: to + "-space"}
	restore(t, repo, second, physical.TargetOptions{Dir: to, Tablespaces: spaces, VerifyBackup: true})
	r := recovered(t, physical.RecoverOptions{DataDir: to})
	changed := &testkit.Server{Server: r.Server}
	changed.Exec(t, "postgres", "UPDATE pgbench_accounts SET abalance = 7 WHERE aid = 1000; CREATE TABLE later AS SELECT 1; DROP TABLE pgbench_history; UPDATE elsewhere SET g = 0; CHECKPOINT")
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(to, "global", "1262")); err != nil {
		t.Fatal(err)
	}

	// Without being told so, a directory that is not empty is refused.
	target := physical.NewTarget(physical.TargetOptions{Dir: to, Tablespaces: map[string]string{space: to + "-other"}})
	tree, err := repo.Tree(t.Context(), second.Root)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := target.Plan(t.Context(), second, tree)
	if err != nil || len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].What, "is not empty") {
		t.Fatalf("plan %+v, %v", plan, err)
	}

	outcome := restore(t, repo, second, physical.TargetOptions{Dir: to, Tablespaces: spaces, Delta: true, VerifyBackup: true})
	if len(outcome.Kept) != 1 {
		t.Errorf("kept %v", outcome.Kept)
	}
	r = recovered(t, physical.RecoverOptions{DataDir: to})
	if got := query(t, r, "SELECT sum(abalance), to_regclass('later') FROM pgbench_accounts") + query(t, r, "SELECT count(*) FROM pgbench_history") + query(t, r, "SELECT sum(g) FROM elsewhere"); got != "0|<null>0500500" {
		t.Errorf("after the delta: %s", got)
	}
	intact(t, r, true)

	outcome = restore(t, repo, first, physical.TargetOptions{Dir: to, Tablespaces: spaces, MoveAside: true})
	if len(outcome.Kept) != 2 {
		t.Fatalf("kept %v", outcome.Kept)
	}
	for _, kept := range outcome.Kept {
		if names, err := os.ReadDir(kept); err != nil || len(names) == 0 {
			t.Errorf("kept %s: %d files, %v", kept, len(names), err)
		}
	}
	r = recovered(t, physical.RecoverOptions{DataDir: to})
	if got := query(t, r, "SELECT count(*) FROM pgbench_accounts a, (SELECT count(*) n FROM elsewhere) e WHERE n = 1000"); got != "200000" {
		t.Errorf("beside the old directory: %s rows", got)
	}
	testkit.Healthy(t, s)
}

// TestDamage names damaged pages, by both methods, and publishes what it read as partial.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.InitArgs("--data-checksums"))
	s.Exec(t, "postgres", "CREATE TABLE sick AS SELECT g, repeat('x', 100) FROM generate_series(1, 10000) g; CHECKPOINT")
	file := s.Query(t, "postgres", "SELECT pg_relation_filepath('sick')")
	f, err := os.OpenFile(filepath.Join(s.DataDir, file), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// One byte of a row in block 3, and in block 5 the header too, with an LSN of the far future.
	for _, at := range []int64{3*8192 + 5000, 5*8192 + 5000, 5 * 8192, 5*8192 + 1} {
		if _, err := f.WriteAt([]byte{'!'}, at); err != nil {
			t.Fatal(err)
		}
	}
	repo := repositorytest.NewMemory()
	for method, want := range map[physical.Method][]physical.BadPage{
		physical.MethodFiles: {{File: file, Block: 3}, {File: file, Block: 5}},
		// The server takes a page for torn that says it is of the future.
		physical.MethodProtocol: {{File: file, Block: 3}},
	} {
		src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
		c := backup(t, repo, src, nil)
		sum := summaryOf(t, c)
		if !c.Partial || len(c.Warnings) != 1 || !slices.Equal(sum.BadPages, want) {
			t.Errorf("%s: partial %t, %v, bad pages %v", method, c.Partial, c.Warnings, sum.BadPages)
		}
	}
	testkit.Healthy(t, s)
}

// TestInterrupted leaves no backup and no slot on the server, and a restore that can be gone on with.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := room(t)
	s := testkit.Postgres(t, 0, testkit.Own())
	pgbench(t, s, "-i", "-q", "-s", "1")
	repo := repositorytest.NewMemory()
	for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
		src := physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
		ctx, cancel := context.WithCancel(t.Context())
		session := &cancelling{after: 100, cancel: cancel, Repository: repo}
		if _, err := tryBackup(t, ctx, session, src, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", method, err)
		}
		testkit.Healthy(t, s)
	}

	c := backup(t, repo, physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres")}), nil)
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "data")
	ctx, cancel := context.WithCancel(t.Context())
	target := physical.NewTarget(physical.TargetOptions{Dir: to, KeepPartial: true})
	if _, err := target.Plan(ctx, c, tree); err != nil {
		t.Fatal(err)
	}
	n := 0
	err = target.Stage(ctx, cofre.ObserverFunc(func(cofre.Event) {
		if n++; n == 200 {
			cancel()
		}
	}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("stage: %v", err)
	}
	if err := target.Discard(t.Context()); err == nil || !strings.Contains(err.Error(), "goes on") {
		t.Errorf("discard: %v", err)
	}
	if _, err := os.Stat(filepath.Join(to, "global/pg_control")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an interrupted restore could be started: %v", err)
	}
	restore(t, repo, c, physical.TargetOptions{Dir: to, VerifyBackup: true})
	r := recovered(t, physical.RecoverOptions{DataDir: to})
	if got := query(t, r, "SELECT count(*) FROM pgbench_accounts"); got != "100000" {
		t.Errorf("%s rows", got)
	}

	// A restore that fails leaves the directory as it was.
	gone := filepath.Join(dir, "gone")
	target = physical.NewTarget(physical.TargetOptions{Dir: gone})
	if _, err := target.Plan(t.Context(), c, tree); err != nil {
		t.Fatal(err)
	}
	version, err := tree.Stat(t.Context(), "data/PG_VERSION")
	if err != nil {
		t.Fatal(err)
	}
	repo.Damage(version.Object)
	if err := target.Stage(t.Context(), cofre.Discard); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("stage of a damaged component: %v", err)
	}
	if err := target.Discard(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

// cancelling is a repository in which a capture is cancelled after some files.
type cancelling struct {
	cofre.Repository
	after  int64
	cancel context.CancelFunc
	n      atomic.Int64
}

func (c *cancelling) Begin(ctx context.Context, id cofre.SourceID) (cofre.Session, error) {
	s, err := c.Repository.Begin(ctx, id)
	return &cancellingSession{s, c}, err
}

type cancellingSession struct {
	cofre.Session
	c *cancelling
}

func (s *cancellingSession) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if s.c.n.Add(1) == s.c.after {
		s.c.cancel()
	}
	return s.Session.Put(ctx, e, r)
}

// TestDemandingWAL recovers over WAL that demands more connections than the base backup knew of.
func TestDemandingWAL(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		if major != 13 && major != testkit.DefaultMajor {
			t.Skip("13 refuses to start, later ones pause")
		}
		dir := room(t)
		a := archive(shared(t, dir, "archive"))
		s := testkit.Postgres(t, major, a.conf())
		s.Exec(t, "postgres", "ALTER SYSTEM SET max_connections = 20")
		again := func() {
			if err := s.Stop(t.Context(), throwaway.Fast); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		again()
		repo := repositorytest.NewMemory()
		c := backup(t, repo, physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
		s.Exec(t, "postgres", "ALTER SYSTEM SET max_connections = 77")
		again()
		s.Exec(t, "postgres", "CREATE TABLE later AS SELECT 1")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		testkit.Await(t, "the archive", 30*time.Second, func() bool {
			return s.Query(t, "postgres", "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'") == "0"
		})
		to := filepath.Join(dir, "data")
		restore(t, repo, c, physical.TargetOptions{Dir: to, RestoreCommand: a.restoreCommand()})
		r := recovered(t, physical.RecoverOptions{DataDir: to})
		if got := query(t, r, "SELECT count(*) FROM later"); got != "1" || len(r.Raised) != 1 {
			t.Errorf("recovered %+v: %s", r, got)
		}
	})
}

// TestDoctor finds what stands in the way of a role and of a server that were made for nothing of the kind.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Conf("wal_level = minimal", "max_wal_senders = 0"))
	s.Exec(t, "postgres", "CREATE ROLE weak LOGIN")
	to := s.Config("postgres")
	to.User = "weak"
	looked, err := physical.NewSource("test", physical.Config{Name: "cluster", Server: to, Archive: archive("/nowhere")}).Doctor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	amiss := map[string]string{}
	for _, d := range looked {
		if !d.OK {
			amiss[d.Subject] = d.Hint
		}
	}
	for subject, hint := range map[string]string{
		"wal_level":       "wal_level = 'replica'",
		"max_wal_senders": "max_wal_senders = 10",
		"EXECUTE on pg_backup_start(text,boolean)": `TO "weak"`,
		"REPLICATION":            `ALTER ROLE "weak" REPLICATION`,
		"pg_read_all_settings":   "GRANT pg_read_all_settings",
		"replication connection": "pg_hba.conf",
	} {
		if !strings.Contains(amiss[subject], hint) {
			t.Errorf("%s: hint %q", subject, amiss[subject])
		}
	}
	repo := repositorytest.NewMemory()
	if _, err := tryBackup(t, t.Context(), repo, physical.NewSource("test", physical.Config{Name: "cluster", Server: s.Config("postgres")}), nil); !errors.Is(err, cofre.ErrPreflight) || cofre.Hint(err) == "" {
		t.Errorf("backup with wal_level = minimal: %v", err)
	}
}
