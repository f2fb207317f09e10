package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTenThousandTables backs up and restores a cluster of very many files, to a moment between two transactions.
func TestTenThousandTables(t *testing.T) {
	if soak(t) == 0 {
		t.Skip("takes minutes: COFRE_SOAK=1 runs it")
	}
	server := newServer(t, "archive_mode = on", "archive_command = '/bin/false'", "max_locks_per_transaction = 4096", "shared_buffers = 256MB")
	m := newMachine(t, server.URL("postgres"), "archive")
	m.archiving(t, server)
	server.Exec(t, "postgres", schema)
	for i := range 100 {
		var sql strings.Builder
		for j := range 100 {
			fmt.Fprintf(&sql, "CREATE TABLE many_%d (id int PRIMARY KEY, n int, note text); INSERT INTO many_%[1]d VALUES (1, %[1]d);", 100*i+j)
		}
		server.Exec(t, "postgres", sql.String())
	}
	took := func(what string, f func()) {
		began := time.Now()
		f()
		t.Logf("%s: %s", what, time.Since(began).Round(100*time.Millisecond))
	}
	took("the first backup", func() { m.must(t, "backup", "cluster", "-q") })
	took("again, unchanged", func() { m.must(t, "backup", "cluster", "-q") })
	c := write(t, server, 1, 2, 500, 5)
	c.more(t, 100)
	c.end()
	s := &scene{m: m, server: server, book: book{}, counts: map[string]int{}, dir: m.path("restored"), rand: rand.New(rand.NewPCG(1, 4))}
	s.book.add(c)
	s.gather(t, "archive", readHistory(t, m, server.Major, filepath.Join(server.DataDir, "pg_wal"), 1))
	took("restored and recovered to a moment", func() {
		s.restoreIn(t, "at", s.target("at"), way{start: true, action: "pause"}, func(url string) {
			if got := queryColumn(t, url, "SELECT count(*)::text FROM pg_class WHERE relname LIKE 'many%' AND relkind = 'r'")[0]; got != "10000" {
				t.Errorf("%s tables came back", got)
			}
		})
	})
	took("rewritten in place and recovered to another", func() {
		s.restoreIn(t, "xid", s.target("xid"), way{start: true, action: "promote", delta: true}, nil)
	})
	took("to the end of the WAL, with PostgreSQL's own tools", func() { s.endOfWAL(t) })
}
