package basebackup_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestIncremental has a server that knows what changed send that alone: the component is whole all the same.
func TestIncremental(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		if major < 17 {
			t.Skip("since PostgreSQL 17")
		}
		dir := physicaltest.Room(t)
		s := testkit.Postgres(t, major, testkit.Conf("summarize_wal = on"), testkit.InitArgs("--data-checksums"))
		space := physicaltest.Shared(t, dir, "space")
		s.Exec(t, "postgres", "CREATE TABLESPACE fast LOCATION '"+space+"'")
		s.Exec(t, "postgres", "CREATE TABLE elsewhere TABLESPACE fast AS SELECT g FROM generate_series(1, 20000) g; CREATE TABLE marks (id serial, what text)")
		physicaltest.Pgbench(t, s, "-i", "-q", "-s", "2")
		repo := repositorytest.NewMemory()
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Method: physical.MethodProtocol})
		c := physicaltest.Backup(t, repo, src, nil)
		var want string
		for i := range 2 {
			physicaltest.Pgbench(t, s, "-n", "-t", "200")
			s.Exec(t, "postgres", fmt.Sprintf("INSERT INTO marks (what) VALUES ('%d'); CREATE TABLE new%[1]d AS SELECT g FROM generate_series(1, 5000) g", i))
			s.Exec(t, "postgres", "DELETE FROM elsewhere WHERE g > 10000")
			s.Exec(t, "postgres", "VACUUM elsewhere")
			s.Exec(t, "postgres", "UPDATE elsewhere SET g = g + 1 WHERE g % 1000 = 0")
			want = s.Query(t, "postgres", physicaltest.Ledger)
			c = physicaltest.Backup(t, repo, src, &c)
			sum := physicaltest.SummaryOf(t, c)
			if sum.ReusedCount*2 < sum.FileCount || sum.Method != physical.MethodProtocol || !sum.WALIncluded {
				t.Fatalf("summary %+v", sum)
			}
		}
		to := filepath.Join(dir, "data")
		physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Tablespaces: map[string]string{space: to + "-space"}, VerifyBackup: true})
		r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
		if got := physicaltest.Query(t, r, physicaltest.Ledger); got != want {
			t.Errorf("ledger %s, want %s", got, want)
		}
		if got := physicaltest.Query(t, r, "SELECT count(*) FROM new1"); got != "5000" {
			t.Errorf("the new table has %s rows", got)
		}
		physicaltest.Intact(t, r, true)
		testkit.Healthy(t, s)
	})
}

// TestStandby backs a standby up whose primary is idle, and that must not make it wait.
func TestStandby(t *testing.T) {
	t.Parallel()
	dir := physicaltest.Room(t)
	a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.Conf(), testkit.Conf("full_page_writes = on"))
	physicaltest.Pgbench(t, s, "-i", "-q", "-s", "1")
	repo := repositorytest.NewMemory()
	primary := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a})
	to := filepath.Join(dir, "standby")
	physicaltest.Restore(t, repo, physicaltest.Backup(t, repo, primary, nil), restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand()})
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
	physicaltest.Shared(t, to)
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
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: standby.Config("postgres"), Archive: a, Method: method})
		began := time.Now()
		c := physicaltest.Backup(t, repo, src, nil)
		if took := time.Since(began); took > testkit.Hang { // it waits for nothing that an idle primary does not do
			t.Errorf("the backup of an idle standby took %s", took)
		}
		if sum := physicaltest.SummaryOf(t, c); !sum.FromStandby || !sum.WALIncluded {
			t.Fatalf("summary %+v", sum)
		}
		again := filepath.Join(dir, "again-"+string(method))
		physicaltest.Restore(t, repo, c, restoring.Options{Dir: again, VerifyBackup: true})
		r := physicaltest.Recovered(t, recovering.Options{DataDir: again})
		if got := physicaltest.Query(t, r, "SELECT what FROM marks") + physicaltest.Query(t, r, "SELECT count(*) FROM pgbench_accounts"); got != "before100000" {
			t.Errorf("restored from the standby: %s", got)
		}
	}
	testkit.Healthy(t, behind)
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
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Method: method})
		c := physicaltest.Backup(t, repo, src, nil)
		sum := physicaltest.SummaryOf(t, c)
		if !c.Partial || len(c.Warnings) != 1 || !slices.Equal(sum.BadPages, want) {
			t.Errorf("%s: partial %t, %v, bad pages %v", method, c.Partial, c.Warnings, sum.BadPages)
		}
	}
	testkit.Healthy(t, s)
}

