package wal_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// self puts this binary where every user may run it and returns a shell command that runs it as a command of
// the server.
func self(t *testing.T, root, verb string, recipient wal.Recipient) string {
	t.Helper()
	binary := filepath.Join(root, "cofre-test")
	if _, err := os.Stat(binary); err != nil {
		in, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.OpenFile(binary, os.O_CREATE|os.O_WRONLY, 0o755)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("COFRE_TEST_WAL=%s COFRE_TEST_STORE=%s/repository COFRE_TEST_SPOOL=%s/spool COFRE_TEST_RECIPIENT=%s %s", verb, root, root, recipient, binary)
}

// asServer makes a command run as the user that servers run as.
func asServer(t *testing.T, s *testkit.Server, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	fi, err := os.Stat(s.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: st.Uid, Gid: st.Gid}}
	}
	return cmd
}

// openUp lets the server's user read what is in root, and write to its folders: servers do not run as root.
func openUp(t *testing.T, root string) {
	t.Helper()
	err := filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if fi.IsDir() {
			return os.Chmod(path, 0o777)
		}
		return os.Chmod(path, fi.Mode()|0o444)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A real server archives through archive_command, is killed in the middle, goes on, and is recovered to a
// restore point, a transaction and a time, each planned first; what is there then is what was committed by then.
func TestServerArchivesIsKilledAndRecovers(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	s := testkit.Postgres(t, testedMajor(t),
		func(o *throwaway.Options) { o.InitArgs = []string{"--wal-segsize=1"} },
		testkit.Conf("archive_mode = on", "wal_level = replica", "synchronous_commit = on", "log_timezone = UTC",
			"archive_command = '"+self(t, root, "archive", id.Recipient())+" %p'"))
	system := cofre.SystemID(number(t, s.Query(t, "postgres", "select system_identifier from pg_control_system()")))
	s.Exec(t, "postgres", "create table ledger (n int primary key, filler text)")
	fill := func(from, to int) {
		t.Helper()
		s.Exec(t, "postgres", fmt.Sprintf("insert into ledger select i, repeat(md5(i::text), 20) from generate_series(%d, %d) i", from, to))
	}
	base := filepath.Join(root, "base")
	if err := os.Mkdir(base, 0o700); err != nil {
		t.Fatal(err)
	}
	fi, _ := os.Stat(s.DataDir)
	owner := fi.Sys().(*syscall.Stat_t)
	if err := os.Chown(base, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	if out, err := asServer(t, s, exec.Command(testkit.Binary(t, s.Major, "pg_basebackup"), "-d", s.URL("postgres"), "-D", base, "-X", "none", "-c", "fast", "--no-sync")).CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	label := must(pgdata.ParseBackupLabel(mustRead(t, filepath.Join(base, "backup_label"))))(t)
	backup := recovery.BaseBackup{Point: "base", SystemID: system, Timeline: 1, Start: label.Start, StartedAt: time.Now().UTC().Add(-time.Hour), StoppedAt: serverTime(t, s)}
	backup.Stop = must(cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select pg_current_wal_lsn()"))))(t)

	fill(1, 3000)
	s.Kill() // while segments are being archived
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(3001, 4000)
	at := serverTime(t, s)
	s.Exec(t, "postgres", "select pg_create_restore_point('before the disaster')")
	xid := number(t, s.Query(t, "postgres", "begin; insert into ledger values (5000, ''); select pg_current_xact_id()::text::bigint; commit"))
	s.Exec(t, "postgres", "delete from ledger where n <= 2500")
	last := s.Query(t, "postgres", "select pg_walfile_name(pg_switch_wal())")
	s.Exec(t, "postgres", "select 1")
	testkit.Await(t, "archiving of "+last, 20*time.Second, func() bool {
		return number(t, s.Query(t, "postgres", "select count(*) from pg_stat_archiver where last_archived_wal >= '"+strings.TrimSpace(last)+"'")) == 1
	})
	if failed := s.Query(t, "postgres", "select failed_count from pg_stat_archiver"); strings.TrimSpace(failed) != "0" {
		t.Errorf("%s failures of archive_command: %s", failed, s.Log())
	}

	inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	status := wal.StatusOf(inv, []recovery.BaseBackup{backup})
	if len(status.Windows) != 1 || len(status.Gaps) != 0 || status.Segments < 4 {
		t.Errorf("status %+v", status)
	}
	for _, c := range []struct {
		target  cofre.RecoveryTarget
		setting string
		count   int
	}{
		{cofre.RecoveryTarget{Name: "before the disaster"}, "recovery_target_name = 'before the disaster'", 4000},
		{cofre.RecoveryTarget{XID: uint64(xid)}, fmt.Sprintf("recovery_target_xid = '%d'", xid), 4001},
		{cofre.RecoveryTarget{At: at}, "recovery_target_time = '" + // PostgreSQL knows no Z before its time zone abbreviations are read
			at.Format("2006-01-02 15:04:05.999999-07:00") + "'", 4000},
	} {
		r, err := recovery.Recover(c.target, []recovery.BaseBackup{backup}, &inv.WAL, (&fetch.Fetcher{Store: st, Identity: id}).Scan(t.Context(), inv))
		if err != nil {
			t.Errorf("plan %s: %v", c.target, err)
			continue
		}
		got := recoverTo(t, s, root, base, c.setting, self(t, root, "fetch", id.Recipient()), "select count(*) from public.ledger")
		if number(t, got) != c.count {
			t.Errorf("%s (planned to stop at %s): %s rows, want %d", c.target, r.Stop, got, c.count)
		}
	}
	for _, target := range []cofre.RecoveryTarget{{Name: "never made"}, {XID: uint64(xid) + 1000}, {At: time.Now().Add(time.Hour)}} {
		if r, err := recovery.Recover(target, []recovery.BaseBackup{backup}, &inv.WAL, (&fetch.Fetcher{Store: st, Identity: id}).Scan(t.Context(), inv)); err == nil {
			t.Errorf("%s is said to be reachable: %+v", target, r)
		}
	}

	// Without a segment in the middle the recovery fails; it does not end early.
	victim := pgdata.SegmentAt(1, backup.Stop, 1<<20).Next()
	object := object(t, system, victim.Name(1<<20))
	if err := st.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if err := fetch.Forget(filepath.Join(root, "spool")); err != nil {
		t.Fatal(err)
	}
	r, err := startRecovery(t, s, root, base, "", self(t, root, "fetch", id.Recipient()))
	if err == nil {
		// It is consistent before the gap and answers for a moment; then it ends, and is not promoted.
		testkit.Await(t, "the end of a recovery across a gap", 60*time.Second, func() bool { return !r.Running() })
		err = errors.New(r.Log())
		_ = r.Close()
	}
	if !strings.Contains(err.Error(), "gap in the WAL of timeline 1: segment "+victim.Name(1<<20)+" is missing") {
		t.Errorf("recovery across a gap: %v", err)
	}
	testkit.Healthy(t, s)
}

// startRecovery starts a copy of a base backup.
func startRecovery(t *testing.T, s *testkit.Server, root, base, setting, fetch string) (*throwaway.Server, error) {
	t.Helper()
	for _, d := range []string{"repository", "copied"} {
		if _, err := os.Stat(filepath.Join(root, d)); err == nil {
			openUp(t, filepath.Join(root, d))
		}
	}
	dir := filepath.Join(root, "recovered")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", base, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "recovery.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintf(conf, "\narchive_mode = off\nsynchronous_standby_names = ''\nrestore_command = '%s %%f %%p'\n%s\nrecovery_target_action = promote\n", fetch, setting)
	if err != nil || conf.Close() != nil {
		t.Fatal(err)
	}
	return throwaway.Start(t.Context(), throwaway.Options{BinDir: s.BinDir, DataDir: dir})
}

func recoverTo(t *testing.T, s *testkit.Server, root, base, setting, fetch, query string) string {
	t.Helper()
	r, err := startRecovery(t, s, root, base, setting, fetch)
	if err != nil {
		t.Errorf("recover with %s: %v", setting, err)
		return "-1"
	}
	defer r.Close()
	conn, err := postgres.Connect(t.Context(), r.Config("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	testkit.Await(t, "promotion", 20*time.Second, func() bool {
		var in bool
		if err := conn.QueryRow(t.Context(), "select pg_is_in_recovery()").Scan(&in); err != nil {
			t.Fatal(err)
		}
		return !in
	})
	var n int
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(n)
}

func serverTime(t *testing.T, s *testkit.Server) time.Time {
	t.Helper()
	us := number(t, s.Query(t, "postgres", "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"))
	return time.UnixMicro(int64(us)).UTC()
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// testedMajor is the major version that the tests of this package run on: COFRE_TEST_MAJOR, or the default.
func testedMajor(t testing.TB) int {
	t.Helper()
	if s := os.Getenv("COFRE_TEST_MAJOR"); s != "" {
		return number(t, s)
	}
	return testkit.DefaultMajor
}
