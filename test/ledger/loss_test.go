package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestHostLostWhileStreaming loses the server, its disk and the spool at once, under load, and recovers from the
// repository alone. What is missing is the end of the ledger and nothing else; with a synchronous stream nothing that
// was acknowledged is. How old the repository was is measured and told, and decides nothing.
func TestHostLostWhileStreaming(t *testing.T) {
	type load struct {
		name           string
		sync           bool
		flush          string
		clients, bytes int
		transactions   int
		segment        string // in MiB
	}
	loads := []load{{"synchronous", true, "5s", 4, 1000, 200, "1"}}
	if soak(t) > 0 {
		loads = []load{
			{"synchronous", true, "5s", 4, 1000, 3000, "1"},
			{"synchronous, large rows", true, "5s", 8, 30000, 2000, "1"},
			{"flush of 1s", false, "1s", 4, 2000, 6000, "1"},
			{"flush of 1s, large rows", false, "1s", 8, 40000, 4000, "1"},
			{"flush of 5s", false, "5s", 4, 2000, 8000, "1"},
			{"flush of 5s, large rows", false, "5s", 8, 40000, 6000, "1"},
			{"flush of 5s, large rows, segments of 16 MiB", false, "5s", 8, 40000, 8000, "16"},
			{"synchronous, segments of 16 MiB", true, "5s", 8, 4000, 2000, "16"},
			{"flush of 5s, one small client", false, "5s", 1, 100, 2500, "1"},
		}
	}
	for _, l := range loads {
		t.Run(l.name, func(t *testing.T) {
			if soak(t) == 0 {
				t.Parallel()
			}
			server := newServerOf(t, l.segment)
			m := newMachine(t, server.URL("postgres"), "stream")
			args := []string{"wal", "stream", "--flush", l.flush}
			if l.sync {
				args = append(args, "--synchronous")
			}
			stream := m.start(t, args...)
			testkit.Await(t, "a slot", time.Minute, func() bool {
				return server.Query(t, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"
			})
			server.Exec(t, "postgres", schema)
			if l.sync {
				server.Exec(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'cofre'")
				server.Exec(t, "postgres", "SELECT pg_reload_conf()")
				testkit.Await(t, "a synchronous standby", time.Minute, func() bool {
					return server.Query(t, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"
				})
			}
			c := write(t, server, 1, l.clients, l.bytes, 7)
			c.pause = time.Millisecond
			c.more(t, l.transactions/4)
			m.must(t, "backup", "cluster", "-q")
			began := time.Now()
			already := c.acked()
			c.more(t, l.transactions)
			rate := float64(c.acked()-already) / time.Since(began).Seconds()

			memory := peakMemory(t, stream.cmd.Process.Pid)
			lost := time.Now()
			stream.kill()
			server.Kill()
			c.end()
			wal := m.path("wal")
			keepWAL(t, filepath.Join(server.DataDir, "pg_wal"), wal)
			for _, dir := range []string{server.DataDir, m.path("state")} {
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			h := readHistory(t, m, server.Major, wal, 1)
			b := book{}
			b.add(c)
			b.check(t, h)

			url, doc, end, failed := m.restoreTo(t, server.BinDir, m.path("back"), cofre.RecoveryTarget{}, way{start: true, action: "pause"})
			if failed != nil {
				t.Fatalf("exit %d:\n%s", failed.code, failed.err)
			}
			defer end()
			missing, oldest := suffix(t, url, h, b)
			age := time.Duration(0)
			if missing > 0 {
				age = max(0, lost.Sub(oldest))
			}
			t.Logf("%.0f transactions a second; %d acknowledged commits are missing, the oldest %s old when the host was lost; %d MiB of memory at most; recovered to %s",
				rate, missing, age.Round(time.Millisecond), memory>>20, doc.Recovered.LSN)
			if l.sync && missing > 0 {
				t.Errorf("%d acknowledged commits are missing of a synchronous stream", missing)
			}
			if memory > 300<<20 {
				t.Errorf("streaming took %d MiB of memory", memory>>20)
			}
		})
	}
}

// suffix checks that what a recovered ledger lacks is its end, and returns how much of that was acknowledged, and when
// the first of it was.
func suffix(t testing.TB, url string, h *history, b book) (missing int, oldest time.Time) {
	t.Helper()
	there := map[uint64]bool{}
	for _, x := range queryColumn(t, url, "SELECT DISTINCT xid::text FROM ledger") {
		xid, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		there[xid] = true
	}
	var last cofre.LSN
	for _, e := range h.endings {
		if there[e.xid] {
			last = max(last, e.lsn)
		}
	}
	if diff := differences(t, url, b.rows(h.committed(stop{last, true}))); diff != "" {
		t.Errorf("what is missing is not the end of the ledger:\n%s", diff)
	}
	for _, e := range h.endings {
		if k := b[e.xid]; e.lsn > last && k.acked && len(k.rows) > 0 {
			missing++
			if oldest.IsZero() || k.ackedAt.Before(oldest) {
				oldest = k.ackedAt
			}
		}
	}
	return missing, oldest
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most memory that a process has had, in bytes.
func peakMemory(t testing.TB, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := peak.FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in the status of %d", pid)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
