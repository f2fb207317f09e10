package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// churn makes and drops databases and tablespaces, with a table of 100 rows in each, while the ledger is written.
type churn struct {
	m     *machine
	s     *testkit.Server
	space func(n int) string // the SQL of a location
	n     int
	rand  *rand.Rand
	lives []string // databases and tablespaces, by name
	stop  context.CancelFunc
	wg    sync.WaitGroup
	p     *pair
}

// filled is what was put into a database or tablespace.
type filled struct {
	name string
	xid  string // of the transaction that made the table
}

func (p *pair) churn(t testing.TB, first int, space func(int) string, seed uint64) *churn {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	c := &churn{m: p.m, s: p.now, space: space, n: first, rand: rand.New(rand.NewPCG(seed, uint64(first))), stop: stop, p: p}
	c.wg.Go(func() {
		for ctx.Err() == nil && c.step() == nil {
		}
	})
	t.Cleanup(c.end)
	return c
}

func (c *churn) end() { c.stop(); c.wg.Wait() }

// step drops one thing, or makes one and fills it. A server that went away ends the churn.
func (c *churn) step() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if len(c.lives) > 2 || len(c.lives) > 0 && c.rand.IntN(2) == 0 {
		i := c.rand.IntN(len(c.lives))
		name := c.lives[i]
		c.lives = slices.Delete(c.lives, i, i+1)
		if strings.HasPrefix(name, "db_") {
			_, err := columnIn(ctx, c.s.URL("postgres"), "DROP DATABASE "+name)
			return err
		}
		if _, err := columnIn(ctx, c.s.URL("postgres"), "DROP TABLE in_"+name); err != nil {
			return err
		}
		_, err := columnIn(ctx, c.s.URL("postgres"), "DROP TABLESPACE "+name)
		return err
	}
	c.n++
	if c.rand.IntN(2) == 0 {
		name := fmt.Sprintf("db_%d", c.n)
		strategy := ""
		if c.s.Major >= 15 && c.rand.IntN(2) == 0 {
			strategy = " STRATEGY file_copy"
		}
		if _, err := columnIn(ctx, c.s.URL("postgres"), "CREATE DATABASE "+name+strategy); err != nil {
			return err
		}
		c.lives = append(c.lives, name)
		return c.fill(ctx, "database", name, c.s.URL(name), "CREATE TABLE filled AS", "SELECT oid::text FROM pg_database WHERE datname = '"+name+"'")
	}
	name := fmt.Sprintf("sp_%d", c.n)
	if _, err := columnIn(ctx, c.s.URL("postgres")+"&options=-c%20allow_in_place_tablespaces%3Don", "CREATE TABLESPACE "+name+" LOCATION '"+c.space(c.n)+"'"); err != nil {
		return err
	}
	c.lives = append(c.lives, name)
	return c.fill(ctx, "tablespace", name, c.s.URL("postgres"), "CREATE TABLE in_"+name+" TABLESPACE "+name+" AS", "SELECT oid::text FROM pg_tablespace WHERE spcname = '"+name+"'")
}

