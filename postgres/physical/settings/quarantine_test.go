package settings_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestACopyActsOnNothing restores a subscriber whose settings reach out of its data directory in every way, starts the copy
// beside it as a person does, and finds the publisher's slot, and the original's rows, socket and logs, as they were.
func TestACopyActsOnNothing(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := physicaltest.Room(t)
		outside, a := physicaltest.Shared(t, dir, "outside"), physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
		publisher := testkit.Postgres(t, major, testkit.Conf("wal_level = logical"))
		conf := []string{
			"listen_addresses = '*'", "logging_collector = on", "log_filename = 'of-the-original.log'",
			"log_destination = 'stderr,csvlog'", "session_preload_libraries = 'auto_explain'", "shared_preload_libraries = 'pg_stat_statements'",
			"cluster_name = 'original'", "unix_socket_permissions = 0777",
		}
		if major < 15 {
			conf = append(conf, "stats_temp_directory = '"+outside+"'")
		}
		s := testkit.Postgres(t, major, a.Conf(), testkit.Conf(conf...))
		publisher.Exec(t, "postgres", "CREATE TABLE answers (id int PRIMARY KEY); CREATE PUBLICATION all_answers FOR TABLE answers")
		s.Exec(t, "postgres", "CREATE TABLE answers (id int PRIMARY KEY)")
		s.Exec(t, "postgres", fmt.Sprintf("CREATE SUBSCRIPTION mine CONNECTION 'host=%s port=%d user=postgres dbname=postgres' PUBLICATION all_answers", publisher.Socket, publisher.Port))
		for _, set := range []string{
			"external_pid_file = '" + outside + "/original.pid'", "log_directory = '" + outside + "'", "max_logical_replication_workers = 8",
			"unix_socket_directories = '" + outside + "'", "synchronous_standby_names = 'somebody'",
		} {
			s.Exec(t, "postgres", "ALTER SYSTEM SET "+set)
		}
		arrived := func(n string) {
			t.Helper()
			testkit.Await(t, n+" rows at the subscriber", 30*time.Second, func() bool { return s.Query(t, "postgres", "SELECT count(*) FROM answers") == n })
		}
		publisher.Exec(t, "postgres", "INSERT INTO answers SELECT generate_series(1, 100)")
		arrived("100")
		repo := repositorytest.NewMemory()
		c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
		// The original stays away for a moment: its slot is free, which a copy would take.
		s.Exec(t, "postgres", "ALTER SUBSCRIPTION mine DISABLE")
		free := func() bool { return publisher.Query(t, "postgres", "SELECT active FROM pg_replication_slots") == "f" }
		testkit.Await(t, "the slot is free", 30*time.Second, free)
		publisher.Exec(t, "postgres", "INSERT INTO answers SELECT generate_series(101, 105)")

		to := filepath.Join(dir, "copy")
		physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand()})
		copied := physicaltest.Started{Bin: s.BinDir, Dir: to}
		copied.Ctl(t, "start")
		running := true
		t.Cleanup(func() {
			if running {
				copied.Ctl(t, "stop", "-m", "immediate")
			}
		})
		testkit.Await(t, "the copy takes writes", 30*time.Second, func() bool { return copied.Ask(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
		quiet := func(when string) {
			t.Helper()
			for name, want := range map[string]string{
				"archive_mode": "off", "max_logical_replication_workers": "0", "listen_addresses": "", "unix_socket_directories": ".", "external_pid_file": "cofre-copy.pid",
				"log_directory": "log", "log_destination": "stderr", "session_preload_libraries": "", "synchronous_standby_names": "",
				"shared_preload_libraries": `"pg_stat_statements"`, "cluster_name": "restored by cofre",
			} {
				if got := copied.Ask(t, "postgres", "SHOW "+name); got != want {
					t.Errorf("%s: %s is %q, want %q", when, name, got, want)
				}
			}
			if got := copied.Ask(t, "postgres", "SELECT coalesce(string_agg(name || ': ' || error, '; '), '') FROM pg_file_settings WHERE error IS NOT NULL"); got != "" {
				t.Errorf("%s: settings that are not accepted: %s", when, got)
			}
			if got := copied.Ask(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'logical|archiver|walreceiver'"); got != "0" {
				t.Errorf("%s: %s processes that act", when, got)
			}
			if !free() {
				t.Errorf("%s: somebody uses the publisher's slot", when)
			}
		}
		quiet("started")
		// ALTER SYSTEM writes postgresql.auto.conf anew, and a role or a database may have settings of its own.
		copied.Ask(t, "postgres", "ALTER SYSTEM SET work_mem = '7MB'")
		copied.Ask(t, "postgres", "ALTER DATABASE postgres SET log_min_messages = 'warning'")
		copied.Ctl(t, "restart")
		quiet("restarted after ALTER SYSTEM")
		copied.Ctl(t, "stop", "-m", "fast")
		running = false

		for _, name := range []string{"original.pid", "of-the-original.log", ".s.PGSQL.5432"} {
			if _, err := os.Lstat(filepath.Join(outside, name)); err == nil {
				t.Errorf("the copy has made %s outside of its directory", name)
			}
		}
		s.Exec(t, "postgres", "ALTER SUBSCRIPTION mine ENABLE")
		arrived("105")
		s.Exec(t, "postgres", "ALTER SUBSCRIPTION mine DISABLE; ALTER SUBSCRIPTION mine SET (slot_name = NONE); DROP SUBSCRIPTION mine")
		publisher.Exec(t, "postgres", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
	})
}

// TestACopyRunsNoJobs restores a cluster in which pg_cron runs jobs: the copy does not load it, until it is adopted.
func TestACopyRunsNoJobs(t *testing.T) {
	t.Parallel()
	programs := filepath.Dir(testkit.Binary(t, testkit.DefaultMajor, "postgres"))
	if _, err := os.Stat(filepath.Join(filepath.Dir(programs), "lib", "pg_cron.so")); err != nil {
		testkit.Missing(t, "pg_cron", "pg_cron is not here: apt-get install postgresql-15-cron")
	}
	dir := physicaltest.Room(t)
	a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.Conf(), testkit.Conf("shared_preload_libraries = 'pg_stat_statements,pg_cron'", "cron.use_background_workers = on", "listen_addresses = ''"))
	s.Exec(t, "postgres", "ALTER SYSTEM SET unix_socket_directories = '"+physicaltest.Shared(t, dir, "socket")+"'")
	s.Exec(t, "postgres", "CREATE EXTENSION pg_cron; SELECT cron.schedule('each', '* * * * *', 'SELECT 1')")
	const launcher = "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'pg_cron'"
	testkit.Await(t, "the original's launcher", time.Minute, func() bool { return s.Query(t, "postgres", launcher) == "1" })
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
	to := filepath.Join(dir, "copy")
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand()})
	copied := physicaltest.Started{Bin: s.BinDir, Dir: to}
	copied.Ctl(t, "start")
	t.Cleanup(func() { copied.Ctl(t, "stop", "-m", "immediate") })
	testkit.Await(t, "the copy takes writes", 30*time.Second, func() bool { return copied.Ask(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
	if got := copied.Ask(t, "postgres", launcher) + copied.Ask(t, "postgres", "SELECT count(*) FROM cron.job"); got != "01" {
		t.Errorf("launchers and jobs of the copy: %s, want 01", got)
	}
	if got := copied.Ask(t, "postgres", "SHOW shared_preload_libraries"); got != `"pg_stat_statements"` {
		t.Errorf("the copy loads %s", got)
	}
	adoption, err := adopting.Plan(t.Context(), adopting.Options{Dir: to, Restart: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := adoption.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := *s.Server
	other.Socket = filepath.Join(dir, "socket")
	adopted := testkit.Server{Server: &other}
	testkit.Await(t, "the adopted server's launcher", time.Minute, func() bool { return adopted.Query(t, "postgres", launcher) == "1" })
	if got := adopted.Query(t, "postgres", "SHOW shared_preload_libraries"); got != "pg_stat_statements,pg_cron" {
		t.Errorf("adopted: it loads %s", got)
	}
}
