package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
	"github.com/trustlayer/cofre/postgres/wal/stream"
	"github.com/trustlayer/cofre/store/storetest"
)

func smallSegments(o *throwaway.Options) { o.InitArgs = []string{"--wal-segsize=1"} }

// streaming runs a Streamer until the test or stop ends it, and collects what it says.
type streaming struct {
	mu     sync.Mutex
	said   []string
	found  []cofre.GapFound
	cancel context.CancelFunc
	done   chan error
}

func startStream(t *testing.T, s stream.Config) *streaming {
	t.Helper()
	run := &streaming{done: make(chan error, 1)}
	s.Observer = cofre.ObserverFunc(func(e cofre.Event) {
		run.mu.Lock()
		defer run.mu.Unlock()
		if gap, ok := e.Fact.(cofre.GapFound); ok {
			run.found = append(run.found, gap)
		}
		run.said = append(run.said, fmt.Sprintf("%s: %s", e.Type, e.Text))
	})
	ctx, cancel := context.WithCancel(t.Context())
	run.cancel = cancel
	go func() { run.done <- stream.Run(ctx, s) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err, ok := <-run.done:
			if ok && err != nil {
				t.Error(err)
			}
		case <-time.After(testkit.Hang):
			t.Error("streaming did not end")
		}
		if t.Failed() {
			t.Log(run.saidSo(""))
		}
	})
	return run
}

func (r *streaming) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	close(r.done)
}

// saidSo returns what was said that contains a text.
func (r *streaming) saidSo(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.said {
		if strings.Contains(s, text) {
			out = append(out, s)
		}
	}
	return strings.Join(out, "\n")
}

// gaps are those that were told of.
func (r *streaming) gaps() []cofre.GapFound {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.found)
}

func systemOf(t *testing.T, s *testkit.Server) cofre.SystemID {
	t.Helper()
	return cofre.SystemID(number(t, s.Query(t, "postgres", "select system_identifier from pg_control_system()")))
}

func baseBackup(t *testing.T, s *testkit.Server, root string) string {
	t.Helper()
	base := filepath.Join(root, "base")
	if err := os.Mkdir(base, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "--reference="+s.DataDir, base).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	if out, err := asServer(t, s, exec.Command(testkit.Binary(t, s.Major, "pg_basebackup"), "-d", s.URL("postgres"), "-D", base, "-X", "none", "-c", "fast", "--no-sync")).CombinedOutput(); err != nil {
		t.Fatalf("pg_basebackup: %v: %s", err, out)
	}
	return base
}

