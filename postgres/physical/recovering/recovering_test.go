package recovering_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestPointInTime backs a cluster up while it is written to, with a tablespace and an archive, and recovers it to
// targets of every kind.
func TestPointInTime(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := physicaltest.Room(t)
		a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
		s := testkit.Postgres(t, major, a.Conf(), testkit.InitArgs("--data-checksums"))
		space := physicaltest.Shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 20000) g")
		s.Exec(t, "postgres", "CREATE UNLOGGED TABLE passing AS SELECT g FROM generate_series(1, 20000) g; CREATE TABLE marks (id serial, what text)")
		s.Exec(t, "postgres", "ALTER SYSTEM SET work_mem = '5MB'")
		physicaltest.Pgbench(t, s, "-i", "-q", "-s", "2")
		stop := physicaltest.Load(t, s)
		repo := repositorytest.NewMemory()
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a})
		c := physicaltest.Backup(t, repo, src, nil)
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
		want := s.Query(t, "postgres", physicaltest.Ledger)
		last := s.Query(t, "postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		testkit.Await(t, "the archive", 30*time.Second, func() bool { m, _ := a.Missing(t.Context(), 0, []string{last}); return len(m) == 0 })
		testkit.Healthy(t, s)

		sum := physicaltest.SummaryOf(t, c)
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
			action settings.Action
			marks  string
		}{
			{"latest", cofre.RecoveryTarget{}, settings.ActionPromote, "a,b,c,d,e"},
			{"lsn", cofre.RecoveryTarget{LSN: lsn}, settings.ActionPause, "a"},
			{"xid exclusive", cofre.RecoveryTarget{XID: xidNumber, Exclusive: true}, settings.ActionPromote, "a"},
			{"time", cofre.RecoveryTarget{At: at}, settings.ActionPromote, "a,b,c"},
			{"name", cofre.RecoveryTarget{Name: "point"}, settings.ActionShutdown, ""},
			{"immediate", cofre.RecoveryTarget{Immediate: true}, settings.ActionPause, "<null>"},
		} {
			if tt.name != "time" && (testing.Short() || major != testkit.DefaultMajor) { // every major once
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				to := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
				physicaltest.Restore(t, repo, c, restoring.Options{
					Dir: to, Tablespaces: map[string]string{space: to + "-space"}, Recovery: tt.target, Action: tt.action,
					RestoreCommand: a.RestoreCommand(), VerifyBackup: tt.name == "latest",
				})
				if tt.target.Immediate {
					// As where the original keeps its configuration elsewhere.
					for _, name := range []string{"postgresql.conf", "pg_hba.conf"} {
						if err := os.Remove(filepath.Join(to, name)); err != nil {
							t.Fatal(err)
						}
					}
				}
				r := physicaltest.Recovered(t, recovering.Options{DataDir: to, Recovery: tt.target, Action: tt.action})
				if r.LSN < sum.StopLSN && !tt.target.Immediate {
					t.Errorf("stopped at %s, before the backup's end %s", r.LSN, sum.StopLSN)
				}
				if tt.action == settings.ActionShutdown {
					if r.Server != nil {
						t.Error("the server still runs")
					}
					return
				}
				if got := physicaltest.Query(t, r, "SELECT string_agg(what, ',' ORDER BY id) FROM marks"); got != tt.marks {
					t.Errorf("marks %s, want %s; stopped at %+v", got, tt.marks, r)
				}
				if r.Promoted != (tt.action == settings.ActionPromote) || r.Promoted && r.Timeline < 2 {
					t.Errorf("recovered %+v", r)
				}
				if got := physicaltest.Query(t, r, "SHOW archive_mode") + physicaltest.Query(t, r, "SHOW work_mem"); got != "off5MB" {
					t.Errorf("archive_mode and work_mem %s", got)
				}
				if tt.name != "latest" {
					return
				}
				if got := physicaltest.Query(t, r, physicaltest.Ledger); got != want {
					t.Errorf("ledger %s, want %s", got, want)
				}
				if got := physicaltest.Query(t, r, "SELECT count(*) FROM passing"); got != "0" {
					t.Errorf("unlogged table has %s rows", got)
				}
				b, err := os.ReadFile(filepath.Join(to, "cofre-recovery.conf"))
				if err != nil || strings.Contains(string(b), "restore_command") {
					t.Errorf("recovery settings stay: %v\n%s", err, b)
				}
				physicaltest.Intact(t, r, true)
			})
		}
		unreachable := filepath.Join(dir, "unreachable")
		future := cofre.RecoveryTarget{At: time.Now().Add(time.Hour)}
		physicaltest.Restore(t, repo, c, restoring.Options{
			Dir: unreachable, Tablespaces: map[string]string{space: unreachable + "-space"}, Recovery: future, RestoreCommand: a.RestoreCommand(),
		})
		var u *cofre.UnreachableError
		if r, err := recovering.Run(t.Context(), recovering.Options{DataDir: unreachable, Recovery: future}); !errors.As(err, &u) {
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
	dir := physicaltest.Room(t)
	a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.Conf())
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
	s.Exec(t, "postgres", "CREATE TABLE marks AS SELECT 1")
	last := s.Query(t, "postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())")
	s.Exec(t, "postgres", "SELECT pg_switch_wal()")
	testkit.Await(t, "the archive", 30*time.Second, func() bool { m, _ := a.Missing(t.Context(), 0, []string{last}); return len(m) == 0 })
	beyond := &recovery.Recovery{Timeline: 1, Stop: 0x7F000028, Reach: 0x7F000060}
	for _, action := range []settings.Action{settings.ActionPromote, settings.ActionPause, settings.ActionShutdown} {
		for _, target := range []cofre.RecoveryTarget{{}, {At: time.Now()}} {
			to := filepath.Join(dir, fmt.Sprint(action, target.At.IsZero()))
			physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Recovery: target, Plan: beyond, Action: action, RestoreCommand: a.RestoreCommand()})
			r, err := recovering.Run(t.Context(), recovering.Options{DataDir: to, Recovery: target, Plan: beyond, Action: action})
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
		dir := physicaltest.Room(t)
		s := testkit.Postgres(t, major, testkit.InitArgs("--data-checksums"))
		space := physicaltest.Shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 1000) g; CREATE TABLE marks (id serial, what text)")
		physicaltest.Pgbench(t, s, "-i", "-q", "-s", "1")
		stop := physicaltest.Load(t, s)
		for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
			if method == physical.MethodFiles && major != testkit.DefaultMajor {
				continue
			}
			repo := repositorytest.NewMemory()
			src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
			// Committed before the backup ends: it must be there.
			s.Exec(t, "postgres", "INSERT INTO marks (what) VALUES ('"+string(method)+"')")
			c := physicaltest.Backup(t, repo, src, nil)
			if sum := physicaltest.SummaryOf(t, c); !sum.WALIncluded || sum.Method != method || sum.StopLSN <= sum.StartLSN || len(sum.Tablespaces) != 1 {
				t.Fatalf("summary %+v", sum)
			}
			to := filepath.Join(dir, string(method))
			physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Tablespaces: map[string]string{space: to + "-space"}, VerifyBackup: true})
			r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
			if !r.Promoted || r.Timeline != 1 {
				t.Errorf("recovered %+v", r)
			}
			if got := physicaltest.Query(t, r, "SELECT count(*) FROM marks WHERE what = '"+string(method)+"'"); got != "1" {
				t.Errorf("what was committed before the backup is there %s times", got)
			}
			if got := physicaltest.Query(t, r, "SELECT sum(abalance) = sum(delta) FROM (SELECT sum(abalance) abalance FROM pgbench_accounts) a, (SELECT sum(delta) delta FROM pgbench_history) h"); got != "t" {
				t.Error("accounts and history do not agree")
			}
			if got := physicaltest.Query(t, r, "SELECT count(*) FROM elsewhere"); got != "1000" {
				t.Errorf("the tablespace's table has %s rows", got)
			}
			physicaltest.Intact(t, r, true)
		}
		stop()
		testkit.Healthy(t, s)
	})
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
		dir := physicaltest.Room(t)
		a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
		s := testkit.Postgres(t, major, a.Conf())
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
		c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
		s.Exec(t, "postgres", "ALTER SYSTEM SET max_connections = 77")
		again()
		s.Exec(t, "postgres", "CREATE TABLE later AS SELECT 1")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		testkit.Await(t, "the archive", 30*time.Second, func() bool {
			return s.Query(t, "postgres", "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'") == "0"
		})
		to := filepath.Join(dir, "data")
		physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand()})
		r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
		if got := physicaltest.Query(t, r, "SELECT count(*) FROM later"); got != "1" || len(r.Raised) != 1 {
			t.Errorf("recovered %+v: %s", r, got)
		}
	})
}
