package ledger_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestCopyDuringTheBaseBackup copies a database while a base backup is taken, by its files, and drops what it was copied from before the
// backup has read it: the replay copies again, and finds nothing. An older base backup has it whole; from that
// one alone it is named. A copy of what nobody changed is as good as any.
func TestCopyDuringTheBaseBackup(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.InitArgs("--wal-segsize=1"), testkit.Conf("archive_mode = on", "archive_command = '/bin/false'", "wal_keep_size = 1GB", "autovacuum = off"))
		m := newMachine(t, s.URL("postgres"), "archive")
		m.archiving(t, s)
		space := m.path("space")
		if err := os.Mkdir(space, 0o700); err != nil {
			t.Fatal(err)
		}
		m.own(t, space)
		s.Exec(t, "postgres", "CREATE TABLESPACE other LOCATION '"+space+"'")
		for _, name := range []string{"quiet", "busy", "moving"} {
			s.Exec(t, "postgres", "CREATE DATABASE "+name)
			s.Exec(t, name, "CREATE TABLE kept AS SELECT g FROM generate_series(1, 20000) g")
		}
		m.must(t, "backup", "cluster", "-q")
		older := m.bases(t)[0].point

		backup := m.start(t, "backup", "cluster", "-q")
		goOn := holdBackup(t, s, backup)
		strategy := ""
		if major >= 15 {
			strategy = " STRATEGY file_copy"
		}
		s.Exec(t, "postgres", "CREATE DATABASE from_quiet TEMPLATE quiet"+strategy)
		s.Exec(t, "postgres", "CREATE DATABASE from_busy TEMPLATE busy"+strategy)
		s.Exec(t, "postgres", "ALTER DATABASE moving SET TABLESPACE other")
		s.Exec(t, "postgres", "DROP DATABASE busy")
		goOn()
		<-backup.done
		if backup.err != nil {
			t.Fatalf("the backup: %v\n%s", backup.err, backup.said)
		}
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		stop := lsnOf(t, s)
		s.Exec(t, "postgres", "CREATE TABLE after (n int)")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		archived(t, s)
		newer := m.bases(t)[slices.IndexFunc(m.bases(t), func(b base) bool { return b.point != older })].point

		dir := m.path("copy")
		args := []string{"--lsn", stop.String(), "--tablespace", space + "=" + space + "-copy"}
		url, doc, end, failed := m.restoreTo(t, s.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: "pause"}, args...)
		if failed != nil {
			t.Fatalf("exit %d\n%s", failed.code, failed.err)
		}
		if doc.Point != older {
			t.Errorf("from base backup %s, want the older one", doc.Point)
		}
		for _, name := range []string{"quiet", "from_quiet", "from_busy", "moving"} {
			n, err := columnOf(t, strings.Replace(url, "/postgres?", "/"+name+"?", 1), "SELECT count(*)::text FROM kept")
			if err != nil || n[0] != "20000" {
				t.Errorf("%s has %v rows, %v", name, n, err)
			}
		}
		end()

		r := m.run(t, "restore", "cluster", newer, "--to", m.path("newer"), "--lsn", stop.String(), "--tablespace", space+"="+space+"-newer")
		_, said, _ := strings.Cut(r.err, "cofre: restored cluster: incomplete: ")
		for _, want := range []string{"was copied from the one", "was moved to another tablespace"} {
			if r.code != 3 || strings.Count(said, want) != 1 {
				t.Errorf("from the newer one: exit %d, want 3 and %q once:\n%s%s", r.code, want, r.out, r.err)
			}
		}
	})
}

// holdBackup stops a backup which the server has begun and that has read no more than the first files, and returns what
// lets it go on.
func holdBackup(t testing.TB, s *testkit.Server, backup *running) (goOn func()) {
	t.Helper()
	// The first question once it has begun is which databases are being dropped.
	const begun = `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cofre' AND state = 'idle' AND query LIKE '%datconnlimit = -2%'`
	conn := s.Conn(t, "postgres") // a session for each look is too slow: the next question comes soon
	testkit.AwaitEvery(t, time.Millisecond, "the backup to begin", time.Minute, func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), begun).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	if err := syscall.Kill(-backup.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Kill(-backup.cmd.Process.Pid, syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	}
}