// A server is streamed from, beside its archive_command, through a crash of the server and a promotion; then the
// host is lost in the middle of a segment. What comes back is everything that was committed a second before.
func TestStreamBringsTheUnfinishedSegmentThroughCrashAndPromotion(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "synchronous_commit = on", "archive_mode = on",
		"archive_command = '"+self(t, root, "archive", id.Recipient())+" %p'"))
	system := systemOf(t, s)
	s.Exec(t, "postgres", "create table ledger (n int primary key, filler text)")
	base := baseBackup(t, s, root)
	st0 := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_test", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 200 * time.Millisecond,
	}
	run := startStream(t, st0)
	fill := func(from, to int) {
		t.Helper()
		s.Exec(t, "postgres", fmt.Sprintf("insert into ledger select i, repeat(md5(i::text), 20) from generate_series(%d, %d) i", from, to))
	}
	caughtUp := func(what string) {
		t.Helper()
		lsn := must(cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select pg_current_wal_lsn()"))))(t)
		// The server archives the end of the timeline before as a whole .partial, which reaches as far.
		timeline := must(pgdata.ParseWALName(strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_lsn())"))))(t).Timeline
		testkit.Await(t, what, 20*time.Second, func() bool {
			inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, func() (wal.Identity, error) { return id, nil })
			if err != nil {
				t.Fatal(err)
			}
			for seg := range inv.Segments {
				if seg.Timeline == timeline && seg.End(1<<20) >= lsn {
					return true
				}
			}
			for seg, n := range inv.Unfinished {
				if seg.Timeline == timeline && seg.Start(1<<20)+cofre.LSN(n) >= lsn {
					return true
				}
			}
			return false
		})
	}
	testkit.Await(t, "a slot", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	fill(1, 3000)
	caughtUp("3000 rows")
	s.Kill()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(3001, 4000)
	caughtUp("4000 rows, after a crash")

	// A failover, to itself: it becomes a standby, and is promoted.
	if err := s.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(s.DataDir, "standby.signal")
	if err := os.WriteFile(signal, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "--reference="+s.DataDir, signal).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v: %s", err, out)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Promote(t)
	fill(4001, 4900)
	for i := 5001; i <= 5060; i++ { // slowly: parts are joined
		fill(i, i)
	}
	caughtUp("the new timeline")
	s.Exec(t, "postgres", "alter system set archive_command = '/bin/false'")
	s.Exec(t, "postgres", "select pg_reload_conf()")
	fill(6001, 6001)
	caughtUp("the last row")
	if run.saidSo("base backup now") != "" {
		t.Errorf("it asked for a base backup: %s", run.saidSo(""))
	}
	want := number(t, s.Query(t, "postgres", "select count(*) from ledger"))
	s.Kill()
	if err := os.RemoveAll(st0.Spool); err != nil { // the host is gone
		t.Fatal(err)
	}
	got := recoverTo(t, s, root, base, "", self(t, root, "fetch", id.Recipient()), "select count(*) from public.ledger")
	if number(t, got) != want {
		t.Errorf("%s rows came back, %d were committed", got, want)
	}
	parts := 0
	for o, err := range st.List(t.Context(), "wal/") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(o.Name, ".parts/") {
			parts++
		}
	}
	if parts > 60 {
		t.Errorf("%d parts are left", parts)
	}
}

