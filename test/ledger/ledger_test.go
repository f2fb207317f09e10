package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// scene is a cluster whose ledger was written, with what is known of it from outside.
type scene struct {
	m      *machine
	server *testkit.Server
	h      *history // as far as the repository has it
	bases  []base
	book   book
	rand   *rand.Rand
	dir    string
	space  string // of the tablespace, where there is one
	used   bool   // dir holds a cluster that a delta can rewrite
	counts map[string]int
}

// TestLedgerAtRandomTargets restores the ledger to targets of every kind, from WAL that was archived and from WAL that
// was streamed, and compares it with the WAL itself.
func TestLedgerAtRandomTargets(t *testing.T) {
	for _, how := range []string{"archive", "stream"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			n, plans, backups, between := 4, 2, 2, 45
			if how == "stream" {
				n = 2
			}
			if s := soak(t); s > 0 {
				n, plans, backups, between = s/2, 30, 4, 400
			}
			seed := uint64(number(t, "COFRE_SEED", int(time.Now().UnixNano()&0xffffff)))
			t.Logf("seed %d", seed)
			s := stage(t, how, seed, backups, between)
			s.dryRuns(t, plans)
			s.refusals(t)
			first := s.rand.IntN(len(kinds))
			for i := range n {
				s.restore(t, kinds[(first+i)%len(kinds)])
				if t.Failed() {
					t.Fatalf("seed %d, restore %d", seed, i)
				}
			}
			s.endOfWAL(t)
			t.Logf("restored %v, from %d base backups, %d records, %d transactions", s.counts, len(s.bases), len(s.h.records), len(s.h.endings))
			testkit.Healthy(t, &testkit.Server{Server: s.server.Server}, "none")
		})
	}
}

// stage writes a ledger while base backups are taken, and returns when all of it is in the repository.
func stage(t testing.TB, how string, seed uint64, backups, between int) *scene {
	t.Helper()
	conf := []string{}
	if how == "archive" {
		conf = append(conf, "archive_mode = on", "archive_command = '/bin/false'")
	}
	server := newServer(t, conf...)
	m := newMachine(t, server.URL("postgres"), how)
	if how == "archive" {
		m.archiving(t, server)
	} else {
		m.start(t, "wal", "stream", "--flush", "500ms")
		testkit.Await(t, "a slot", time.Minute, func() bool {
			return server.Query(t, "postgres", "SELECT count(*) FROM pg_replication_slots WHERE active") == "1"
		})
	}
	server.Exec(t, "postgres", schema)
	s := &scene{
		m: m, server: server, book: book{}, counts: map[string]int{}, dir: m.path("restored"),
		rand: rand.New(rand.NewPCG(seed, 1)),
	}
	s.space = m.path("space")
	if err := os.Mkdir(s.space, 0o700); err != nil {
		t.Fatal(err)
	}
	m.own(t, s.space)
	server.Exec(t, "postgres", "CREATE TABLESPACE space LOCATION '"+s.space+"'")
	server.Exec(t, "postgres", "ALTER TABLE accounts SET TABLESPACE space; ALTER INDEX ledger_xid_idx SET TABLESPACE space")
	c := write(t, server, 1, 3, 500, seed)
	c.more(t, between/4)
	for i := range backups {
		m.must(t, "backup", "cluster", "-q")
		for j := range 3 {
			c.more(t, between/3)
			server.Exec(t, "postgres", fmt.Sprintf("SELECT pg_create_restore_point('point_%d_%d')", i, j))
		}
	}
	c.end()
	s.book.add(c)
	s.gather(t, how, readHistory(t, m, server.Major, filepath.Join(server.DataDir, "pg_wal"), 1))
	return s
}

