package ledger_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestNothingActsAfterTheTarget recovers beside the living original to moments just before a database is dropped, a
// tablespace is dropped and a database is created, each with nothing committed in between, and after a tablespace was
// created that the base backup does not know. The copy is what the original was, and the original's files stay as they are.
func TestNothingActsAfterTheTarget(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.InitArgs("--wal-segsize=1"), testkit.Conf("archive_mode = on", "archive_command = '/bin/false'", "wal_keep_size = 1GB", "autovacuum = off"))
		m := newMachine(t, s.URL("postgres"), "archive")
		m.archiving(t, s)
		for _, name := range []string{"old", "new", "new-copy"} {
			if err := os.Mkdir(m.path(name), 0o700); err != nil {
				t.Fatal(err)
			}
			m.own(t, m.path(name))
		}
		s.Exec(t, "postgres", "CREATE TABLESPACE old LOCATION '"+m.path("old")+"'")
		s.Exec(t, "postgres", "CREATE DATABASE victim")
		s.Exec(t, "victim", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
		m.must(t, "backup", "cluster", "-q")
		s.Exec(t, "postgres", "CREATE TABLESPACE new LOCATION '"+m.path("new")+"'")
		s.Exec(t, "postgres", "CREATE TABLE rows TABLESPACE new AS SELECT g FROM generate_series(1, 10000) g")
		xid := s.Query(t, "postgres", "SELECT xmin FROM rows LIMIT 1")
		oid := s.Query(t, "postgres", "SELECT oid FROM pg_tablespace WHERE spcname = 'new'")
		s.Exec(t, "postgres", "SELECT pg_create_restore_point('here')")
		at := s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
		lsn := s.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()")
		s.Exec(t, "postgres", "DROP DATABASE victim")
		afterDrop := s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
		s.Exec(t, "postgres", "DROP TABLESPACE old")
		afterSpace := s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
		s.Exec(t, "postgres", "CREATE DATABASE later")
		s.Exec(t, "postgres", "INSERT INTO rows SELECT g FROM generate_series(10001, 20000) g; CHECKPOINT; SELECT pg_switch_wal()")
		archived(t, s)
		before := fingerprintOf(t, m.path("new"))

		const whole = "10000|1000|old|0"
		cases := []struct {
			name string
			args []string
			want string // rows, rows of the victim, tablespace old, databases named later
		}{
			{"at", []string{"--at", at}, whole},
			{"at after the drop", []string{"--at", afterDrop}, "10000||old|0"},
			{"at after the tablespace", []string{"--at", afterSpace, "--tablespace", m.path("new") + "=" + m.path("new-copy")}, "10000|||0"},
			{"name", []string{"--name", "here"}, whole},
			{"xid", []string{"--xid", xid}, whole},
			{"lsn", []string{"--lsn", lsn, "--exclusive"}, whole},
		}
		for i, c := range cases {
			if i > 2 && major != testkit.DefaultMajor {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				dir := m.path(fmt.Sprint("copy", i))
				action := []string{"promote", "pause"}[i%2]
				url, _, end, failed := m.restoreTo(t, s.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: action}, append([]string{"--tablespace", m.path("old") + "=" + dir + "-old"}, c.args...)...)
				if failed != nil {
					t.Fatalf("%v exits with %d:\n%s%s", c.args, failed.code, failed.out, failed.err)
				}
				one := func(sql string) string { return queryColumn(t, url, sql)[0] }
				victim := ""
				if one("SELECT count(*)::text FROM pg_database WHERE datname = 'victim'") == "1" {
					victim = queryColumn(t, strings.Replace(url, "/postgres?", "/victim?", 1), "SELECT count(*)::text FROM kept")[0]
				}
				got := strings.Join([]string{
					one("SELECT count(*)::text FROM rows"), victim,
					one("SELECT coalesce(string_agg(spcname, ','), '') FROM pg_tablespace WHERE spcname = 'old'"),
					one("SELECT count(*)::text FROM pg_database WHERE datname = 'later'"),
				}, "|")
				if got != c.want {
					t.Errorf("%v: %s, want %s", c.args, got, c.want)
				}
				if action == "promote" {
					if strings.Contains(c.want, "old") {
						queryColumn(t, url, "CREATE TABLE works TABLESPACE old AS SELECT 1")
					}
					queryColumn(t, url, "INSERT INTO rows SELECT 0 FROM generate_series(1, 5000)")
					queryColumn(t, url, "CHECKPOINT")
				}
				link, err := os.Readlink(filepath.Join(dir, "pg_tblspc", oid))
				if named := strings.Contains(strings.Join(c.args, " "), "new-copy"); named != (err == nil) || named && link != m.path("new-copy") {
					t.Errorf("tablespace new is a link to %q, %v", link, err)
				}
				if i == 2 {
					// Once more, over what is there.
					end()
					url, _, again, failed := m.restoreTo(t, s.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: "promote", delta: true}, append([]string{"--tablespace", m.path("old") + "=" + dir + "-old"}, c.args...)...)
					if failed != nil {
						t.Fatalf("delta: exit %d\n%s", failed.code, failed.err)
					}
					defer again()
					if got := queryColumn(t, url, "SELECT count(*)::text FROM rows")[0]; got != "10000" {
						t.Errorf("a delta has %s rows", got)
					}
				} else {
					defer end()
				}
				if got := s.Query(t, "postgres", "SELECT count(*) FROM rows"); got != "20000" {
					t.Errorf("the original has %s rows", got)
				}
			})
		}
		if after := fingerprintOf(t, m.path("new")); after != before {
			t.Error("the files of the original's tablespace have changed")
		}
		if r := m.run(t, "restore", "cluster", "--to", m.path("same"), "--tablespace", m.path("old")+"="+m.path("same-old"), "--tablespace", m.path("new")+"="+m.path("new"), "--at", at, "--dry-run"); r.code != 23 || !strings.Contains(r.out+r.err, "is there already") {
			t.Errorf("a tablespace where the original has it: exit %d\n%s%s", r.code, r.out, r.err)
		}
	})
}

