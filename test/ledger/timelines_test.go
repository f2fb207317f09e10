package ledger_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// pair is a primary and its standby, which change places.
type pair struct {
	m      *machine
	how    string
	stream *running
	now    *testkit.Server // that takes writes
	tli    cofre.Timeline
	book   book
	h      map[cofre.Timeline]*history

	mu sync.Mutex
	in map[string]filled // what churn has filled
}

// TestFailoverAndBack fails over to a standby and back again while the ledger is written, and restores to moments of
// every timeline.
func TestFailoverAndBack(t *testing.T) {
	if soak(t) == 0 {
		t.Skip("takes minutes on a busy machine: COFRE_SOAK=6 runs it; the short form has the gap across a failover")
	}
	n := max(1, soak(t)/6)
	for _, how := range []string{"archive", "stream"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			seed := uint64(number(t, "COFRE_SEED", int(time.Now().UnixNano()&0xffffff)))
			t.Logf("seed %d", seed)
			conf := []string{}
			if how == "archive" {
				conf = append(conf, "archive_mode = on", "archive_command = '/bin/false'")
			}
			first := newServer(t, conf...)
			p := &pair{m: newMachine(t, first.URL("postgres"), how), how: how, now: first, tli: 1, book: book{}, h: map[cofre.Timeline]*history{}}
			if how == "archive" {
				p.m.archiving(t, first)
			}
			p.follow(t)
			first.Exec(t, "postgres", schema)
			p.m.must(t, "backup", "cluster", "-q")

			// The first is lost in the middle of its work; its standby takes over.
			c := write(t, first, 1, 2, 400, seed)
			second := p.standby(t, "second", first)
			c.more(t, 30)
			point(t, first)
			c.more(t, 30)
			p.promote(t, second, c, false)
			c = write(t, second, 10, 2, 400, seed)
			c.more(t, 40)
			p.m.must(t, "backup", "cluster", "-q")
			c.more(t, 20)
			point(t, second)
			c.more(t, 20)

			// The first comes back as a standby of the second, by pg_rewind, and takes over again.
			again := p.rewound(t, first, second)
			c.more(t, 40)
			p.promote(t, again, c, true)
			c = write(t, again, 20, 2, 400, seed)
			c.more(t, 30)
			point(t, again)
			c.more(t, 30)
			c.end()
			p.book.add(c)
			p.finish(t)

			s := &scene{m: p.m, server: p.now, book: p.book, counts: map[string]int{}, dir: p.m.path("restored"), rand: rand.New(rand.NewPCG(seed, 2)), bases: p.m.bases(t)}
			for tli := cofre.Timeline(1); tli <= 3; tli++ {
				s.h = p.h[tli]
				for i := range n {
					s.onTimeline(t, kinds[s.rand.IntN(len(kinds))], tli, i == 0)
					if t.Failed() {
						t.Fatalf("seed %d, timeline %d", seed, tli)
					}
				}
			}
			s.h = p.h[3]
			s.endOfWAL(t)
			t.Logf("restored %v", s.counts)
			// With all of it in the repository nothing is missing on the way from the first to the last.
			for _, system := range p.m.status(t).Systems {
				if len(system.Gaps) > 0 || len(system.Windows) != 3 {
					t.Errorf("wal status: %+v", system)
				}
			}
		})
	}
}

// point makes a restore point, one of each name in all.
func point(t testing.TB, s *testkit.Server) {
	t.Helper()
	s.Exec(t, "postgres", fmt.Sprintf("SELECT pg_create_restore_point('point_%d')", lsnOf(t, s)))
}

// follow makes the stream receive from the server that takes writes.
func (p *pair) follow(t testing.TB) {
	t.Helper()
	if p.how != "stream" {
		return
	}
	if p.stream != nil {
		p.stream.kill()
	}
	p.stream = p.m.start(t, "wal", "stream", "--flush", "300ms")
	testkit.Await(t, "a stream", time.Minute, func() bool {
		return p.now.Query(t, "postgres", "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'cofre' AND state = 'streaming'") == "1"
	})
}