// The primary is lost and its standby promoted: streaming from the standby goes on where the fork was, although
// the slot was never there, and both timelines can be recovered.
func TestStreamFollowsToAPromotedStandby(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	primary := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "synchronous_commit = on", "wal_keep_size = 64MB"))
	system := systemOf(t, primary)
	primary.Exec(t, "postgres", "create table ledger (n int primary key, filler text)")
	base := baseBackup(t, primary, root)
	dir := filepath.Join(root, "standby")
	if out, err := exec.Command("cp", "-a", base, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conf, "\nprimary_conninfo = 'host=%s port=%d user=postgres application_name=standby'\n", primary.Socket, primary.Port); err != nil || conf.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	standby, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: primary.BinDir, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Close()
	second := &testkit.Server{Server: standby}

	streamer := func(s *testkit.Server) stream.Config {
		return stream.Config{
			Postgres: s.Config("postgres"), Slot: "cofre_failover", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
			Spool: filepath.Join(root, "streamed"), Flush: 200 * time.Millisecond,
		}
	}
	run := startStream(t, streamer(primary))
	fill := func(s *testkit.Server, from, to int) {
		t.Helper()
		s.Exec(t, "postgres", fmt.Sprintf("insert into ledger select i, repeat(md5(i::text), 20) from generate_series(%d, %d) i", from, to))
	}
	fill(primary, 1, 3000)
	testkit.Await(t, "the standby", 30*time.Second, func() bool {
		return strings.TrimSpace(primary.Query(t, "postgres", "select count(*) from pg_stat_replication where replay_lsn = pg_current_wal_lsn() and application_name = 'standby'")) == "1"
	})
	// What the old primary writes alone is its own: a tail beyond the fork, that streaming brings off the host.
	if err := standby.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	fill(primary, 10001, 12500)
	lsn := must(cofre.ParseLSN(strings.TrimSpace(primary.Query(t, "postgres", "select pg_current_wal_lsn()"))))(t)
	tail := pgdata.SegmentAt(1, lsn, 1<<20)
	testkit.Await(t, "the tail of the old primary", 30*time.Second, func() bool {
		inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
		return err == nil && (inv.Segments[tail] || tail.Start(1<<20)+cofre.LSN(inv.Unfinished[tail]) >= lsn)
	})
	primary.Kill()
	run.stop(t)
	if err := standby.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.Promote(t)
	run = startStream(t, streamer(second))
	fill(second, 3001, 4000)
	lsn = must(cofre.ParseLSN(strings.TrimSpace(second.Query(t, "postgres", "select pg_current_wal_lsn()"))))(t)
	last := pgdata.SegmentAt(2, lsn, 1<<20)
	var inv *wal.Inventory
	testkit.Await(t, "the new timeline", 30*time.Second, func() bool {
		inv, err = wal.ReadInventory(t.Context(), st, system, 1<<20, func() (wal.Identity, error) { return id, nil })
		return err == nil && (inv.Segments[last] || last.Start(1<<20)+cofre.LSN(inv.Unfinished[last]) >= lsn)
	})
	if run.saidSo("base backup now") != "" {
		t.Errorf("it asked for a base backup: %s", run.saidSo(""))
	}
	label := must(pgdata.ParseBackupLabel(mustRead(t, filepath.Join(base, "backup_label"))))(t)
	status := wal.StatusOf(inv, []recovery.BaseBackup{{Point: "base", SystemID: system, Timeline: 1, Start: label.Start, Stop: label.Checkpoint, StoppedAt: time.Now()}})
	if len(status.Gaps) != 0 || len(status.Windows) != 2 {
		t.Errorf("status %+v", status)
	}
	run.stop(t)
	command := self(t, root, "fetch", id.Recipient())
	for _, c := range []struct {
		timeline string
		want     int
	}{{"latest", 4000}, {"1", 5500}} {
		got := recoverTo(t, primary, root, base, "recovery_target_timeline = '"+c.timeline+"'", command, "select count(*) from public.ledger")
		if number(t, got) != c.want {
			t.Errorf("timeline %s: %s rows, want %d", c.timeline, got, c.want)
		}
		if err := fetch.Forget(filepath.Join(root, "spool")); err != nil {
			t.Fatal(err)
		}
	}
}

// A slot that the server invalidated is said so, and streaming goes on.
func TestStreamSaysThatItsSlotWasInvalidated(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "max_slot_wal_keep_size = 2MB", "min_wal_size = 2MB", "max_wal_size = 3MB"))
	st0 := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_lost", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: -1,
	}
	s.Exec(t, "postgres", "select pg_create_physical_replication_slot('cofre_lost', true); create table t (x text)")
	for range 8 {
		s.Exec(t, "postgres", "insert into t select repeat(md5(i::text), 30) from generate_series(1, 1000) i; select pg_switch_wal(); checkpoint")
	}
	if got := strings.TrimSpace(s.Query(t, "postgres", "select wal_status from pg_replication_slots")); got != "lost" {
		t.Fatalf("the slot is %s", got)
	}
	run := startStream(t, st0)
	testkit.Await(t, "the warning", 10*time.Second, func() bool { return strings.Contains(run.saidSo("base backup now"), "cofre_lost was invalidated") })
	testkit.Await(t, "a new slot", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active and wal_status = 'reserved'")) == "1"
	})
	last := strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_lsn())"))
	s.Exec(t, "postgres", "insert into t values ('x'); select pg_switch_wal()")
	object := object(t, systemOf(t, s), last)
	testkit.Await(t, last, 10*time.Second, func() bool { _, err := st.Stat(t.Context(), object); return err == nil })
}

