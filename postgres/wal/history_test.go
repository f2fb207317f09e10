package wal_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// TestATimelineIsTakenOnce has many recoveries ask for a number at the same moment, as PostgreSQL does: each takes another,
// and none takes one that is used by a history, a base backup or segments alone.
func TestATimelineIsTakenOnce(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	const system = cofre.SystemID(7)
	recipient := wal.Archive{Store: st, Recipient: id.Recipient()}
	if err := wal.ArchiveHistory(t.Context(), []wal.Archive{recipient}, system, 2, []byte("1\t0/3000000\tno recovery target specified\n")); err != nil {
		t.Fatal(err)
	}
	// Of timeline 4 there are segments; nobody looks at what is in them. Of 3 there is a base backup.
	if err := st.Create(t.Context(), "wal/7/00000004/000000040000000000000005", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	taken := make([]cofre.Timeline, 8)
	var wg sync.WaitGroup
	for i := range taken {
		dir := filepath.Join(root, "recovery", pgdata.HistoryName(cofre.Timeline(i+1)))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			f := &fetch.Fetcher{Store: st, Identity: id, System: system, Claim: 1, Used: 3}
			for tli := cofre.Timeline(2); ; tli++ {
				switch answer, err := f.Fetch(t.Context(), pgdata.HistoryName(tli), filepath.Join(dir, "RECOVERYHISTORY")); answer {
				case fetch.Delivered:
				case fetch.Absent:
					taken[i] = tli
					return
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	seen := map[cofre.Timeline]bool{}
	for _, tli := range taken {
		if tli < 5 || tli > 12 || seen[tli] {
			t.Errorf("the timelines %v were taken, want 5 to 12", taken)
		}
		seen[tli] = true
	}
	// The server whose timeline it is has written its history, and asks for it again: its own is not replaced.
	pgWAL := filepath.Join(root, "pg_wal")
	if err := os.Mkdir(pgWAL, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pgWAL, "00000005.history"), []byte("1\t0/3000000\tbefore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	claims := &fetch.Fetcher{Store: st, Identity: id, System: system, Claim: 1, Used: 3}
	if answer, err := claims.Fetch(t.Context(), "00000005.history", filepath.Join(pgWAL, "RECOVERYHISTORY")); answer != fetch.Absent {
		t.Errorf("fetch the history that the server has written: %v, %v", answer, err)
	}
	// Whoever asks without a claim is not told that there is no timeline 4: it would take the number, or pass over it.
	f := &fetch.Fetcher{Store: st, Identity: id, System: system}
	answer, err := f.Fetch(t.Context(), "00000004.history", filepath.Join(root, "RECOVERYHISTORY"))
	if answer != fetch.Gap || !strings.Contains(err.Error(), "00000004.history is missing") || cofre.Hint(err) == "" {
		t.Errorf("fetch a history of which only segments are archived: %v", err)
	}
	if answer, err := f.Fetch(t.Context(), "00000005.history", filepath.Join(root, "RECOVERYHISTORY")); answer != fetch.Absent {
		t.Errorf("fetch the history of a timeline that is only reserved: %v", err)
	}
	found, err := check.Histories(t.Context(), st, id)
	if err != nil || len(found) != 1 || !strings.HasSuffix(found[0].Object, "00000004.history") {
		t.Errorf("findings %+v, %v", found, err)
	}
	inv, err := wal.ReadInventory(t.Context(), st, system, 0, func() (wal.Identity, error) { return id, nil })
	if err != nil {
		t.Fatal(err)
	}
	if orphans := inv.Orphans(); len(orphans) != 1 || orphans[0] != 4 {
		t.Errorf("orphans %v", orphans)
	}
}

// TestAHistoryIsDerivedFromTheWAL compares what is derived with what the server has written, for both records with which a recovery
// ends: a shutdown checkpoint at the end of the WAL, and the end of recovery of a standby that is promoted. Later timelines need those before.
func TestAHistoryIsDerivedFromTheWAL(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Conf("restore_command = 'false'", "hot_standby = on"))
		for _, signal := range []string{"recovery.signal", "standby.signal", "standby.signal"} {
			s.Exec(t, "postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000); DROP TABLE t")
			if err := s.Stop(t.Context(), throwaway.Immediate); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.DataDir, signal), nil, 0o666); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if signal == "standby.signal" {
				s.Promote(t)
			}
			testkit.Await(t, "the promotion", time.Minute, func() bool { return s.Query(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
		}
		dir := filepath.Join(s.DataDir, "pg_wal")
		inv := &wal.Inventory{}
		inv.SegmentSize, inv.Segments, inv.Histories = 16<<20, map[pgdata.Segment]bool{}, map[cofre.Timeline]pgdata.History{}
		files, err := filepath.Glob(filepath.Join(dir, "0000000[1-9]????????????????"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			seg, err := pgdata.ParseSegment(filepath.Base(path), inv.SegmentSize)
			if err != nil {
				t.Fatal(err)
			}
			inv.Segments[seg] = true
		}
		read := func(name pgdata.WALName) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name.String())) }
		if h, err := check.DeriveHistory(inv, 4, read); err == nil {
			t.Errorf("derived without its parent's history: %+v", h)
		}
		for tli := cofre.Timeline(2); tli <= 4; tli++ {
			b, err := read(pgdata.HistoryOf(tli))
			if err != nil {
				t.Fatal(err)
			}
			server, err := pgdata.ParseHistory(tli, b)
			if err != nil {
				t.Fatal(err)
			}
			derived, err := check.DeriveHistory(inv, tli, read)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(server.Derived(), derived); d != "" {
				t.Errorf("timeline %d (server, derived):\n%s", tli, d)
			}
			inv.Histories[tli] = derived
		}
	})
}

// TestADerivedHistoryIsTheServersIfItsForksAre hands a server's history over after it was derived: the same forks are accepted, others
// are not.
func TestADerivedHistoryIsTheServersIfItsForksAre(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	const system = cofre.SystemID(7)
	to := wal.Archive{Store: st, Recipient: id.Recipient()}
	own, other := []byte("1\t0/3000000\tafter LSN 0/2FFFF00\n"), []byte("1\t0/4000000\tafter LSN 0/2FFFF00\n")
	h, err := pgdata.ParseHistory(2, own)
	if err != nil {
		t.Fatal(err)
	}
	name := pgdata.HistoryOf(2)
	if _, err := wal.Restore(t.Context(), to, system, name, h.Derived().Encode()); err != nil {
		t.Fatal(err)
	}
	if err := wal.ArchiveHistory(t.Context(), []wal.Archive{to}, system, 2, own); err != nil {
		t.Errorf("the server's own: %v", err)
	}
	if err := wal.ArchiveHistory(t.Context(), []wal.Archive{to}, system, 2, other); !errors.Is(err, cofre.ErrExists) {
		t.Errorf("another: got %v, want ErrExists", err)
	}
	for text, want := range map[string]bool{string(own): true, string(other): false} {
		if got, err := wal.Holds(t.Context(), to, system, name, []byte(text)); got != want || err != nil {
			t.Errorf("holds %q: got %v, %v, want %v", text, got, err, want)
		}
	}
}