// TestInsideADropDatabase drops a database while others commit. A moment at which it is neither there nor gone is refused
// with the positions around it, which then are what they say.
func TestInsideADropDatabase(t *testing.T) {
	t.Parallel()
	s := newServer(t, "archive_mode = on", "archive_command = '/bin/false'", "autovacuum = off")
	m := newMachine(t, s.URL("postgres"), "archive")
	m.archiving(t, s)
	s.Exec(t, "postgres", "CREATE TABLE ticks (n serial)")
	s.Exec(t, "postgres", "CREATE DATABASE victim")
	s.Exec(t, "victim", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
	m.must(t, "backup", "cluster", "-q")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				s.Exec(t, "postgres", "INSERT INTO ticks DEFAULT VALUES")
			}
		}
	}()
	now := func() time.Time {
		text := s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Error(err)
		}
		return at
	}
	began := now()
	s.Exec(t, "postgres", "DROP DATABASE victim")
	ended := now()
	ticks := s.Query(t, "postgres", "SELECT count(*) FROM ticks")
	testkit.Await(t, "another commit", 20*time.Second, func() bool { return s.Query(t, "postgres", "SELECT count(*) FROM ticks") != ticks })
	close(stop)
	<-stopped
	s.Exec(t, "postgres", "SELECT pg_switch_wal()")
	archived(t, s)

	torn := ""
	for i := range 12 {
		at := began.Add(ended.Sub(began) * time.Duration(i) / 11)
		r := m.run(t, "restore", "cluster", "--to", m.path("nowhere"), "--dry-run", "--at", at.Format(time.RFC3339Nano))
		switch {
		case r.code == 21 && strings.Contains(r.err, "DROP DATABASE") && strings.Contains(r.err, "was under way"):
			torn = r.err
		case r.code != 0:
			t.Errorf("%s: exit %d\n%s", at, r.code, r.err)
		}
	}
	if torn == "" {
		t.Skip("no other commit fell into the DROP DATABASE")
	}
	for _, c := range []struct{ mark, want string }{{"before it: ", "1"}, {"after it: ", "0"}} {
		_, typed, ok := strings.Cut(torn, c.mark)
		if !ok {
			t.Errorf("it does not say what is %s:\n%s", c.mark, torn)
			continue
		}
		typed, _, _ = strings.Cut(typed, ",")
		typed, _, _ = strings.Cut(typed, ")")
		dir := m.path("copy" + c.want)
		url, _, end, failed := m.restoreTo(t, s.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: "promote"}, strings.Fields(typed)...)
		if failed != nil {
			t.Errorf("%s: exit %d\n%s", c.mark, failed.code, failed.err)
			continue
		}
		if got := queryColumn(t, url, "SELECT count(*)::text FROM pg_database WHERE datname = 'victim' AND datconnlimit <> -2")[0]; got != c.want {
			t.Errorf("%s: %s databases, want %s", c.mark, got, c.want)
		}
		if c.want == "1" {
			if got := queryColumn(t, strings.Replace(url, "/postgres?", "/victim?", 1), "SELECT count(*)::text FROM kept")[0]; got != "1000" {
				t.Errorf("the database has %s rows", got)
			}
		}
		end()
	}
}

