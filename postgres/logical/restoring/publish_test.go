package restoring_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// Sessions of the database that is replaced are ended until the names are swapped, and never after: from then on they are sessions of the
// restored one. The server is told late of the statement that ends them; the swap waits for it.
func TestNoSessionIsEndedOnceTheNamesAreSwapped(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE a AS SELECT 1 AS id")
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	var mu sync.Mutex
	swapping, swapped, late := "", false, false
	seen := func() (waits, done bool) {
		mu.Lock()
		defer mu.Unlock()
		if swapping == "" {
			return false, swapped
		}
		return s.Query(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query = '"+strings.ReplaceAll(swapping, "'", "''")+"'") == "1", swapped
	}
	held, released := make(chan struct{}), make(chan struct{})
	first := func() bool { // one session asks for it, one time after the other
		select {
		case <-held:
			return false
		default:
			close(held)
			return true
		}
	}
	url := s.Statements(t, "postgres", func(sql string) error {
		switch {
		case strings.Contains(sql, "pg_terminate_backend"):
			if !first() {
				return nil
			}
			defer close(released)
			testkit.Await(t, "the names are swapped, or the swap waits", testkit.Hang, func() bool {
				waits, done := seen()
				late = late || done
				return waits || done
			})
		case strings.HasPrefix(sql, `ALTER DATABASE "`+db+`" RENAME TO `):
			<-held // what ends sessions is under way
		case strings.HasPrefix(sql, "ALTER DATABASE ") && strings.HasSuffix(sql, ` RENAME TO "`+db+`"`):
			mu.Lock()
			defer mu.Unlock()
			swapping = sql
		case strings.EqualFold(sql, "commit"):
			mu.Lock()
			defer mu.Unlock()
			swapped = swapped || swapping != ""
		}
		return nil
	})
	_, _, outcome := logicaltest.MustRestore(t, s, c, restoring.Options{Server: postgres.Config{URL: url}, Name: db, Replace: true})
	<-released
	if late {
		t.Errorf("sessions of %s were ended after it had got its name", outcome.Restored)
	}
}
