package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestDropUnderWayAtTheBaseBackup takes a base backup while a DROP DATABASE has marked its database and not yet removed
// it: what says so lies before everything that a recovery from it reads. No moment before the end of the DROP is called
// reached from there; those before it are reached from an older base backup.
func TestDropUnderWayAtTheBaseBackup(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.InitArgs("--wal-segsize=1"), testkit.Conf("archive_mode = on", "archive_command = '/bin/false'", "wal_keep_size = 1GB", "autovacuum = off"))
		m := newMachine(t, s.URL("postgres"), "archive")
		m.archiving(t, s)
		s.Exec(t, "postgres", "CREATE TABLE ticks (n serial)")
		s.Exec(t, "postgres", "CREATE DATABASE victim")
		s.Exec(t, "victim", "CREATE TABLE kept AS SELECT g FROM generate_series(1, 1000) g")
		now := func() string {
			return s.Query(t, "postgres", `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`)
		}
		tick := func() cofre.LSN {
			s.Exec(t, "postgres", "INSERT INTO ticks DEFAULT VALUES")
			return mustLSN(t, s.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()"))
		}
		m.must(t, "backup", "cluster", "-q")
		tick()
		drop := s.HoldDrop(t, "victim")
		m.must(t, "backup", "cluster", "-q")
		quiet := now()
		tick()
		inside := tick()
		tick()
		drop.GoOn()
		after := tick()
		tick()
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		archived(t, s)

		r := m.run(t, "restore", "cluster", "--to", m.path("inside"), "--lsn", inside.String(), "--start")
		before, typed := "", ""
		if _, typed, _ = strings.Cut(r.err, "before it: "); typed != "" {
			before, _, _ = strings.Cut(typed, ",")
		}
		if r.code != 21 || before == "" || !strings.Contains(r.err, `DROP DATABASE "victim"`) || !strings.Contains(r.err, "after it: --lsn ") {
			t.Fatalf("inside of it: exit %d\n%s%s", r.code, r.out, r.err)
		}
		newer := m.bases(t)[1].point
		if m.bases(t)[0].StopLSN > m.bases(t)[1].StopLSN {
			newer = m.bases(t)[0].point
		}
		cases := []struct {
			name  string
			args  []string
			newer bool   // the base backup that is used
			want  string // rows of the victim; empty if it is not there, ! if it cannot be used
		}{
			{"the end of the base backup", []string{newer, "--immediate"}, true, "!"},
			{"before any other commit", []string{"--at", quiet}, false, "1000"},
			{"before it", strings.Fields(before), false, "1000"},
			{"after it", []string{"--lsn", after.String()}, true, ""},
		}
		for i, c := range cases {
			if i > 1 && major != testkit.DefaultMajor {
				continue
			}
			dir := m.path(fmt.Sprint("copy", i))
			url, doc, end, failed := m.restoreTo(t, s.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: "pause"}, c.args...)
			if failed != nil {
				t.Errorf("%s: exit %d\n%s%s", c.name, failed.code, failed.out, failed.err)
				continue
			}
			if used := doc.Point == newer; used != c.newer {
				t.Errorf("%s: from base backup %s", c.name, doc.Point)
			}
			said := fmt.Sprint(doc.Recovered.Unusable)
			if strings.Contains(said, `database "victim" transaction `) != (c.want == "!") {
				t.Errorf("%s: unusable are %s", c.name, said)
			}
			state := queryColumn(t, url, "SELECT coalesce(max(datconnlimit)::text, '') FROM pg_database WHERE datname = 'victim'")[0]
			got := map[string]string{"": "", "-2": "!"}[state]
			if state == "-1" {
				got = queryColumn(t, strings.Replace(url, "/postgres?", "/victim?", 1), "SELECT count(*)::text FROM kept")[0]
			}
			if got != c.want {
				t.Errorf("%s: victim %q, want %q", c.name, got, c.want)
			}
			end()
		}
	})
}