// gather waits until the WAL is in the repository, and cuts what is known at what is there.
func (s *scene) gather(t testing.TB, how string, h *history) {
	t.Helper()
	if how == "archive" {
		s.server.Exec(t, "postgres", "SELECT pg_switch_wal()")
		archived(t, s.server)
	} else {
		s.m.streamed(t, s.server, 1)
	}
	s.bases = s.m.bases(t)
	s.book.check(t, h)
	// Read again: the server goes on writing records of its own.
	s.h = readHistory(t, s.m, s.server.Major, filepath.Join(s.server.DataDir, "pg_wal"), 1)
	reach := s.m.status(t).reaches(1)
	for _, e := range s.h.endings {
		if e.lsn >= reach {
			t.Errorf("the repository reaches to %s, and transaction %d ended at %s", reach, e.xid, e.lsn)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	s.h = s.h.until(reach)
}

var kinds = []string{"at", "lsn", "xid", "name", "at exclusive", "lsn exclusive", "xid exclusive", "immediate", "commit time", "commit time exclusive"}

// target is a random target of a kind, which can be reached from one of the base backups.
func (s *scene) target(kind string) cofre.RecoveryTarget {
	r := s.rand
	for {
		t := s.anyTarget(kind)
		var st stop
		b, ok := newestBase(s.bases, func(b base) bool {
			var ok bool
			st, ok = s.h.stopOf(t, b)
			return ok && st.reachableFrom(b)
		})
		_ = b
		if ok {
			return t
		}
		_ = r
	}
}

// anyTarget may lie outside of what can be reached, among what the server has written.
func (s *scene) anyTarget(kind string) cofre.RecoveryTarget {
	r, h := s.rand, s.h
	e := h.endings[r.IntN(len(h.endings))]
	plain, exclusive := strings.CutSuffix(kind, " exclusive")
	t := cofre.RecoveryTarget{Exclusive: exclusive}
	switch plain {
	case "at":
		t.At = e.at.Add(time.Duration(r.IntN(20000)-10000) * time.Microsecond)
	case "commit time":
		t.At = e.at.Add(time.Duration(r.IntN(3)-1) * time.Microsecond)
	case "lsn":
		if t.LSN = h.records[r.IntN(len(h.records))]; r.IntN(3) == 0 {
			t.LSN += cofre.LSN(r.IntN(64))
		}
	case "xid":
		t.XID = e.xid
	case "name":
		var names []string
		for n := range h.named {
			names = append(names, n)
		}
		slices.Sort(names)
		t.Name = names[r.IntN(len(names))]
	case "immediate":
		t.Immediate = true
	}
	return t
}

// restore restores to a target of a kind, and compares.
func (s *scene) restore(t testing.TB, kind string) {
	t.Helper()
	s.restoreTo(t, kind, s.target(kind))
}

func (s *scene) restoreTo(t testing.TB, kind string, target cofre.RecoveryTarget) {
	t.Helper()
	w := way{delta: s.used && s.rand.IntN(2) == 0, start: s.rand.IntN(4) > 0, action: []string{"pause", "promote"}[s.rand.IntN(2)]}
	s.restoreIn(t, kind, target, w, nil)
}

// restoreIn restores in one way, and compares. Then looks at the server while it runs.
func (s *scene) restoreIn(t testing.TB, kind string, target cofre.RecoveryTarget, w way, then func(url string), more ...string) {
	t.Helper()
	if !w.delta {
		removeAll(t, s.dir)
		if s.space != "" {
			removeAll(t, s.space+"-restored")
		}
	}
	if s.space != "" {
		more = append(more, "--tablespace", s.space+"="+s.space+"-restored")
	}
	name := fmt.Sprintf("%s %v, %s", target, flags(target), w)
	url, doc, end, failed := s.m.restoreTo(t, s.server.BinDir, s.dir, target, w, more...)
	if failed != nil {
		t.Errorf("%s: exit %d:\n%s", name, failed.code, failed.err)
		return
	}
	defer end()
	s.used = true
	b := s.base(t, doc.Point)
	want, ok := s.h.stopOf(target, b)
	if !ok || !want.reachableFrom(b) {
		t.Errorf("%s: restored from %s, which leads nowhere", name, doc.Point)
		return
	}
	if diff := differences(t, url, s.book.rows(s.h.committed(want))); diff != "" {
		t.Errorf("%s, from %s, to end at %s (after: %t):\n%s", name, doc.Point, want.lsn, want.after, diff)
	}
	if r := doc.Recovered; w.start {
		if r == nil || (w.action == "promote" || target == cofre.RecoveryTarget{}) != r.Promoted || r.Promoted == (r.Paused != nil) {
			t.Errorf("%s: said %+v", name, r)
			return
		}
		// The server goes on after the clients, and with it the end of the WAL.
		said := target != cofre.RecoveryTarget{}
		if last := s.h.lastEnding(want, b); said && !last.Equal(r.CommitAt) && !(last.IsZero() && target.Immediate) {
			t.Errorf("%s: the last transaction is of %s, and it says %s", name, last, r.CommitAt)
		}
	}
	s.counts[kind]++
	if then != nil {
		then(url)
	}
}

// lastEnding is the time of the last transaction that a recovery replays.
func (h *history) lastEnding(s stop, b base) (at time.Time) {
	for _, e := range h.endings {
		if e.lsn >= b.StartLSN && (e.lsn < s.lsn || s.after && e.lsn == s.lsn) {
			at = e.at
		}
	}
	return at
}

func (s *scene) base(t testing.TB, point string) base {
	t.Helper()
	for _, b := range s.bases {
		if b.point == point {
			return b
		}
	}
	t.Fatalf("no base backup %s", point)
	return base{}
}

var reachedAt = regexp.MustCompile(`reached at LSN ([0-9A-F]+/[0-9A-F]+) on timeline (\d+)`)

// dryRuns asks for many targets, reachable or not: what the plan says must be what the WAL says.
func (s *scene) dryRuns(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		kind := kinds[(i+7)%len(kinds)]
		target := s.anyTarget(kind)
		reachable := false
		stops := map[cofre.LSN]bool{}
		for _, b := range s.bases {
			if st, ok := s.h.stopOf(target, b); ok && st.reachableFrom(b) {
				reachable = true
				stops[s.h.exact(target, st, b)] = true
			}
		}
		r := s.m.run(t, append(s.nowhere(), flags(target)...)...)
		m := reachedAt.FindStringSubmatch(r.err)
		switch {
		case reachable && (r.code != 0 || m == nil):
			t.Errorf("%s %v can be reached, and is refused with %d:\n%s", kind, flags(target), r.code, r.err)
		case !reachable && (r.code != 21 || !strings.Contains(r.err, "reachable: ")):
			t.Errorf("%s %v cannot be reached, and exits with %d:\n%s", kind, flags(target), r.code, r.err)
		case reachable && !(target.LSN != 0 && target.Exclusive): // the record before an LSN is not known here
			at, err := cofre.ParseLSN(m[1])
			if err != nil || !stops[at] {
				t.Errorf("%s %v is said to end at %s, and ends at %v", kind, flags(target), m[1], stops)
			}
		}
		s.counts["dry run"]++
	}
}

// nowhere is a restore that only plans.
func (s *scene) nowhere() []string {
	args := []string{"restore", "cluster", "--to", s.m.path("nowhere"), "--dry-run"}
	if s.space != "" {
		args = append(args, "--tablespace", s.space+"="+s.m.path("nowhere-space"))
	}
	return args
}

// refusals asks for what is outside of the window: refused, with the nearest moments, which then can be reached.
func (s *scene) refusals(t testing.TB) {
	t.Helper()
	first, last := s.bases[0], s.h.endings[len(s.h.endings)-1]
	targets := []cofre.RecoveryTarget{
		{At: first.StartedAt.Add(-time.Hour)},
		{At: time.Now().Add(time.Hour)},
		{At: last.at.Add(time.Hour), Exclusive: true},
		{LSN: first.StartLSN - 1<<20},
		{LSN: s.h.records[len(s.h.records)-1] + 64<<20},
		{XID: last.xid + 1000000},
		{Name: "never made"},
		{At: last.at, Timeline: 7},
	}
	if soak(t) == 0 {
		i := s.rand.IntN(len(targets))
		targets = targets[i : i+1]
	}
	nearest := map[string]bool{}
	for _, target := range targets {
		to := s.m.path("refused")
		r := s.m.run(t, append([]string{"restore", "cluster", "--to", to, "--start"}, flags(target)...)...)
		_, list, ok := strings.Cut(r.err, "(reachable: ")
		if r.code != 21 || (!ok && target.Timeline == 0) {
			t.Errorf("%v is outside of the window, and exits with %d:\n%s", flags(target), r.code, r.err)
		}
		if _, err := os.Lstat(to); err == nil {
			t.Errorf("%v was refused, and %s is there", flags(target), to)
		}
		if list, _, ok = strings.Cut(list, ")"); ok {
			for n := range strings.SplitSeq(list, ", ") {
				nearest[n] = true
			}
		}
		s.counts["refused"]++
	}
	for n := range nearest {
		_, typed, _ := strings.Cut(n, " ")
		args := append(s.nowhere(), strings.Fields(typed)...)
		if r := s.m.run(t, args...); r.code != 0 {
			t.Errorf("%q is said to be reachable, and is not: %v exits with %d:\n%s", n, args, r.code, r.err)
		}
	}
}

// endOfWAL restores all that there is: nothing acknowledged is missing, and PostgreSQL's own tools find nothing.
func (s *scene) endOfWAL(t testing.TB) {
	t.Helper()
	s.restoreIn(t, "end of the WAL", cofre.RecoveryTarget{}, way{start: true, action: "promote"}, func(url string) {
		if s.toolsToo(t) {
			s.amcheck(t, url)
		}
	}, "--pg-verifybackup")
	want := s.h.committed(stop{lsn: ^cofre.LSN(0)})
	for xid, e := range s.book {
		if e.acked && !want[xid] {
			t.Errorf("transaction %d was acknowledged and is not in the repository", xid)
		}
	}
	if s.toolsToo(t) {
		s.tool(t, "pg_checksums", "--check", "-D", s.dir)
	}
}

// toolsToo reports whether PostgreSQL's own tools read what was restored too: in the short form, which has the most.
func (s *scene) toolsToo(t testing.TB) bool { return soak(t) > 0 || s.space != "" }

// amcheck has pg_amcheck, which is there from 14 on, read every table and index.
func (s *scene) amcheck(t testing.TB, url string) {
	t.Helper()
	if s.server.Major < 14 {
		return
	}
	if got := queryColumn(t, url, "SELECT name FROM pg_available_extensions WHERE name = 'amcheck'"); len(got) == 0 {
		t.Log("amcheck is not installed with this server")
		return
	}
	s.tool(t, "pg_amcheck", "--install-missing", "--heapallindexed", "--maintenance-db", url, "--all")
}

// tool runs a program of the server's version.
func (s *scene) tool(t testing.TB, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	if out, err := s.m.command(ctx, testkit.Binary(t, s.server.Major, program), args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", program, args, err, out)
		return
	}
	s.counts[program]++
}

func segmentName(tli cofre.Timeline, lsn cofre.LSN) string {
	return pgdata.SegmentAt(tli, lsn, 1<<20).Name(1 << 20)
}