// TestDamageBeforeArchiving flips one byte of a segment before it is archived, as a failing disk does. WAL that goes on
// after it cannot be reached, and no recovery to its end is called one.
func TestDamageBeforeArchiving(t *testing.T) {
	t.Parallel()
	s := newServer(t, "archive_mode = on", "archive_command = '/bin/false'", "autovacuum = off")
	m := newMachine(t, s.URL("postgres"), "archive")
	m.archiving(t, s)
	s.Exec(t, "postgres", "CREATE TABLE rows (n int)")
	m.must(t, "backup", "cluster", "-q")
	s.Exec(t, "postgres", "ALTER SYSTEM SET archive_command = '/bin/false'")
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	testkit.Await(t, "the archiver to stop", 20*time.Second, func() bool { return s.Query(t, "postgres", "SHOW archive_command") == "/bin/false" })
	var segments []string
	for range 6 {
		s.Exec(t, "postgres", "INSERT INTO rows SELECT g FROM generate_series(1, 5000) g")
		segments = append(segments, s.Query(t, "postgres", "SELECT pg_walfile_name(pg_switch_wal())"))
	}
	damaged := filepath.Join(s.DataDir, "pg_wal", segments[2])
	b, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	b[100<<10] ^= 0x40
	if err := os.WriteFile(damaged, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.archiving(t, s)
	archived(t, s)
	r := m.run(t, "restore", "cluster", "--to", m.path("copy"), "--start")
	if r.code != 22 || !strings.Contains(r.err, segments[2]) || !strings.Contains(r.err, "--lsn ") {
		t.Fatalf("to the end of damaged WAL: exit %d\n%s%s", r.code, r.out, r.err)
	}
	if _, err := os.Lstat(m.path("copy")); err == nil {
		t.Error("something was restored")
	}
	_, lsn, _ := strings.Cut(r.err, "--lsn ")
	lsn, _, _ = strings.Cut(strings.TrimSpace(lsn), ";")
	url, doc, end, failed := m.restoreTo(t, s.BinDir, m.path("copy"), cofre.RecoveryTarget{LSN: mustLSN(t, lsn)}, way{start: true, action: "promote"})
	if failed != nil {
		t.Fatalf("the position that the hint names, %s: exit %d\n%s", lsn, failed.code, failed.err)
	}
	defer end()
	if got := queryColumn(t, url, "SELECT (count(*) / 5000)::text FROM rows"); got[0] != "2" || doc.Recovered.LSN < mustLSN(t, lsn) {
		t.Errorf("%s times 5000 rows at %s, want 2", got[0], doc.Recovered.LSN)
	}
}

func mustLSN(t testing.TB, text string) cofre.LSN {
	t.Helper()
	lsn, err := cofre.ParseLSN(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

// fingerprintOf is a hash of every file below a folder.
func fingerprintOf(t testing.TB, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
