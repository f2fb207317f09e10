package ledger_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

const accounts = 40

const schema = `
CREATE TABLE ledger (xid bigint NOT NULL, client int NOT NULL, n int NOT NULL, account int NOT NULL, delta int NOT NULL, payload text NOT NULL, PRIMARY KEY (client, n, account));
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 40) i;
CREATE TABLE scratch (client int, filler text);
CREATE INDEX ON ledger (xid);`

// entry is one transaction as its client knows it, outside of the database.
type entry struct {
	xid      uint64
	rows     []string // of the ledger, as ledgerRows has them
	acked    bool     // the server said that it is committed
	ackedAt  time.Time
	ackedLSN cofre.LSN // somewhere after its commit record
	rolled   bool      // the client rolled it back
}

// clients write the ledger, as pgbench does.
type clients struct {
	server  *testkit.Server
	payload int // bytes of a row, up to
	pause   time.Duration
	mu      sync.Mutex
	entries []entry
	stop    context.CancelFunc
	wg      sync.WaitGroup
	rand    uint64
}

// write starts clients. They go on through anything that happens to the server, until they are stopped.
func write(t testing.TB, s *testkit.Server, first, n, payload int, seed uint64) *clients {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &clients{server: s, payload: payload, stop: stop, pause: 10 * time.Millisecond, rand: seed}
	for i := range n {
		c.wg.Go(func() { c.client(ctx, first+i) })
	}
	t.Cleanup(c.end)
	return c
}

func (c *clients) end() { c.stop(); c.wg.Wait() }

// acked is how many transactions were acknowledged.
func (c *clients) acked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.entries {
		if e.acked {
			n++
		}
	}
	return n
}

// more waits until n more transactions were acknowledged.
func (c *clients) more(t testing.TB, n int) {
	t.Helper()
	want := c.acked() + n
	testkit.Await(t, fmt.Sprintf("%d transactions", want), time.Minute, func() bool { return c.acked() >= want })
}

func (c *clients) client(ctx context.Context, id int) {
	r := rand.New(rand.NewPCG(c.rand, uint64(id)))
	tick := time.NewTicker(c.pause)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; {
		conn, err := pgx.Connect(ctx, c.server.URL("postgres"))
		if err != nil {
			<-tick.C
			continue
		}
		for ctx.Err() == nil {
			n++
			<-tick.C
			if err := c.transact(conn, r, id, n); err != nil {
				break // the server went away
			}
		}
		_ = conn.Close(context.WithoutCancel(ctx))
	}
}

// transact is one transaction of one of several kinds. The client stays to hear of its end.
func (c *clients) transact(conn *pgx.Conn, r *rand.Rand, id, n int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	exec := func(sql string, args ...any) {
		if err == nil {
			_, err = conn.Exec(ctx, sql, args...)
		}
	}
	kind := r.IntN(20)
	exec("BEGIN")
	if err != nil {
		return err
	}
	var e entry
	if err := conn.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint").Scan(&e.xid); err != nil {
		return err
	}
	c.mu.Lock()
	at := len(c.entries)
	c.entries = append(c.entries, e)
	c.mu.Unlock()
	change := func(apply func(*entry)) {
		c.mu.Lock()
		defer c.mu.Unlock()
		apply(&c.entries[at])
	}
	row := func(account int) string {
		size := r.IntN(c.payload) + 1
		if r.IntN(50) == 0 {
			size *= 20 // a record across pages and segments
		}
		text := random(r, size)
		delta := r.IntN(2000) - 1000
		sum := md5.Sum([]byte(text))
		exec("INSERT INTO ledger VALUES ($1, $2, $3, $4, $5, $6)", int64(e.xid), id, n, account, delta, text)
		exec("UPDATE accounts SET balance = balance + $2 WHERE id = $1", account, delta)
		return fmt.Sprintf("%d|%d|%d|%d|%d|%s", e.xid, id, n, account, delta, hex.EncodeToString(sum[:]))
	}
	account := r.IntN(accounts-2) + 1
	rows := []string{row(account)}
	switch kind {
	case 0, 1: // in part
		exec("SAVEPOINT s")
		row(account + 1)
		exec("ROLLBACK TO s")
		exec("SAVEPOINT s2")
		rows = append(rows, row(account+2))
		exec("RELEASE s2")
	case 2:
		exec("INSERT INTO scratch SELECT $1, repeat('x', 100) FROM generate_series(1, 50)", id)
	case 3:
		exec(fmt.Sprintf("CREATE TABLE t_%d_%d (a int PRIMARY KEY, b text)", id, n))
	}
	change(func(e *entry) { e.rows = rows })
	switch kind {
	case 4, 5:
		exec("ROLLBACK")
		change(func(e *entry) { e.rolled = true })
		return err
	case 6, 7:
		exec(fmt.Sprintf("PREPARE TRANSACTION 'g_%d_%d'", id, n))
		exec(fmt.Sprintf("COMMIT PREPARED 'g_%d_%d'", id, n))
		if err != nil {
			// A prepared transaction outlives its client, with its locks.
			go c.resolve(id, n)
		}
	default:
		exec("COMMIT")
	}
	if err != nil {
		return err
	}
	acked := time.Now()
	var lsn string
	if err := conn.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()").Scan(&lsn); err != nil {
		change(func(e *entry) { e.acked, e.ackedAt = true, acked })
		return err
	}
	after, err := cofre.ParseLSN(lsn)
	change(func(e *entry) { e.acked, e.ackedAt, e.ackedLSN = true, acked, after })
	return err
}

// resolve rolls a transaction back that was prepared and whose client lost its connection.
func (c *clients) resolve(id, n int) {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		<-tick.C
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		conn, err := pgx.Connect(ctx, c.server.URL("postgres"))
		if err == nil {
			_, err = conn.Exec(ctx, fmt.Sprintf("ROLLBACK PREPARED 'g_%d_%d'", id, n))
			_ = conn.Close(ctx)
			if err == nil || strings.Contains(err.Error(), "does not exist") {
				cancel()
				return
			}
		}
		cancel()
	}
}

func random(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := r.Uint64()
		for j := i; j < min(i+8, n); j++ {
			b[j] = letters[v&63]
			v >>= 8
		}
	}
	return string(b)
}