// What comes next was removed while nobody streamed, and the stores have what came before: that is said, the beginning
// that was received is kept, and streaming goes on behind the gap.
func TestStreamGoesOnBehindWhatTheServerHasRemoved(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "max_slot_wal_keep_size = 2MB", "min_wal_size = 2MB", "max_wal_size = 3MB"))
	system := systemOf(t, s)
	st0 := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_behind", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 100 * time.Millisecond,
	}
	s.Exec(t, "postgres", "create table t (x text)")
	run := startStream(t, st0)
	name := func() string {
		return strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_lsn())"))
	}
	stored := func(segment string) {
		t.Helper()
		object := object(t, system, segment)
		testkit.Await(t, segment, 20*time.Second, func() bool { _, err := st.Stat(t.Context(), object); return err == nil })
	}
	// A segment that ends before the slot is there is not streamed.
	testkit.Await(t, "the slot in use", 20*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	before := name()
	s.Exec(t, "postgres", "insert into t values ('x')")
	s.Exec(t, "postgres", "select pg_switch_wal()")
	stored(before)
	run.stop(t)
	for range 8 {
		s.Exec(t, "postgres", "insert into t select repeat(md5(i::text), 30) from generate_series(1, 1000) i; select pg_switch_wal(); checkpoint")
	}
	if got := strings.TrimSpace(s.Query(t, "postgres", "select wal_status from pg_replication_slots")); got != "lost" {
		t.Fatalf("the slot is %s", got)
	}
	run = startStream(t, st0)
	testkit.Await(t, "both warnings", 20*time.Second, func() bool {
		return run.saidSo("cofre_behind was invalidated") != "" && run.saidSo("cannot be received any more") != ""
	})
	after := name()
	s.Exec(t, "postgres", "insert into t values ('x')")
	s.Exec(t, "postgres", "select pg_switch_wal()")
	stored(after)
	told := run.gaps()
	if len(told) != 1 || told[0].System != system || told[0].Timeline != 1 || told[0].From <= before || told[0].To < told[0].From || told[0].To >= after || !told[0].Alarm {
		t.Errorf("told of the gaps %+v", told)
	}
	inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := must(pgdata.ParseSegment(before, 1<<20))(t)
	status := wal.StatusOf(inv, []recovery.BaseBackup{{Point: "base", SystemID: system, Timeline: 1, Start: first.Start(1 << 20), Stop: first.Start(1<<20) + 1, StoppedAt: time.Now()}})
	if len(status.Gaps) != 1 || status.Gaps[0].From <= before || status.Gaps[0].To >= after || !status.Gaps[0].Alarm {
		t.Errorf("the gap between %s and %s is %+v", before, after, status.Gaps)
	}
	if strings.Count(run.saidSo("base backup now"), "\n") > 2 {
		t.Errorf("it says again and again: %s", run.saidSo("base backup now"))
	}
	run.stop(t)
}

// failing stores nothing while it is told to be down.
type failing struct {
	cofre.Store
	down atomic.Bool
}

func newFailing(st cofre.Store) *failing {
	f := &failing{}
	f.Store = storetest.Before(st, func(verb storetest.Verb, name string) error {
		if verb == storetest.Create && f.down.Load() {
			return fmt.Errorf("store %s: %w", name, cofre.ErrUnreachable)
		}
		return nil
	})
	return f
}

// While the repository is down WAL waits in a bounded spool; the server waits when that is full; nothing is lost.
func TestStreamOutlivesARepositoryThatIsDown(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica"))
	down := newFailing(st)
	st0 := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_down", Archives: []wal.Archive{{Store: down, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), SpoolLimit: 5 << 20, Flush: 100 * time.Millisecond,
	}
	run := startStream(t, st0)
	testkit.Await(t, "a slot", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	s.Exec(t, "postgres", "create table t (x text)")
	down.down.Store(true)
	for range 10 {
		s.Exec(t, "postgres", "insert into t select repeat(md5(i::text), 30) from generate_series(1, 900) i")
	}
	testkit.Await(t, "both warnings", 10*time.Second, func() bool {
		return run.saidSo("its disk fills") != "" && run.saidSo("did not take it") != ""
	})
	files, _ := filepath.Glob(filepath.Join(st0.Spool, "stream/*/*"))
	var bytes int64
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil {
			bytes += fi.Size()
		}
	}
	if bytes > 6<<20 {
		t.Errorf("%d bytes in the spool", bytes)
	}
	down.down.Store(false)
	last := strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_switch_wal())"))
	object := object(t, systemOf(t, s), last)
	testkit.Await(t, last, 20*time.Second, func() bool { _, err := st.Stat(t.Context(), object); return err == nil })
	inv, err := wal.ReadInventory(t.Context(), st, systemOf(t, s), 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	for seg := range inv.Segments {
		if next := seg.Next(); next.Name(1<<20) <= last && !inv.Segments[next] {
			t.Errorf("%s is missing", next.Name(1<<20))
		}
	}
	run.stop(t)
}

