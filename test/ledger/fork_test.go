package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// TestBeforeAFork recovers to a moment before a failover, in the segment in which it was, while a transaction was prepared:
// also along the newest timeline, which has passed there. The copy is promoted, has what was prepared, and its history
// says where it left, so that nothing of after that leads to it.
func TestBeforeAFork(t *testing.T) {
	t.Parallel()
	conf := []string{"archive_mode = on", "archive_command = '/bin/false'", "max_prepared_transactions = 5", "autovacuum = off"}
	first := newServer(t, conf...)
	p := &pair{m: newMachine(t, first.URL("postgres"), "archive"), how: "archive", now: first, tli: 1, book: book{}, h: map[cofre.Timeline]*history{}}
	p.m.archiving(t, first)
	first.Exec(t, "postgres", "CREATE TABLE marks (n int)")
	p.m.must(t, "backup", "cluster", "-q")
	second := p.standby(t, "second", first)
	first.Exec(t, "postgres", "SELECT pg_switch_wal()")
	first.Exec(t, "postgres", "BEGIN; INSERT INTO marks VALUES (0); PREPARE TRANSACTION 'open'")
	first.Exec(t, "postgres", "INSERT INTO marks VALUES (1)")
	stop := lsnOf(t, first)
	first.Exec(t, "postgres", "INSERT INTO marks VALUES (2)")
	first.Exec(t, "postgres", "INSERT INTO marks VALUES (3)")
	caught := lsnOf(t, first)
	testkit.Await(t, "the standby", time.Minute, func() bool {
		return second.Query(t, "postgres", fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", caught)) == "t"
	})
	first.Kill()
	second.Promote(t)
	second.Exec(t, "postgres", "INSERT INTO marks VALUES (4)")
	second.Exec(t, "postgres", "SELECT pg_switch_wal()")
	p.m.configure(t, second.URL("postgres"), "archive")
	archived(t, second)

	for i, timeline := range []string{"", "2", "1"} {
		args := []string{"--lsn", stop.String()}
		if timeline != "" {
			args = append(args, "--timeline", timeline)
		}
		dir := p.m.path(fmt.Sprint("copy", i))
		url, doc, end, failed := p.m.restoreTo(t, second.BinDir, dir, cofre.RecoveryTarget{}, way{start: true, action: "promote"}, args...)
		if failed != nil {
			t.Errorf("%v: exit %d:\n%s", args, failed.code, failed.err)
			continue
		}
		got := strings.Join(queryColumn(t, url, "SELECT string_agg(n::text, ' ' ORDER BY n) || ' and ' || (SELECT string_agg(gid, ' ') FROM pg_prepared_xacts) FROM marks"), "")
		if got != "1 and open" {
			t.Errorf("%v: %q came back", args, got)
		}
		queryColumn(t, url, "COMMIT PREPARED 'open'")
		b, err := os.ReadFile(filepath.Join(dir, "pg_wal", pgdata.HistoryName(doc.Recovered.Timeline)))
		if err != nil {
			t.Fatal(err)
		}
		h, err := pgdata.ParseHistory(doc.Recovered.Timeline, b)
		if err != nil || len(h.Forks) != 1 || h.Forks[0].Parent != 1 || h.Contains(1, caught) {
			t.Errorf("%v: the history is %v, %v:\n%s", args, h, err, b)
		}
		end()
	}
}