func (c *churn) fill(ctx context.Context, what, name, url, create, oid string) error {
	oids, err := columnIn(ctx, url, oid)
	if err != nil {
		return err
	}
	if _, err := columnIn(ctx, url, create+" SELECT pg_current_xact_id()::text AS xid FROM generate_series(1, 100)"); err != nil {
		return err
	}
	table := "filled"
	if what == "tablespace" {
		table = "in_" + name
	}
	xid, err := columnIn(ctx, url, "SELECT xmin::text FROM "+table+" LIMIT 1")
	if err != nil {
		return err
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.in[what+" "+oids[0]] = filled{name, xid[0]}
	return nil
}

// there are the databases and tablespaces that are there at a stop.
func (h *history) there(s stop) map[string]bool {
	committed, there := h.committed(s), map[string]bool{}
	for _, m := range h.made {
		if !committed[m.xid] || len(m.oid) < 5 { // initdb's own have small OIDs
			continue
		}
		if key := m.what + " " + m.oid; m.drop {
			delete(there, key)
		} else {
			there[key] = true
		}
	}
	return there
}

// lockNotAvailable is the code of a statement that lock_timeout has ended.
const lockNotAvailable = "55P03"

// of are the records that made and dropped one thing.
func (h *history) of(key string) (out []making) {
	for _, m := range h.made {
		if m.what+" "+m.oid == key {
			out = append(out, m)
		}
	}
	return out
}

// droppedAround reports whether a database or tablespace was being dropped at a stop.
func (h *history) droppedAround(s stop) bool {
	for _, m := range h.made {
		if !m.drop || m.lsn > s.lsn+1<<20 {
			continue
		}
		for _, e := range h.endings {
			if e.xid == m.xid && e.lsn >= m.lsn && e.lsn+1<<20 >= s.lsn {
				return true
			}
		}
	}
	return false
}

// compareChurn compares the databases and tablespaces of a copy, and what is in them.
func (s *scene) compareChurn(t testing.TB, url, name string, want map[string]bool, committed map[uint64]bool, in map[string]filled) {
	t.Helper()
	got := map[string]bool{}
	for _, o := range queryColumn(t, url, "SELECT 'database ' || oid FROM pg_database WHERE oid >= 16384 UNION ALL SELECT 'tablespace ' || oid FROM pg_tablespace WHERE oid >= 16384") {
		got[o] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: it has %v, want %v", name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		return
	}
	for key := range want {
		f, ok := in[key]
		if !ok || !committed[mustXID(t, f.xid)] {
			continue // its server went away first, or the moment did not have the table yet
		}
		at, table := url, "in_"+f.name
		if strings.HasPrefix(key, "database") {
			at, table = strings.Replace(url, "/postgres?", "/"+f.name+"?", 1), "filled"
		} else if n := queryColumn(t, url, "SELECT count(*)::text FROM pg_class WHERE relname = '"+table+"'")[0]; n == "0" {
			continue // the table was dropped, and the tablespace not yet
		}
		n, err := columnIn(t.Context(), at+"&options=-c%20lock_timeout%3D2s", "SELECT count(*)::text FROM "+table)
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == lockNotAvailable && strings.HasPrefix(key, "tablespace") {
			continue // at this position its DROP TABLE has the lock, which recovery holds as the original did
		}
		if err != nil || n[0] != "100" {
			t.Errorf("%s: %s, %s has %v rows: %v; made and dropped by %+v", name, key, f.name, n, err, s.h.of(key))
		}
	}
}

func mustXID(t testing.TB, text string) (xid uint64) {
	t.Helper()
	if _, err := fmt.Sscan(text, &xid); err != nil {
		t.Fatal(err)
	}
	return xid
}

// placed plans a restore, and returns the flags that place the tablespaces of its base backup beside those of the original.
func (m *machine) placed(t testing.TB, dir string, args ...string) (more []string, r result) {
	t.Helper()
	r = m.run(t, append([]string{"restore", "cluster", "--to", dir, "--dry-run", "--json"}, args...)...)
	var doc struct {
		Plan struct {
			Steps []cofre.Step `json:"steps"`
		} `json:"plan"`
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, r.out, r.err)
	}
	for _, s := range doc.Plan.Steps {
		if oid, ok := strings.CutPrefix(s.Object, "tablespace "); ok && s.Verb == "place" {
			more = append(more, "--tablespace", oid+"="+dir+"-space-"+oid)
		}
	}
	return more, r
}

