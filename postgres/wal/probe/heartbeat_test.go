package probe_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/wal/probe"
)

// What is idle commits: its WAL goes on, and a transaction of now is in it.
func TestAHeartbeatIsACommit(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		position := func() string { return s.Query(t, "postgres", `SELECT pg_current_wal_lsn()`) }
		commits := func() string {
			return s.Query(t, "postgres", `SELECT pg_snapshot_xmax(pg_current_snapshot())`)
		}
		before, xid := position(), commits()
		if err := probe.Heartbeat(t.Context(), postgres.Config{URL: s.URL("postgres")}); err != nil {
			t.Fatal(err)
		}
		if position() == before || commits() == xid {
			t.Errorf("the WAL is at %s, and was at %s; the next transaction is %s", position(), before, commits())
		}
	})
}
