package wal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/stream"
)

// standbyOf starts a standby of a server, made of a base backup.
func standbyOf(t *testing.T, primary *testkit.Server, root, base string, settings ...string) *testkit.Server {
	t.Helper()
	dir := filepath.Join(root, "standby")
	if out, err := exec.Command("cp", "-a", base, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v: %s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	settings = append(settings, fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=postgres application_name=standby'", primary.Socket, primary.Port))
	if _, err := fmt.Fprintf(conf, "\n%s\n", strings.Join(settings, "\n")); err != nil || conf.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: primary.BinDir, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &testkit.Server{Server: s}
}

func fillLedger(t *testing.T, s *testkit.Server, from, to int) {
	t.Helper()
	s.Exec(t, "postgres", fmt.Sprintf("insert into ledger select i, repeat(md5(i::text), 20) from generate_series(%d, %d) i", from, to))
}

// A standby that was restarted counts what it has replayed, which is less than what was streamed from it: that is no loss.
func TestStreamWaitsForAStandbyThatWasRestarted(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	primary := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "wal_keep_size = 64MB"))
	system := systemOf(t, primary)
	primary.Exec(t, "postgres", "create table ledger (n int primary key, filler text)")
	second := standbyOf(t, primary, root, baseBackup(t, primary, root), "recovery_min_apply_delay = '1h'")
	run := startStream(t, stream.Config{
		Postgres: second.Config("postgres"), Slot: "cofre_standby", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 200 * time.Millisecond,
	})
	reached := func() bool {
		lsn := must(cofre.ParseLSN(strings.TrimSpace(primary.Query(t, "postgres", "select pg_current_wal_flush_lsn()"))))(t)
		seg := pgdata.SegmentAt(1, lsn-1, 1<<20)
		inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
		return err == nil && (inv.Segments[seg] || seg.Start(1<<20)+cofre.LSN(inv.Unfinished[seg]) >= lsn)
	}
	for i := range 8 { // each waits for an hour to be replayed
		fillLedger(t, primary, 500*i+1, 500*i+500)
	}
	testkit.Await(t, "what the standby has received", 30*time.Second, reached)

	if err := primary.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	if err := second.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the standby that is behind", 30*time.Second, func() bool { return strings.Contains(run.saidSo("the standby has WAL up to"), "it is waited for") })
	if err := primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	second.Exec(t, "postgres", "alter system set recovery_min_apply_delay = 0")
	second.Exec(t, "postgres", "select pg_reload_conf()")
	fillLedger(t, primary, 4001, 5000)
	testkit.Await(t, "what comes after the restart", 60*time.Second, reached)
	if said := run.saidSo("base backup now"); said != "" {
		t.Errorf("it asked for a base backup: %s", said)
	}
	run.stop(t)
	inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t)
	if err := inv.ReadChain(t.Context(), st); err != nil || len(inv.Breaks) > 0 {
		t.Errorf("the chain: %+v, %v", inv.Breaks, err)
	}
}

// A failover that is taken back: the server is on timeline 1 again, while a segment of timeline 2 is being received.
func TestStreamGoesBackToAnOlderTimeline(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	primary := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "wal_keep_size = 64MB"))
	system := systemOf(t, primary)
	primary.Exec(t, "postgres", "create table ledger (n int primary key, filler text)")
	second := standbyOf(t, primary, root, baseBackup(t, primary, root))
	// Whichever of the two is up, the promoted one first.
	at := postgres.Config{URL: fmt.Sprintf("postgres:///postgres?host=%s,%s&port=%d,%d&sslmode=disable", second.Socket, primary.Socket, second.Port, primary.Port), User: "postgres"}
	fillLedger(t, primary, 1, 1000)
	testkit.Await(t, "the standby", 30*time.Second, func() bool {
		return strings.TrimSpace(primary.Query(t, "postgres", "select count(*) from pg_stat_replication where replay_lsn = pg_current_wal_lsn() and application_name = 'standby'")) == "1"
	})
	if err := primary.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	second.Promote(t)
	run := startStream(t, stream.Config{
		Postgres: at, Slot: "cofre_back", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 200 * time.Millisecond,
	})
	reached := func(s *testkit.Server, tli cofre.Timeline) func() bool {
		lsn := must(cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select pg_current_wal_flush_lsn()"))))(t)
		seg := pgdata.SegmentAt(tli, lsn-1, 1<<20)
		return func() bool {
			inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, func() (wal.Identity, error) { return id, nil })
			return err == nil && (inv.Segments[seg] || seg.Start(1<<20)+cofre.LSN(inv.Unfinished[seg]) >= lsn)
		}
	}
	fillLedger(t, second, 2001, 3000)
	testkit.Await(t, "timeline 2", 30*time.Second, reached(second, 2))

	if err := second.Stop(t.Context(), throwaway.Fast); err != nil {
		t.Fatal(err)
	}
	if err := primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the slot on the old server", 60*time.Second, func() bool {
		return strings.TrimSpace(primary.Query(t, "postgres", "select count(*) from pg_replication_slots where active")) == "1"
	})
	fillLedger(t, primary, 4001, 5000)
	testkit.Await(t, "timeline 1", 60*time.Second, reached(primary, 1))
	if said := run.saidSo("the server is on timeline 1"); !strings.Contains(said, "base backup now") {
		t.Errorf("it said %q", run.saidSo(""))
	}
	run.stop(t)
}