// standby makes a standby of a server.
func (p *pair) standby(t testing.TB, name string, of *testkit.Server) *testkit.Server {
	t.Helper()
	dir := p.m.path(name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	cmd := p.m.command(ctx, testkit.Binary(t, of.Major, "pg_basebackup"), "-d", of.URL("postgres"), "-D", dir, "-R", "-X", "stream", "-c", "fast", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v\n%s", err, out)
	}
	return serve(t, of.BinDir, dir)
}

// rewound makes the server that was lost a standby of the one that took over.
func (p *pair) rewound(t testing.TB, lost, of *testkit.Server) *testkit.Server {
	t.Helper()
	// It ends its crash recovery first.
	if err := lost.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := lost.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	of.Exec(t, "postgres", "CHECKPOINT") // the new timeline is in pg_control then
	cmd := p.m.command(ctx, testkit.Binary(t, of.Major, "pg_rewind"), "-D", lost.DataDir, "--source-server", of.URL("postgres"), "-R", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_rewind: %v\n%s", err, out)
	}
	return serve(t, of.BinDir, lost.DataDir)
}

// promote ends the server that takes writes, with its clients, and lets its standby take over.
func (p *pair) promote(t testing.TB, standby *testkit.Server, c *clients, clean bool) {
	t.Helper()
	old := p.now
	if clean {
		c.end()
		if err := old.Stop(t.Context(), throwaway.Fast); err != nil {
			t.Fatal(err)
		}
	} else {
		old.Kill()
		c.end()
	}
	p.book.add(c)
	kept := p.m.path(fmt.Sprintf("wal-%d", p.tli))
	keepWAL(t, filepath.Join(old.DataDir, "pg_wal"), kept)
	p.absorb(t, kept)
	standby.Promote(t)
	// What was prepared when the old one ended holds its locks, and its client is gone.
	for _, gid := range queryColumn(t, standby.URL("postgres"), "SELECT gid FROM pg_prepared_xacts") {
		standby.Exec(t, "postgres", "ROLLBACK PREPARED '"+gid+"'")
	}
	p.now, p.tli = standby, p.tli+1
	p.m.configure(t, standby.URL("postgres"), p.how)
	p.follow(t)
	p.forked(t)
}

// absorb reads what was written on the present timeline.
func (p *pair) absorb(t testing.TB, dir string) {
	t.Helper()
	own := readHistory(t, p.m, p.now.Major, dir, p.tli)
	if p.tli == 1 {
		p.h[1] = own
		return
	}
	p.h[p.tli] = p.h[p.tli-1].child(own, p.fork(t, p.now))
}

// fork is where the present timeline left its parent.
func (p *pair) fork(t testing.TB, s *testkit.Server) cofre.LSN {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.DataDir, "pg_wal", pgdata.HistoryName(p.tli)))
	if err != nil {
		t.Fatal(err)
	}
	h, err := pgdata.ParseHistory(p.tli, b)
	if err != nil {
		t.Fatal(err)
	}
	return h.Forks[len(h.Forks)-1].At
}

// forked cuts the parent's history at what of it can be in the repository: with an archive, the tail of the old primary
// beyond the fork is lost with its unfinished segment.
func (p *pair) forked(t testing.TB) {
	t.Helper()
	at := p.fork(t, p.now)
	p.h[p.tli-1] = p.h[p.tli-1].until(at)
	// What was lost with the old primary was written by transactions whose numbers the new one gives to others.
	kept := p.h[p.tli-1].committed(stop{lsn: ^cofre.LSN(0)})
	maps.DeleteFunc(p.book, func(xid uint64, _ entry) bool { return !kept[xid] })
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.in, func(_ string, f filled) bool { return !kept[mustXID(t, f.xid)] })
}

// finish waits until everything is in the repository.
func (p *pair) finish(t testing.TB) {
	t.Helper()
	if p.how == "archive" {
		p.now.Exec(t, "postgres", "SELECT pg_switch_wal()")
		archived(t, p.now)
	} else {
		p.m.streamed(t, p.now, p.tli)
	}
	p.absorb(t, filepath.Join(p.now.DataDir, "pg_wal"))
	p.h[p.tli] = p.h[p.tli].until(p.m.status(t).reaches(p.tli))
}