// TestChurnAcrossTimelines writes the ledger while databases and tablespaces are made and dropped, fails over to a
// standby, and then goes on from a recovery that was adopted. Every moment of the three timelines is equal or refused,
// and refused is only what lies inside a DROP.
func TestChurnAcrossTimelines(t *testing.T) {
	t.Parallel()
	n, span := 5, 25
	if s := soak(t); s > 0 {
		n, span = s, 120
	}
	seed := uint64(number(t, "COFRE_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d", seed)
	first := newServer(t, "archive_mode = on", "archive_command = '/bin/false'", "autovacuum = off")
	p := &pair{m: newMachine(t, first.URL("postgres"), "archive"), how: "archive", now: first, tli: 1, book: book{}, h: map[cofre.Timeline]*history{}, in: map[string]filled{}}
	p.m.archiving(t, first)
	first.Exec(t, "postgres", schema)
	p.m.must(t, "backup", "cluster", "-q")
	outside := func(n int) string {
		dir := p.m.path(fmt.Sprint("space", n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Error(err)
		}
		p.m.own(t, dir)
		return dir
	}
	inside := func(int) string { return "" } // the standby is on this machine, too
	if first.Major < 15 {
		t.Skip("tablespaces in place are of 15 and later")
	}
	second := p.standby(t, "second", first)
	ch := p.churn(t, 0, inside, seed)
	c := write(t, first, 1, 2, 400, seed)
	c.more(t, span)
	point(t, first)
	p.m.must(t, "backup", "cluster", "-q")
	c.more(t, span)
	ch.stop()
	p.promote(t, second, c, false)
	ch.wg.Wait()

	ch = p.churn(t, 1000, outside, seed)
	c = write(t, second, 10, 2, 400, seed)
	c.more(t, span)
	p.m.must(t, "backup", "cluster", "-q")
	c.more(t, span)
	point(t, second)
	c.more(t, span)
	ch.end()
	c.end()
	p.book.add(c)

	third := p.adopted(t, "third")
	ch = p.churn(t, 2000, outside, seed)
	c = write(t, third, 20, 2, 400, seed)
	c.more(t, span)
	p.m.must(t, "backup", "cluster", "-q")
	c.more(t, span)
	point(t, third)
	c.more(t, span)
	ch.end()
	c.end()
	p.book.add(c)
	p.finish(t)

	s := &scene{m: p.m, server: p.now, book: p.book, counts: map[string]int{}, dir: p.m.path("restored"), rand: rand.New(rand.NewPCG(seed, 2)), bases: p.m.bases(t)}
	all := s.bases
	for i := range n {
		tli := cofre.Timeline(i%3 + 1)
		s.h, s.bases = p.h[tli], nil
		for _, b := range all {
			if b.Timeline <= tli && b.StopLSN <= s.h.end {
				s.bases = append(s.bases, b)
			}
		}
		s.churned(t, kinds[s.rand.IntN(len(kinds))], tli, p.in)
		if t.Failed() {
			t.Fatalf("seed %d, restore %d, timeline %d: %v", seed, i, tli, s.counts)
		}
		if (i+1)%25 == 0 {
			t.Logf("%d: %v", i+1, s.counts)
		}
	}
	t.Logf("restored %v", s.counts)
}

// churned restores to one target, and compares the ledger, the databases and the tablespaces; or it is refused, inside a DROP.
func (s *scene) churned(t testing.TB, kind string, tli cofre.Timeline, in map[string]filled) {
	t.Helper()
	target := s.target(kind)
	target.Timeline = tli
	if old, err := filepath.Glob(s.dir + "-new-space-*"); err == nil {
		for _, o := range old {
			removeAll(t, o)
		}
	}
	more, r := s.m.placed(t, s.dir+"-new", flags(target)...)
	if r.code == 21 && strings.Contains(r.out, "was under way") {
		for _, b := range s.bases {
			if st, ok := s.h.stopOf(target, b); ok && s.h.droppedAround(st) {
				s.counts["refused"]++
				return
			}
		}
		t.Errorf("%s %v is refused, and nothing was dropped around it:\n%s", kind, flags(target), r.out)
		return
	}
	s.used = false
	w := way{start: s.rand.IntN(4) > 0, action: []string{"pause", "promote"}[s.rand.IntN(2)]}
	s.restoreIn(t, kind, target, w, func(url string) {
		b, _ := newestBase(s.bases, func(b base) bool {
			st, ok := s.h.stopOf(target, b)
			return ok && st.reachableFrom(b)
		})
		st, _ := s.h.stopOf(target, b)
		if target.Immediate && s.h.droppedAround(st) && strings.Contains(r.out, "was under way") {
			s.counts["said to be inside a DROP"]++
			return
		}
		s.compareChurn(t, url, fmt.Sprintf("%s %v, to end at %s (after: %t), from %s", kind, flags(target), st.lsn, st.after, b.StopLSN), s.h.there(st), s.h.committed(st), in)
	}, more...)
}

// adopted ends the server that takes writes, and goes on with a recovery to the end of its WAL that is adopted.
func (p *pair) adopted(t testing.TB, name string) *testkit.Server {
	t.Helper()
	p.now.Exec(t, "postgres", "SELECT pg_switch_wal()")
	archived(t, p.now)
	old := p.now
	if err := old.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	kept := p.m.path(fmt.Sprintf("wal-%d", p.tli))
	keepWAL(t, filepath.Join(old.DataDir, "pg_wal"), kept)
	p.absorb(t, kept)
	dir := p.m.path(name)
	more, _ := p.m.placed(t, dir)
	p.m.must(t, append([]string{"restore", "cluster", "--to", dir, "--start"}, more...)...)
	p.m.must(t, "adopt", dir, "--yes")
	p.now, p.tli = serve(t, old.BinDir, dir), p.tli+1
	p.m.configure(t, p.now.URL("postgres"), p.how)
	p.forked(t)
	return p.now
}
