package faults_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
)

// rows is what a database holds and what comes back from a restore of it.
const rows = "SELECT count(*) || ' ' || md5(string_agg(body, '' ORDER BY id)) FROM answers"

func (i *installation) fill() {
	i.t.Helper()
	i.server.Exec(i.t, "postgres", `CREATE TABLE answers (id int PRIMARY KEY, body text NOT NULL);
		INSERT INTO answers SELECT n, md5(n::text) || md5(random()::text) FROM generate_series(1, 20000) n`)
}

func TestBackup(t *testing.T) {
	t.Parallel()
	for kind, some := range map[string][]fault{
		"cluster":  {after(9, mute)},
		"database": {cutUp(150_000), flaky},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t, "", "")
			i.fill()
			faults := pick(some, []fault{refused, reset, silent, deaf, unusable, failing, cutUp(20_000), cutDown(0), cutDown(3000), slow, flaky, after(15, unusable)})
			if soak {
				for n := range int64(40) {
					faults = append(faults, after(n, dead))
				}
			}
			points := 0
			for _, f := range faults {
				i.server.Exec(t, "postgres", "UPDATE answers SET body = md5(random()::text) || body WHERE id % 7 = 0")
				i.way.set(t, f)
				r := i.run("backup", kind)
				reached := i.way.passed.Load() > f.from
				i.way.set(t, fault{})
				switch {
				case r.code == 0 && (f.passes || !reached):
					points++
				case f.passes:
					t.Errorf("%s: %s", f.name, r)
				default:
					i.fails(r, 13)
				}
				if soak {
					if got := i.points(); got != points {
						t.Errorf("%s: %d points are there, want %d: %s", f.name, got, points, r)
					}
				}
			}
			i.must("backup", kind)
			if got := i.points(); got != points+1 {
				t.Errorf("%d points are there, want %d", got, points+1)
			}
			i.clean()
			if left := i.server.Query(t, "postgres", "SELECT slot_name FROM pg_replication_slots"); left != "" {
				t.Errorf("left slot %s", left)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "", ", wal: archive")
	i.archives()
	i.fill()
	i.must("backup", "cluster")
	i.server.Exec(t, "postgres", "UPDATE answers SET body = upper(body) WHERE id % 3 = 0")
	want := i.server.Query(t, "postgres", rows)
	i.server.Exec(t, "postgres", "SELECT pg_create_restore_point('before')")
	last := i.segment()
	i.server.Exec(t, "postgres", "DELETE FROM answers")
	f := i.fetcher()
	testkit.Await(t, last+" is archived", 60*time.Second, func() bool { return i.archived(f, last) })

	// The files: what is not whole is nothing that a server starts on, and the same command goes on.
	var restored string
	for _, broken := range pick(
		[]fault{after(12, mute)},
		[]fault{flaky, slow, refused, cutDown(100_000), reset, silent, deaf, unusable, failing, cutDown(0), cutDown(5000), after(5, dead), after(8, dead), after(12, dead), after(16, dead), after(20, unusable)},
	) {
		t.Run(broken.name, func(t *testing.T) {
			i := i.seenBy(t)
			restored = filepath.Join(i.dir, "back-"+strings.ReplaceAll(broken.name, " ", "-"))
			args := []string{"restore", "cluster", "--to", restored, "--name", "before"}
			i.way.set(t, broken)
			r := i.run(args...)
			reached := i.way.passed.Load() > broken.from
			i.way.set(t, fault{})
			// A connection that gives a little at a time brings everything in the end.
			if r.code == 0 && (broken.passes || !reached || len(broken.toxics) > 0) {
				return
			}
			if broken.passes {
				t.Fatalf("%s", r)
			}
			i.fails(r, 13)
			if _, err := os.Stat(filepath.Join(restored, "global", "pg_control")); err == nil {
				t.Errorf("a server would start on what is not whole: %s", r)
			}
			if r := i.run(args...); r.code != 0 {
				t.Fatalf("once the fault is gone: %s", r)
			}
		})
	}

	// The recovery: it stops where WAL cannot be fetched, is never ended by it, and goes on once it can.
	t.Run("recovery", func(t *testing.T) {
		i := i.seenBy(t)
		start := func() (*throwaway.Server, error) {
			return throwaway.Start(t.Context(), throwaway.Options{BinDir: i.server.BinDir, DataDir: restored})
		}
		stops := func(what, says string) {
			t.Helper()
			s, err := start()
			if err == nil {
				testkit.Await(t, what+": the server ends", testkit.Hang, func() bool { return !s.Running() })
				err = fmt.Errorf("%s", s.Log())
				if closing := s.Close(); closing != nil {
					t.Error(closing)
				}
			}
			if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "could not restore file") {
				t.Errorf("%s: %v", what, err)
			}
			if _, err := os.Stat(filepath.Join(restored, "recovery.signal")); err != nil {
				t.Fatalf("%s: the recovery was ended: %v", what, err)
			}
		}
		for _, broken := range pick([]fault{refused}, []fault{silent, reset, failing, after(2, dead), cutDown(300)}) {
			i.way.set(t, broken)
			stops(broken.name, "cofre: ")
			i.way.set(t, fault{})
		}
		file, err := pgdata.ParseWALName(filepath.Base(last))
		if err != nil {
			t.Fatal(err)
		}
		name := wal.ObjectName(f.System, file)
		whole := object(t, f.Store, name)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		replace(t, f.Store, name, flipped)
		stops("a damaged segment", "corrupt")
		replace(t, f.Store, name, whole)
		s, err := start()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		testkit.Await(t, "the target is reached", 60*time.Second, func() bool { return query(t, s, "SELECT pg_is_wal_replay_paused()") == "t" })
		if got := query(t, s, rows); got != want {
			t.Errorf("recovered %s, want %s", got, want)
		}
	})
}
