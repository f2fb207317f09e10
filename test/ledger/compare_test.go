package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

const ledgerRows = `SELECT xid || '|' || client || '|' || n || '|' || account || '|' || delta || '|' || md5(payload) FROM ledger`

// book is everything that the clients know, of all of them.
type book map[uint64]entry

func (b book) add(c *clients) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		b[e.xid] = e
	}
}

// check compares the clients' own memory with the WAL, before anything is restored: what was acknowledged is committed.
func (b book) check(t testing.TB, h *history) {
	t.Helper()
	all := h.committed(stop{lsn: ^cofre.LSN(0)})
	for xid, e := range b {
		if e.acked && !all[xid] {
			t.Errorf("transaction %d of %s was acknowledged after %s and its commit is not in the WAL, which goes from %s to %s", xid, e.ackedAt.UTC().Format(time.StampMicro), e.ackedLSN, h.records[0], h.records[len(h.records)-1])
		}
		if e.rolled && all[xid] {
			t.Errorf("transaction %d was rolled back and is committed in the WAL", xid)
		}
	}
}

// rows are what the ledger holds if exactly these transactions are committed.
func (b book) rows(committed map[uint64]bool) map[string]bool {
	want := map[string]bool{}
	for xid := range committed {
		for _, r := range b[xid].rows {
			want[r] = true
		}
	}
	return want
}

// queryColumn returns the first column of a query.
func queryColumn(t testing.TB, url, sql string) []string {
	t.Helper()
	column, err := columnOf(t, url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return column
}

// columnOf is queryColumn where a query that fails is an answer; that a server cannot be reached never is.
func columnOf(t testing.TB, url, sql string) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// columnIn is columnOf of a server that may go away.
func columnIn(ctx context.Context, url, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// differences compares the ledger of a server with what it should be; "" where they are equal.
func differences(t testing.TB, url string, want map[string]bool) string {
	t.Helper()
	list, err := columnOf(t, url, ledgerRows)
	if err != nil {
		return err.Error()
	}
	got := map[string]bool{}
	var wrong []string
	for _, r := range list {
		if got[r] {
			wrong = append(wrong, "twice: "+r)
		}
		got[r] = true
		if !want[r] {
			wrong = append(wrong, "too much: "+r)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(want)) {
		if !got[r] {
			wrong = append(wrong, "missing: "+r)
		}
	}
	unbalanced, err := columnOf(t, url, `SELECT count(*)::text FROM accounts a WHERE balance <> coalesce((SELECT sum(delta) FROM ledger l WHERE l.account = a.id), 0)`)
	if err != nil {
		return err.Error()
	}
	if unbalanced[0] != "0" {
		wrong = append(wrong, unbalanced[0]+" accounts do not agree with the ledger")
	}
	if n := len(wrong); n > 10 {
		wrong = append(wrong[:10], fmt.Sprintf("and %d more", n-10))
	}
	return strings.Join(wrong, "\n")
}

// flags are the flags of restore cluster that ask for a target.
func flags(target cofre.RecoveryTarget) []string {
	var f []string
	switch {
	case !target.At.IsZero():
		f = []string{"--at", target.At.UTC().Format(time.RFC3339Nano)}
	case target.LSN != 0:
		f = []string{"--lsn", target.LSN.String()}
	case target.XID != 0:
		f = []string{"--xid", fmt.Sprint(target.XID)}
	case target.Name != "":
		f = []string{"--name", target.Name}
	case target.Immediate:
		f = []string{"--immediate"}
	}
	if target.Exclusive {
		f = append(f, "--exclusive")
	}
	if target.Timeline != 0 {
		f = append(f, "--timeline", fmt.Sprint(target.Timeline))
	}
	return f
}

// restored is the document of a restore.
type restored struct {
	Point     string
	Recovered *struct {
		LSN      cofre.LSN      `json:"lsn"`
		CommitAt time.Time      `json:"commit_at"`
		Timeline cofre.Timeline `json:"timeline"`
		Promoted bool           `json:"promoted"`
		Unusable []struct {
			What string `json:"what"`
			Why  string `json:"why"`
		} `json:"unusable"`
		Paused *struct {
			Socket string `json:"socket"`
			Port   int    `json:"port"`
			PID    int    `json:"pid"`
			Log    string `json:"log"`
		} `json:"paused"`
	} `json:"recovered"`
	Outcome struct {
		Next []struct{ Command string } `json:"next"`
	} `json:"outcome"`
	Error *struct {
		Message string
		Hint    string
		Exit    int
	} `json:"error"`
}

// way is how a restore is carried out.
type way struct {
	delta  bool
	start  bool
	action string // with start: pause or promote; without: what the server is then told
}

func (w way) String() string {
	return fmt.Sprintf("delta=%t start=%t action=%s", w.delta, w.start, w.action)
}

// restoreTo restores a cluster and returns where it is reached, read-only or promoted, and how to end it.
func (m *machine) restoreTo(t testing.TB, binDir, dir string, target cofre.RecoveryTarget, w way, more ...string) (url string, doc restored, end func(), failed *result) {
	t.Helper()
	args := append([]string{"restore", "cluster", "--to", dir, "--json", "--action", w.action}, flags(target)...)
	if w.delta {
		args = append(args, "--delta", "--yes")
	}
	if w.start {
		args = append(args, "--start")
	}
	args = append(args, more...)
	r := m.run(t, args...)
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("cofre %s: exit %d: %v\n%s%s", strings.Join(args, " "), r.code, err, r.out, r.err)
	}
	if r.code != 0 {
		return "", doc, func() {}, &r
	}
	if w.start && doc.Recovered.Paused != nil {
		p := doc.Recovered.Paused
		end = func() {
			stopCluster(t, m, binDir, dir)
			_ = os.RemoveAll(p.Socket)
		}
		return fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d", p.Socket, p.Port), doc, end, nil
	}
	if w.start && doc.Recovered.Promoted {
		descends(t, dir, doc.Recovered.Timeline)
	}
	s := serve(t, binDir, dir)
	if !w.start {
		awaitTarget(t, s, w, target)
	}
	return s.URL("postgres"), doc, func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}, nil
}

// descends makes sure that a copy which was promoted has the history of its timeline, down to the first. The server needs it
// only if its last checkpoint lies in the page of the fork.
func descends(t testing.TB, dir string, tli cofre.Timeline) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "pg_wal", pgdata.HistoryName(tli)))
	if err != nil {
		t.Errorf("timeline %d has no history: %v", tli, err)
		return
	}
	if h, err := pgdata.ParseHistory(tli, b); err != nil || len(h.Forks) == 0 || h.Forks[0].Parent != 1 {
		t.Errorf("the history of timeline %d is %v, %v:\n%s", tli, h, err, b)
	}
}

// awaitTarget waits until a server that recovers by itself is where it should be.
func awaitTarget(t testing.TB, s *testkit.Server, w way, target cofre.RecoveryTarget) {
	t.Helper()
	noTarget := target == cofre.RecoveryTarget{Timeline: target.Timeline}
	what := "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()"
	if w.action == "promote" || noTarget {
		what = "SELECT NOT pg_is_in_recovery()"
	}
	testkit.Await(t, "the target", time.Minute, func() bool { return s.Query(t, "postgres", what) == "t" })
}

// stopCluster stops a server as a person does.
func stopCluster(t testing.TB, m *machine, binDir, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if out, err := m.command(ctx, filepath.Join(binDir, "pg_ctl"), "stop", "-D", dir, "-m", "fast", "-w").CombinedOutput(); err != nil {
		t.Fatalf("pg_ctl stop: %v\n%s", err, out)
	}
}