// onTimeline restores to a target of one timeline.
func (s *scene) onTimeline(t testing.TB, kind string, tli cofre.Timeline, implied bool) {
	t.Helper()
	all := s.bases
	defer func() { s.bases = all }()
	s.bases = nil
	for _, b := range all {
		if b.Timeline <= tli && b.StopLSN <= s.h.end {
			s.bases = append(s.bases, b)
		}
	}
	target := s.target(kind)
	if target.Timeline = tli; implied && tli == 3 {
		target.Timeline = 0 // the newest that the base backup leads to
	}
	s.restoreTo(t, kind, target)
}

// TestAGapAcrossAFailoverIsNamed loses the end of a timeline with its primary: the standby that took over does not
// archive what it only received. The gap is named, moments after it are refused, and what the new primary still has
// closes it.
func TestAGapAcrossAFailoverIsNamed(t *testing.T) {
	t.Parallel()
	first := newServer(t, "archive_mode = on", "archive_command = '/bin/false'")
	p := &pair{m: newMachine(t, first.URL("postgres"), "archive"), how: "archive", now: first, tli: 1, book: book{}, h: map[cofre.Timeline]*history{}}
	// A file in its directory ends the archiving at once; when a setting is read again is the archiver's choice.
	p.m.archiving(t, first, "test ! -e ended && ")
	first.Exec(t, "postgres", schema)
	p.m.must(t, "backup", "cluster", "-q")
	second := p.standby(t, "second", first)
	archived(t, first)
	lost := segmentName(1, lsnOf(t, first))
	if err := os.WriteFile(filepath.Join(first.DataDir, "ended"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		first.Exec(t, "postgres", "INSERT INTO scratch VALUES (1, 'lost')")
		first.Exec(t, "postgres", "SELECT pg_switch_wal()")
	}
	first.Exec(t, "postgres", "INSERT INTO scratch VALUES (2, 'received')")
	want := lsnOf(t, first)
	testkit.Await(t, "the standby", time.Minute, func() bool {
		return second.Query(t, "postgres", fmt.Sprintf("SELECT pg_last_wal_replay_lsn() >= '%s'", want)) == "t"
	})
	first.Kill()
	second.Promote(t)
	second.Exec(t, "postgres", "INSERT INTO scratch VALUES (3, 'after')")
	second.Exec(t, "postgres", "SELECT pg_switch_wal()")
	p.m.configure(t, second.URL("postgres"), "archive")
	archived(t, second)

	r := p.m.run(t, "wal", "status")
	if r.code != 22 || !strings.Contains(r.out, "gap, open: gap in the WAL of timeline 1: segments "+lost+" to ") {
		t.Errorf("wal status exits with %d and does not name the gap from %s:\n%s%s", r.code, lost, r.out, r.err)
	}
	for _, target := range [][]string{{"--timeline", "2"}, {"--at", time.Now().UTC().Format(time.RFC3339Nano)}, nil} {
		if r := p.m.run(t, append([]string{"restore", "cluster", "--to", p.m.path("no")}, target...)...); r.code != 22 && r.code != 21 {
			t.Errorf("%v leads across a gap, and exits with %d:\n%s", target, r.code, r.err)
		}
	}
	// The new primary has received it, and keeps it.
	names, err := filepath.Glob(filepath.Join(second.DataDir, "pg_wal", "00000001????????????????"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if filepath.Base(n) >= lost && filepath.Base(n) < segmentName(1, want) {
			p.m.must(t, "wal", "archive", n)
		}
	}
	if r := p.m.run(t, "wal", "status"); r.code != 0 || strings.Contains(r.out, "gap") {
		t.Errorf("the gap is closed, and wal status exits with %d:\n%s%s", r.code, r.out, r.err)
	}
	url, _, end, failed := p.m.restoreTo(t, second.BinDir, p.m.path("back"), cofre.RecoveryTarget{}, way{start: true, action: "pause"})
	if failed != nil {
		t.Fatalf("exit %d:\n%s", failed.code, failed.err)
	}
	defer end()
	if got := strings.Join(queryColumn(t, url, "SELECT filler FROM scratch ORDER BY client"), " "); got != "lost lost received after" {
		t.Errorf("%q came back", got)
	}
}

func lsnOf(t testing.TB, s *testkit.Server) cofre.LSN {
	t.Helper()
	lsn, err := cofre.ParseLSN(s.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()"))
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}
