package faults_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
)

// pick takes some in CI, and all where there is time.
func pick[T any](some, more []T) []T {
	if soak {
		return append(some, more...)
	}
	return some
}

func TestArchive(t *testing.T) {
	t.Parallel()
	// Without archive_mode no segment waits: otherwise each call would archive those of the others ahead.
	i := newInstallation(t, "", ", wal: archive", "archive_mode = off")
	f := i.fetcher()
	for _, broken := range pick(
		[]fault{flaky, unusable, cutUp(100_000), cutDown(0), after(1, mute)},
		[]fault{slow, refused, reset, silent, deaf, failing, cutUp(0), cutUp(1000), cutUp(300_000), cutDown(20), after(1, dead), after(1, unusable), after(1, failing), after(2, mute)},
	) {
		path := i.segment()
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			i := i.of(t)
			i.way.set(t, broken)
			r := i.in(i.dataDir(), "wal", "archive", path)
			i.way.set(t, fault{})
			if broken.passes {
				if r.code != 0 || !i.archived(f, path) {
					t.Fatalf("%s", r)
				}
				return
			}
			i.fails(r, 13)
			// Archived or not: the same call succeeds now, and what is then there is whole.
			if r := i.in(i.dataDir(), "wal", "archive", path); r.code != 0 || !i.archived(f, path) {
				t.Errorf("once the fault is gone: %s", r)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "", ", wal: archive")
	path := i.segment()
	want := i.read(path)
	if r := i.in(i.dataDir(), "wal", "archive", path); r.code != 0 {
		t.Fatalf("%s", r)
	}
	absent := []string{"0000000100000000000000FF", "00000002.history"}
	for n, broken := range pick(
		[]fault{flaky, refused, after(1, mute), after(3, dead)},
		[]fault{slow, failing, cutDown(0), reset, silent, deaf, unusable, cutUp(0), cutDown(20), cutDown(600), after(1, unusable), after(1, dead), after(2, dead), after(2, mute)},
	) {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			i := i.of(t)
			to := filepath.Join(t.TempDir(), "fetched")
			fetch := func(name string, args ...string) result {
				t.Helper()
				_ = os.Remove(to)
				r := i.in(i.dataDir(), append([]string{"wal", "fetch", name, to}, args...)...)
				if got, err := os.ReadFile(to); (err == nil) != (r.code == 0) || err == nil && !bytes.Equal(got, want) {
					t.Errorf("%d bytes are there (%v): %s", len(got), err, r)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(to), ".*")); len(left) != 0 {
					t.Errorf("left %v", left)
				}
				return r
			}
			names := []string{filepath.Base(path), absent[n%2]}
			if soak {
				names = append(names[:1], absent...)
			}
			for _, name := range names {
				there := name == filepath.Base(path)
				i.way.set(t, broken)
				r := fetch(name)
				i.way.set(t, fault{})
				switch {
				case broken.from > 2 && there: // it needs no more
				case broken.passes && there && r.code != 0, broken.passes && !there && r.code != 1:
					t.Errorf("%s", r)
				case !broken.passes:
					// 1 to 125 would be the end of WAL to PostgreSQL.
					i.fails(r, 126)
				}
			}
			if broken.refused {
				i.way.set(t, broken)
				r := fetch(filepath.Base(path), "--standby")
				i.way.set(t, fault{})
				i.fails(r, 1)
			}
			if r := fetch(filepath.Base(path)); r.code != 0 {
				t.Errorf("once the fault is gone: %s", r)
			}
		})
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "", ", wal: stream", "archive_mode = off")
	spool := filepath.Join(t.TempDir(), "spool")
	var said testkit.Output
	times := func(text string) int { return strings.Count(said.String(), text) }
	c := i.command(t.Context(), i.dir, "wal", "stream", "--spool", spool)
	c.Stderr = &said
	if err := testkit.Start(c); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	f := i.fetcher()
	arrives := func(i *installation, path string) {
		t := i.t
		t.Helper()
		testkit.Await(t, path+" arrives", 40*time.Second, func() bool {
			select {
			case err := <-ended:
				t.Fatalf("the stream has ended: %v\n%s", err, said.String())
			default:
			}
			return i.archived(f, path)
		})
	}
	arrives(i, i.segment())
	for _, f := range pick([]fault{flaky, cutUp(100_000), mute}, []fault{refused, slow, reset, silent, deaf, failing, unusable, cutDown(0), dead}) {
		t.Run(f.name, func(t *testing.T) {
			i := i.seenBy(t)
			before := times("WAL waits on this host")
			i.way.set(t, f)
			path := i.segment()
			if f.passes {
				arrives(i, path)
				return
			}
			testkit.Await(t, "it says that the repository does not take WAL", testkit.Hang, func() bool { return times("WAL waits on this host") > before })
			// The server is let go of its WAL all the same: it is durable in the spool.
			end := i.server.Query(t, "postgres", "SELECT pg_current_wal_lsn()")
			testkit.Await(t, "the slot goes on", 10*time.Second, func() bool {
				return i.server.Query(t, "postgres", "SELECT restart_lsn >= '"+end+"' FROM pg_replication_slots") == "t"
			})
			i.way.set(t, fault{})
			arrives(i, path)
			testkit.Await(t, "it says that it goes on", 10*time.Second, func() bool { return times("takes WAL again") > 0 })
		})
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v\n%s", err, said.String())
	}
	i.clean()
	i.server.Exec(t, "postgres", "SELECT pg_drop_replication_slot('cofre')")
}