// A second stream on the spool of one that runs takes nothing for left over: it ends, and the first one goes on.
func TestStreamsDoNotShareASpool(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica"))
	c := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_one", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 50 * time.Millisecond,
	}
	run := startStream(t, c)
	s.Exec(t, "postgres", "create table t as select 1 as x")
	system := systemOf(t, s)
	reached := func() bool {
		t.Helper()
		file, err := pgdata.ParseWALName(strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_flush_lsn())")))
		if err != nil {
			t.Fatal(err)
		}
		to, err := strconv.Atoi(strings.TrimSpace(s.Query(t, "postgres", "select file_offset from pg_walfile_name_offset(pg_current_wal_flush_lsn())")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := wal.JoinParts(t.Context(), st, id, system, file)
		want := mustRead(t, filepath.Join(s.DataDir, "pg_wal", file.String()))
		return err == nil && len(got) >= to && bytes.Equal(got[:to], want[:to])
	}
	testkit.Await(t, "the beginning in the repository", 20*time.Second, reached)
	for _, slot := range []string{"cofre_one", "cofre_two"} {
		other := c
		other.Slot = slot
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := stream.Run(ctx, other)
		cancel()
		if !errors.Is(err, cofre.ErrLocked) || !strings.Contains(cofre.Hint(err), "--spool") {
			t.Errorf("a second stream with slot %s: %v", slot, err)
		}
	}
	for range 5 {
		s.Exec(t, "postgres", "insert into t select 1 from generate_series(1, 100)")
		testkit.Await(t, "what was written since", 20*time.Second, reached)
	}
	if said := run.saidSo("warning"); said != "" {
		t.Errorf("the first says: %s", said)
	}
	run.stop(t)
	if n := s.Query(t, "postgres", "select count(*) from pg_replication_slots where slot_name = 'cofre_two'"); strings.TrimSpace(n) != "0" {
		t.Errorf("the refused one has made its slot")
	}
}

// What a stream that is ended could not bring to the repository is said to be on this host.
func TestStreamSaysWhatItLeavesBehind(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica"))
	down := newFailing(st)
	c := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_left", Archives: []wal.Archive{{Store: down, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 50 * time.Millisecond,
	}
	run := startStream(t, c)
	testkit.Await(t, "a slot", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	down.down.Store(true)
	s.Exec(t, "postgres", "create table t as select 1 as x")
	testkit.Await(t, "a warning", 10*time.Second, func() bool { return run.saidSo("did not take it") != "" })
	run.stop(t)
	if run.saidSo("stays in "+c.Spool) == "" {
		t.Errorf("it says: %s", run.saidSo(""))
	}
	down.down.Store(false)
	run = startStream(t, c)
	testkit.Await(t, "a beginning in the repository", 20*time.Second, func() bool {
		file, err := pgdata.ParseWALName(strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_flush_lsn())")))
		if err != nil {
			t.Fatal(err)
		}
		got, err := wal.JoinParts(t.Context(), st, id, systemOf(t, s), file)
		return err == nil && got != nil
	})
	run.stop(t)
	if said := run.saidSo("stays in"); said != "" {
		t.Errorf("with nothing left it says: %s", said)
	}
}

// A spool that has filled its disk is brought to the repository as soon as that is there, by the run that filled it and by one that begins with it. A disk
// that something else has filled ends the run.
func TestAStreamEmptiesASpoolThatFillsItsDisk(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica"))
	down := newFailing(st)
	c := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_disk", Archives: []wal.Archive{{Store: down, Recipient: id.Recipient()}},
		Spool: testkit.Mounted(t, 5<<20, []string{"true"}, []string{"mount", "-t", "tmpfs", "-o", "size=5m"}), Flush: 50 * time.Millisecond,
	}
	run := startStream(t, c)
	testkit.Await(t, "a slot", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	s.Exec(t, "postgres", "create table t (x text)")
	more := func() string {
		t.Helper()
		s.Exec(t, "postgres", "insert into t select repeat(md5(i::text), 30) from generate_series(1, 9000) i")
		return strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_switch_wal())"))
	}
	full := func() {
		t.Helper()
		testkit.Await(t, "a full disk", 20*time.Second, func() bool { return run.saidSo("the disk of the spool is full") != "" })
	}
	arrives := func(last string) {
		t.Helper()
		testkit.Await(t, last, 60*time.Second, func() bool {
			_, err := st.Stat(t.Context(), object(t, systemOf(t, s), last))
			return err == nil
		})
		inv, err := wal.ReadInventory(t.Context(), st, systemOf(t, s), 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		for seg := range inv.Segments {
			if next := seg.Next(); next.Name(1<<20) <= last && !inv.Segments[next] {
				t.Errorf("%s is missing", next.Name(1<<20))
			}
		}
	}
	down.down.Store(true)
	last := more()
	full()
	down.down.Store(false)
	arrives(last)

	down.down.Store(true)
	last = more()
	run.stop(t)
	run = startStream(t, c)
	full()
	down.down.Store(false)
	arrives(last)
	run.stop(t)

	if err := os.WriteFile(filepath.Join(c.Spool, "of another"), make([]byte, 6<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	more()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := stream.Run(ctx, c); !errors.Is(err, cofre.ErrDiskFull) || cofre.Hint(err) == "" {
		t.Errorf("a disk that others have filled: %v", err)
	}
}

// With Synchronous the store has every commit before the client hears of it.
func TestSynchronousStreamLosesNothing(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "synchronous_commit = on"))
	s.Exec(t, "postgres", "create table ledger (n int primary key)")
	base := baseBackup(t, s, root)
	run := startStream(t, stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_sync", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Synchronous: true,
	})
	testkit.Await(t, "a standby", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select count(*) from pg_stat_replication where state = 'streaming'")) == "1"
	})
	s.Exec(t, "postgres", "alter system set synchronous_standby_names = 'cofre'")
	s.Exec(t, "postgres", "select pg_reload_conf()")
	testkit.Await(t, "sync", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "select sync_state from pg_stat_replication")) == "sync"
	})
	conn := s.Conn(t, "postgres")
	began := time.Now()
	for i := range 100 {
		if _, err := conn.Exec(t.Context(), "insert into ledger values ($1)", i); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("100 synchronous commits in %s", time.Since(began))
	// The host is lost at this very moment: what the store holds now is all there is.
	copied := filepath.Join(root, "copied")
	if out, err := exec.Command("cp", "-a", filepath.Join(root, "repository"), copied).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	fetch := strings.Replace(self(t, root, "fetch", id.Recipient()), root+"/repository", copied, 1)
	if got := recoverTo(t, s, root, base, "", fetch, "select count(*) from public.ledger"); number(t, got) != 100 {
		t.Errorf("%s of 100 commits came back", got)
	}
	s.Exec(t, "postgres", "alter system reset synchronous_standby_names")
	s.Exec(t, "postgres", "select pg_reload_conf()")
	run.stop(t)
}
