package wal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
	"github.com/trustlayer/cofre/postgres/wal/stream"
)

// A segment that PostgreSQL is told of is on the disk under its name: recovery removes nothing that it may need after a
// crash of the machine.
func TestADeliveredSegmentIsSynced(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[0])); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "pg_wal", "RECOVERYXLOG")
	f := &fetch.Fetcher{Store: st, Identity: id, System: system}
	for _, failing := range []durable.Op{"", durable.OpSync, durable.OpRename, durable.OpSyncDir} {
		os.Remove(to)
		var seen []durable.Op
		stop := durable.Watch(func(s durable.Step) error {
			if !strings.HasPrefix(s.Path, dir) {
				return nil
			}
			seen = append(seen, s.Op)
			if s.Op == failing {
				return syscall.EIO
			}
			return nil
		})
		answer, err := f.Fetch(t.Context(), segments[0], to)
		stop()
		if failing == "" {
			if want := []durable.Op{durable.OpSync, durable.OpRename, durable.OpSyncDir}; err != nil || !slices.Equal(seen, want) {
				t.Errorf("steps %v, want %v: %v", seen, want, err)
			}
			continue
		}
		if !errors.Is(err, syscall.EIO) || answer.Exit() < 126 {
			t.Errorf("%s fails: exit %d, %v", failing, answer.Exit(), err)
		}
	}
}

// TestWhatIsFetchedSurvivesACrash: from the repository, and out of the spool, which itself may be lost.
func TestWhatIsFetchedSurvivesACrash(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	for _, name := range segments[:3] {
		if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, get := range map[string]func(f *fetch.Fetcher, to string) error{
		"from the repository": func(f *fetch.Fetcher, to string) error {
			_, err := f.Fetch(t.Context(), segments[1], to)
			return err
		},
		"out of the spool": func(f *fetch.Fetcher, to string) error {
			f.Spool = filepath.Join(filepath.Dir(filepath.Dir(to)), "spool")
			_, err := f.Fetch(t.Context(), segments[0], to)
			if err == nil {
				err = f.PrefetchAfter(t.Context(), segments[0])
			}
			if _, statErr := os.Stat(filepath.Join(f.Spool, "fetched", system.String(), segments[1])); err == nil && statErr != nil {
				t.Errorf("nothing is in the spool: %v", statErr)
			}
			if err == nil {
				f.Store = nil // it would be asked
				_, err = f.Fetch(t.Context(), segments[1], to)
			}
			return err
		},
	} {
		prepare := func() (string, func() error) {
			root := t.TempDir()
			to := filepath.Join(root, "pg_wal", "RECOVERYXLOG")
			if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil {
				t.Fatal(err)
			}
			return root, func() error { return get(&fetch.Fetcher{Store: st, Identity: id, System: system}, to) }
		}
		root, do := prepare()
		lost, err := durabletest.Lost(root, do, "spool")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, what := range lost {
			t.Errorf("%s: a crash takes %s", name, strings.ReplaceAll(what, root, ""))
		}
		if want, got := mustRead(t, filepath.Join(dir, "pg_wal", segments[1])), mustRead(t, filepath.Join(root, "pg_wal", "RECOVERYXLOG")); !bytes.Equal(got, want) {
			t.Errorf("%s: another segment was delivered", name)
		}
		// What the spool cannot take is fetched when it is asked for.
		durabletest.StepsFail(t, func(s durable.Step) bool { return !strings.Contains(s.Path, "/spool/") }, prepare)
	}
}

// The server is told that WAL is flushed when it is synced, and not before: what it then removes is not the last copy.
func TestAStreamReportsWhatIsSynced(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica"))
	spool := filepath.Join(root, "streamed")
	streamer := stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_sync", Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Spool: spool, Flush: 50 * time.Millisecond,
	}
	var failing atomic.Bool
	var mu sync.Mutex
	synced := 0
	stop := durable.Watch(func(step durable.Step) error {
		if step.Op != durable.OpSync || !strings.HasPrefix(step.Path, spool) {
			return nil
		}
		if failing.Load() {
			return syscall.EIO
		}
		mu.Lock()
		defer mu.Unlock()
		synced++
		return nil
	})
	defer stop()
	run := startStream(t, streamer)
	flushed := func() cofre.LSN {
		lsn, err := cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select coalesce(max(confirmed), '0/0') from (select restart_lsn as confirmed from pg_replication_slots where slot_name = 'cofre_sync') s")))
		if err != nil {
			t.Fatal(err)
		}
		return lsn
	}
	s.Exec(t, "postgres", "create table t as select 1 as x")
	now, err := cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select pg_current_wal_flush_lsn()")))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the flush", 20*time.Second, func() bool { return flushed() >= now })
	mu.Lock()
	if synced == 0 {
		t.Error("the server was told that WAL is flushed, and nothing was synced")
	}
	mu.Unlock()

	// From here on the disk does not take a sync: nothing more may be reported.
	failing.Store(true)
	before := flushed()
	s.Exec(t, "postgres", "insert into t values (2)")
	testkit.Await(t, "a warning or an end", 20*time.Second, func() bool {
		select {
		case err := <-run.done:
			run.done <- err
			return true
		default:
			return run.saidSo("input/output error") != ""
		}
	})
	if after := flushed(); after != before {
		t.Errorf("the server was told %s after a sync had failed at %s", after, before)
	}
	failing.Store(false)
	select {
	case err := <-run.done: // it may end with the error, which is told
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
		close(run.done)
	default:
	}
}