// TestDoctorNeverDropsTheSlotOfTheStream: it keeps what has not been streamed yet, which is lost with it.
func TestDoctorNeverDropsTheSlotOfTheStream(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string][]string{
		"streamed alone":         {"wal_level = replica"},
		"another's archive, too": {"wal_level = replica", "archive_mode = on", "archive_command = 'true'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slotOfTheStream(t, testkit.Postgres(t, 0, testkit.Conf(conf...)))
		})
	}
}

func slotOfTheStream(t *testing.T, s *testkit.Server) {
	t.Helper()
	amiss := func() map[string]string {
		t.Helper()
		looked, err := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: physicaltest.Archive("/nowhere"), Slot: "cofre"}).Doctor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, d := range looked {
			if !d.OK && (d.Subject == "WAL stream" || strings.HasPrefix(d.Subject, "replication slot")) {
				found[d.Subject] = d.Hint + " | " + d.Detail
			}
		}
		return found
	}
	const start = "start it, and keep it running: cofre wal stream | "
	missing := map[string]string{"WAL stream": start + "replication slot cofre is not there: nothing streams the WAL"}
	if got := amiss(); !maps.Equal(got, missing) {
		t.Errorf("without the slot: %q", got)
	}
	s.Exec(t, "postgres", "SELECT pg_create_physical_replication_slot('cofre', true), pg_create_physical_replication_slot('left', true)")
	idle := map[string]string{
		"WAL stream":            start + "nothing streams from replication slot cofre, its WAL is reserved",
		"replication slot left": "start what uses it, or: SELECT pg_drop_replication_slot('left') | not in use, its WAL is reserved",
	}
	if got := amiss(); !maps.Equal(got, idle) {
		t.Errorf("with slots that nobody uses: %q", got)
	}
	source := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: physicaltest.Archive("/nowhere"), Slot: "cofre"})
	trouble := func() string {
		t.Helper()
		a, err := source.Archiver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		what, hint := a.Trouble()
		return what.Text + " | " + hint.Text
	}
	if got := trouble(); got != "nothing streams the WAL: replication slot cofre is not in use | start cofre wal stream, and keep it running" {
		t.Errorf("with a slot that nobody uses: %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	receive := exec.CommandContext(ctx, filepath.Join(s.BinDir, "pg_receivewal"), "-d", s.URL("postgres"), "-S", "cofre", "-D", t.TempDir())
	if err := receive.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = receive.Wait() }()
	testkit.Await(t, "a stream", 20*time.Second, func() bool { return trouble() == " | " })
}

// TestDoctor finds what stands in the way of a role and of a server that were made for nothing of the kind.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Conf("wal_level = minimal", "max_wal_senders = 0"))
	s.Exec(t, "postgres", "CREATE ROLE weak LOGIN")
	to := s.Config("postgres")
	to.User = "weak"
	looked, err := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: to, Archive: physicaltest.Archive("/nowhere")}).Doctor(t.Context())
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
		"EXECUTE ON pg_backup_start(text,boolean)": `TO "weak"`,
		"REPLICATION":            `ALTER ROLE "weak" REPLICATION`,
		"pg_read_all_settings":   "GRANT pg_read_all_settings",
		"replication connection": "pg_hba.conf",
	} {
		if !strings.Contains(amiss[subject], hint) {
			t.Errorf("%s: hint %q", subject, amiss[subject])
		}
	}
	repo := repositorytest.NewMemory()
	if _, err := physicaltest.TryBackup(t, t.Context(), repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")}), nil); !errors.Is(err, cofre.ErrPreflight) || cofre.Hint(err) == "" {
		t.Errorf("backup with wal_level = minimal: %v", err)
	}
}
