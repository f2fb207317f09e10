package ledger_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestLedgerSurvivesKills ends cofre, PostgreSQL, or both, with kill -9 again and again while the ledger is written,
// archived and streamed at once, and backed up. Nothing acknowledged may be missing afterwards, no base backup may be
// there that does not restore, and a restore that was killed goes on where it was.
func TestLedgerSurvivesKills(t *testing.T) {
	t.Parallel()
	rounds, n := 5, 0
	if s := soak(t); s > 0 {
		rounds, n = s, s/4
	}
	seed := uint64(number(t, "COFRE_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	server := newServer(t, "archive_mode = on", "archive_command = '/bin/false'")
	m := newMachine(t, server.URL("postgres"), "stream")
	m.archiving(t, server)
	server.Exec(t, "postgres", schema)
	m.must(t, "backup", "cluster", "-q")
	stream := m.start(t, "wal", "stream", "--flush", "200ms")
	c := write(t, server, 1, 3, 1500, seed)
	killed := map[string]int{}
	kill := map[string]func(){
		"stream": func() { stream.kill() },
		"archive": func() {
			// The next one that the server starts.
			asked := 0
			testkit.AwaitEvery(t, 10*time.Millisecond, "wal archive", time.Minute, func() bool {
				if asked++; asked%50 == 1 {
					server.Exec(t, "postgres", "INSERT INTO scratch VALUES (0, 'x')")
					server.Exec(t, "postgres", "SELECT pg_switch_wal()")
				}
				return killDescendant(server.PID(), "wal\x00archive")
			})
		},
		"server": func() { server.Kill() },
		"backup": func() {
			b := m.start(t, "backup", "cluster", "-q")
			moment(r, 900*time.Millisecond)
			b.kill()
		},
	}
	names := []string{"stream", "archive", "server", "backup", "both", "server during backup"}
	for i := range rounds {
		c.more(t, 20+r.IntN(40))
		name := names[i%len(names)]
		switch name {
		case "both":
			kill["stream"]()
			kill["server"]()
		case "server during backup":
			b := m.start(t, "backup", "cluster", "-q")
			moment(r, 900*time.Millisecond)
			kill["server"]()
			<-b.done
		default:
			kill[name]()
		}
		killed[name]++
		if !server.Running() {
			if err := server.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if stream.ended() {
			stream = m.start(t, "wal", "stream", "--flush", "200ms")
		}
		if i == rounds/2 {
			m.must(t, "backup", "cluster", "-q")
		}
	}
	c.more(t, 40)
	c.end()
	if stream.ended() {
		t.Fatalf("the stream has ended:\n%s", stream.said.String())
	}
	s := &scene{m: m, server: server, book: book{}, counts: map[string]int{}, dir: m.path("restored"), rand: r}
	s.book.add(c)
	m.streamed(t, server, 1)
	archived(t, server)
	s.gather(t, "stream", readHistory(t, m, server.Major, filepath.Join(server.DataDir, "pg_wal"), 1))
	if said := stream.said.String(); strings.Contains(said, "base backup now") {
		t.Errorf("nothing was lost, and it says:\n%s", said)
	}
	if left := server.Query(t, "postgres", "SELECT string_agg(slot_name, ' ') FROM pg_replication_slots WHERE slot_name <> 'cofre'"); left != "<null>" {
		t.Errorf("slots are left: %s", left)
	}
	for _, system := range m.status(t).Systems {
		if len(system.Gaps) > 0 {
			t.Errorf("gaps: %+v", system.Gaps)
		}
	}
	for _, b := range s.bases { // also one that was published at the moment of a kill
		if soak(t) > 0 {
			s.restoreTo(t, "end of a base backup", cofre.RecoveryTarget{LSN: b.StopLSN, Exclusive: true})
		}
	}
	for i := range n {
		s.restore(t, kinds[(i+int(seed))%len(kinds)])
	}
	s.killedRestore(t, max(1, n/4))
	s.endOfWAL(t)
	t.Logf("killed %v; restored %v from %d base backups", killed, s.counts, len(s.bases))
}

// moment waits for a random time, for something else to have come to some point.
func moment(r *rand.Rand, most time.Duration) { <-time.After(time.Duration(r.Int64N(int64(most)))) }

// killDescendant kills one process below pid whose command line has text in it.
func killDescendant(pid int, text string) bool {
	parents := map[int]int{}
	var found []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		id, _ := strconv.Atoi(filepath.Base(d))
		b, err := os.ReadFile(filepath.Join(d, "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			parents[id], _ = strconv.Atoi(f[1])
		}
		if line, err := os.ReadFile(filepath.Join(d, "cmdline")); err == nil && strings.Contains(string(line), text) && !strings.HasPrefix(string(line), "sh\x00") {
			found = append(found, id)
		}
	}
	for _, id := range found {
		for p := id; p > 1; p = parents[p] {
			if p == pid {
				return syscall.Kill(id, syscall.SIGKILL) == nil
			}
		}
	}
	return false
}

// killedRestore kills a restore somewhere, up to the pause at its target, and follows what the same command says until it
// is through.
func (s *scene) killedRestore(t testing.TB, n int) {
	t.Helper()
	for range n {
		target := s.target("at")
		removeAll(t, s.dir)
		args := append([]string{"restore", "cluster", "--to", s.dir}, flags(target)...)
		if s.rand.IntN(2) == 0 {
			args = append(args, "--start")
		}
		through := false
		for range 4 {
			r := s.m.start(t, args...)
			moment(s.rand, 4*time.Second)
			r.kill()
			if through = s.published(); through {
				break
			}
		}
		if !through {
			s.m.must(t, args...)
		} else {
			// It was killed after pg_control had its name: no restore any more, and what is in the way is named.
			again := s.m.run(t, args...)
			if again.code != 23 || !strings.Contains(again.err, "hint: ") {
				t.Errorf("%v after it was killed at its end: exit %d\n%s", args, again.code, again.err)
			}
			s.stopIfRunning(t)
			s.m.must(t, append(args, "--delta", "--yes")...)
		}
		s.stopIfRunning(t)
		server := serve(t, s.server.BinDir, s.dir)
		awaitTarget(t, server, way{action: "pause"}, target)
		b, _ := newestBase(s.bases, func(b base) bool {
			st, ok := s.h.stopOf(target, b)
			return ok && st.reachableFrom(b)
		})
		want, _ := s.h.stopOf(target, b)
		if diff := differences(t, server.URL("postgres"), s.book.rows(s.h.committed(want))); diff != "" {
			t.Errorf("%s, after kills:\n%s", target, diff)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		s.counts["killed"]++
	}
}

// published reports whether the restored data directory has its last file.
func (s *scene) published() bool {
	_, err := os.Stat(filepath.Join(s.dir, "global", "pg_control"))
	return err == nil
}

// stopIfRunning stops the server that a killed cofre has left, or one that is paused.
func (s *scene) stopIfRunning(t testing.TB) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "postmaster.pid"))
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.SplitN(string(b), "\n", 2)[0])
	if err == nil && syscall.Kill(pid, 0) == nil {
		stopCluster(t, s.m, s.server.BinDir, s.dir)
	}
}

// TestPausedServerStaysAndIsPromoted follows what a paused restore says: the server goes on without cofre, is read, is
// promoted, stopped and started as any other cluster.
func TestPausedServerStaysAndIsPromoted(t *testing.T) {
	t.Parallel()
	server := newServer(t, "archive_mode = on", "archive_command = '/bin/false'")
	m := newMachine(t, server.URL("postgres"), "archive")
	m.archiving(t, server)
	server.Exec(t, "postgres", schema)
	m.must(t, "backup", "cluster", "-q")
	server.Exec(t, "postgres", "INSERT INTO scratch VALUES (1, 'before')")
	server.Exec(t, "postgres", "SELECT pg_create_restore_point('here')")
	server.Exec(t, "postgres", "INSERT INTO scratch VALUES (2, 'after')")
	server.Exec(t, "postgres", "SELECT pg_switch_wal()")
	archived(t, server)

	dir := m.path("back")
	target := cofre.RecoveryTarget{Name: "here"}
	text := m.must(t, "restore", "cluster", "--to", dir, "--name", "here", "--start")
	pid := strings.TrimSpace(strings.SplitN(mustRead(t, filepath.Join(dir, "postmaster.pid")), "\n", 2)[0])
	for _, want := range []string{
		"paused at the target, running read-only as process " + pid,
		"next: to look: psql -h ", "next: to keep this moment: psql ", "pg_promote()", "pg_ctl stop -D " + dir + "\n", "pg_ctl start -D " + dir + "\n",
	} {
		if !strings.Contains(text.out, want) {
			t.Errorf("it does not say %q:\n%s", want, text.out)
		}
	}
	if r := m.run(t, "restore", "cluster", "--to", dir, "--name", "here", "--delta", "--yes"); r.code != 23 || !strings.Contains(r.err, "stop it first") {
		t.Errorf("onto a running server: exit %d\n%s", r.code, r.err)
	}
	stopCluster(t, m, server.BinDir, dir)

	url, doc, _, failed := m.restoreTo(t, server.BinDir, dir, target, way{start: true, action: "pause", delta: true})
	if failed != nil {
		t.Fatalf("exit %d:\n%s", failed.code, failed.err)
	}
	p := doc.Recovered.Paused
	if p == nil || doc.Recovered.Promoted {
		t.Fatalf("recovered %+v", doc.Recovered)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.Socket) })
	if got := queryColumn(t, url, "SELECT filler || pg_is_in_recovery() FROM scratch"); len(got) != 1 || got[0] != "beforetrue" {
		t.Errorf("%q is there while it is paused", got)
	}
	queryColumn(t, url, "SELECT pg_promote()::text")
	queryColumn(t, url, "SELECT pg_create_restore_point('writable')::text")
	testkit.Await(t, "the key to be gone", time.Minute, func() bool {
		_, err := os.Lstat(filepath.Join(dir, "cofre-wal-spool"))
		return os.IsNotExist(err)
	})
	stopCluster(t, m, server.BinDir, dir)
	again := serve(t, server.BinDir, dir)
	if got := again.Query(t, "postgres", "SELECT filler, pg_is_in_recovery(), current_setting('archive_mode') FROM scratch"); got != "before|f|off" {
		t.Errorf("%q is there after it", got)
	}
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
