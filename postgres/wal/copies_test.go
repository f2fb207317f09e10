package wal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
	"github.com/trustlayer/cofre/postgres/wal/stream"
)

// TestCopiesHaveKeysOfTheirOwn archives to two repositories, and reads from each what the other cannot give.
func TestCopiesHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	_, second, secondID := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st}, {Store: second}}}
	for _, s := range segments {
		if out, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)); err != nil || out.Stored != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	at := func(segment string) string { return object(t, system, segment) }
	if err := st.Delete(t.Context(), at(segments[1])); err != nil {
		t.Fatal(err)
	}
	damage(t, st, at(segments[2]))
	gone := fmt.Errorf("open: %w", cofre.ErrUnreachable)
	_, empty, emptyID := repository(t)
	_, last, _ := repository(t)
	opens := func(st cofre.Store, id wal.Identity, err error) *fetch.Copy {
		return &fetch.Copy{URL: "copy", Open: func(context.Context) (cofre.Store, wal.Identity, error) { return st, id, err }}
	}
	first := func(copies ...*fetch.Copy) *fetch.Fetcher {
		return &fetch.Fetcher{Store: st, Identity: id, System: system, Copies: copies}
	}
	const end = "0000000100000000000000F0"
	for _, c := range []struct {
		what, name string
		f          *fetch.Fetcher
		exit       int
		warns      string
	}{
		{"both have it", segments[0], first(opens(second, secondID, nil)), 0, ""},
		{"the copy is not asked where it is not needed", segments[0], first(opens(nil, wal.Identity{}, gone)), 0, ""},
		{"lost in the first", segments[1], first(opens(second, secondID, nil)), 0, "gap in the WAL"},
		{"damaged in the first", segments[2], first(opens(second, secondID, nil)), 0, "corrupt"},
		{"the first cannot be opened", segments[2], &fetch.Fetcher{Unusable: gone, System: system, Copies: []*fetch.Copy{opens(second, secondID, nil)}}, 0, "unreachable"},
		{"damaged in the first, and the copy is down", segments[2], first(opens(nil, wal.Identity{}, gone)), 126, ""},
		{"all have been asked", end, first(opens(second, secondID, nil)), 1, ""},
		{"the copy cannot be asked", end, first(opens(nil, wal.Identity{}, gone)), 126, ""},
		{"the first cannot be asked", end, &fetch.Fetcher{Unusable: gone, System: system, Copies: []*fetch.Copy{opens(second, secondID, nil)}}, 126, ""},
		{"a copy without any WAL has no say", end, first(opens(empty, emptyID, nil)), 1, ""},
		{"a copy with the wrong key", end, first(opens(second, id, nil)), 1, ""},
		{"a history that nobody has", "00000002.history", first(opens(second, secondID, nil)), 1, ""},
		{"a history, and the copy cannot be asked", "00000002.history", first(opens(nil, wal.Identity{}, gone)), 126, ""},
		{"one of three is down", end, first(opens(second, secondID, nil), opens(nil, wal.Identity{}, gone)), 126, ""},
		{"no repository of this cluster", segments[0], &fetch.Fetcher{Store: empty, Identity: emptyID, System: system, Copies: []*fetch.Copy{opens(last, emptyID, nil)}}, 126, ""},
	} {
		warned := ""
		c.f.Warn = func(m cofre.Message) { warned += m.Text }
		to := filepath.Join(t.TempDir(), "fetched")
		answer, err := c.f.Fetch(t.Context(), c.name, to)
		if answer.Exit() != c.exit || (err == nil) != (answer == fetch.Delivered) {
			t.Errorf("%s: %s, exit %d: %v", c.what, answer, answer.Exit(), err)
		}
		if (c.warns == "") != (warned == "") || !strings.Contains(warned, c.warns) {
			t.Errorf("%s: warns %q, want %q", c.what, warned, c.warns)
		}
		if c.exit == 126 && cofre.Hint(err) == "" {
			t.Errorf("%s: no hint: %v", c.what, err)
		}
		if b, readErr := os.ReadFile(to); (readErr == nil) != (c.exit == 0) || c.exit == 0 && string(b) != string(mustRead(t, filepath.Join(dir, "pg_wal", c.name))) {
			t.Errorf("%s: %d bytes are there, %v", c.what, len(b), readErr)
		}
	}

	// The planner's view: what each misses, and what all have together.
	inv := must(wal.ReadInventory(t.Context(), st, system, 0, nil))(t)
	other := must(wal.ReadInventory(t.Context(), second, system, 0, nil))(t)
	missing := wal.Spans(wal.Missing(inv, wal.Together(inv, other)), inv.SegmentSize)
	if len(missing) != 1 || missing[0].From != segments[1] || missing[0].To != segments[1] || missing[0].Segments != 1 {
		t.Errorf("missing: %+v", missing)
	}
	if nothing := wal.Missing(other, wal.Together(inv, other)); len(nothing) != 0 {
		t.Errorf("missing in the copy: %+v", nothing)
	}
	inv.Merge(other)
	if len(inv.Segments) != len(segments) {
		t.Errorf("together they have %d segments, want %d", len(inv.Segments), len(segments))
	}

	// One that is down fails the call, and the other has the segment.
	down := newFailing(last)
	down.down.Store(true)
	a = &wal.Archiver{Archives: []wal.Archive{{Store: down}, {Store: empty}}}
	_, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[0]))
	if !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("one is down: %v", err)
	}
	if _, err := empty.Stat(t.Context(), at(segments[0])); err != nil {
		t.Errorf("the other has not got it: %v", err)
	}
}

// TestStreamServesEachCopyByItself has one of two repositories down: the other goes on receiving whole segments and
// the beginning of the next, and the one that was down catches up.
func TestStreamServesEachCopyByItself(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	_, second, secondID := repository(t)
	down := newFailing(second)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("wal_level = replica", "wal_keep_size = 64MB"))
	system := systemOf(t, s)
	s.Exec(t, "postgres", "create table t (x text)")
	run := startStream(t, stream.Config{
		Postgres: s.Config("postgres"), Slot: "cofre_copies", Archives: []wal.Archive{{Store: down, Recipient: secondID.Recipient()}, {Store: st, Recipient: id.Recipient()}},
		Spool: filepath.Join(root, "streamed"), Flush: 100 * time.Millisecond,
	})
	has := func(st cofre.Store, object string) func() bool {
		return func() bool { _, err := st.Stat(t.Context(), object); return err == nil }
	}
	next := func() string {
		s.Exec(t, "postgres", "insert into t values ('x')") // at its very beginning, a segment would be named as the one before
		name := strings.TrimSpace(s.Query(t, "postgres", "select pg_walfile_name(pg_current_wal_insert_lsn())"))
		s.Exec(t, "postgres", "select pg_switch_wal()")
		return object(t, system, name)
	}
	before := next()
	testkit.Await(t, "the first segment in both", 20*time.Second, func() bool { return has(st, before)() && has(second, before)() })
	down.down.Store(true)
	var during []string
	for range 3 {
		during = append(during, next())
	}
	s.Exec(t, "postgres", "insert into t select md5(i::text) from generate_series(1, 1000) i") // more than a page
	for _, object := range during {
		testkit.Await(t, object+" where nothing is down", 20*time.Second, has(st, object))
	}
	reached := func(st cofre.Store) cofre.LSN {
		inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t)
		var to cofre.LSN
		for seg, n := range inv.Unfinished {
			to = max(to, seg.Start(1<<20)+cofre.LSN(n))
		}
		return to
	}
	written := must(cofre.ParseLSN(strings.TrimSpace(s.Query(t, "postgres", "select pg_current_wal_flush_lsn()"))))(t)
	testkit.Await(t, "the beginning of the next segment, too", 20*time.Second, func() bool { return reached(st) >= written })
	if has(second, during[0])() {
		t.Error("the one that is down has a segment")
	}
	down.down.Store(false)
	for _, object := range during {
		testkit.Await(t, object+" where it was down", 40*time.Second, has(second, object))
	}
	run.stop(t)
	left, _ := filepath.Glob(filepath.Join(root, "streamed", "stream", "*", "*"))
	for _, path := range left {
		if pgdata.IsSegmentName(filepath.Base(path)) {
			t.Errorf("left in the spool: %s", path)
		}
	}
	if reached(second) < written {
		t.Errorf("the one that was down ends at %s, want %s", reached(second), written)
	}
}

// TestWhatIsMissingIsFilledIfItBelongs brings a segment from one repository into another that has lost it, and never one of another
// history, which the segments beside it speak against.
func TestWhatIsMissingIsFilledIfItBelongs(t *testing.T) {
	t.Parallel()
	_, st, _ := repository(t)
	_, second, secondID := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st}, {Store: second}}}
	for _, s := range segments[:4] {
		must(a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)))(t)
	}
	lost := must(pgdata.ParseWALName(segments[1]))(t)
	for _, name := range segments[1:4] { // the last is no hole: it may be on its way
		if name != segments[2] {
			if err := st.Delete(t.Context(), object(t, system, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := func(st cofre.Store) map[pgdata.WALName]bool { return must(check.Files(t.Context(), st, system))(t) }
	if holes := check.Holes(files(st), files(st), files(second)); len(holes) != 1 || holes[0] != lost {
		t.Errorf("holes: %v", holes)
	}
	if holes := check.Holes(files(second), files(st), files(second)); len(holes) != 0 {
		t.Errorf("holes of the other: %v", holes)
	}
	content := must(wal.Read(t.Context(), second, secondID, system, lost))(t)
	to := wal.Archive{Store: st}
	if _, err := wal.Restore(t.Context(), to, system, lost, rewritten(t, content)); !errors.Is(err, cofre.ErrExists) || stored(t, st, system, segments[1]) {
		t.Errorf("a segment of another history: %v, and it is stored: %t", err, stored(t, st, system, segments[1]))
	}
	if healed, err := wal.Restore(t.Context(), to, system, lost, content); err != nil || healed != "" || !stored(t, st, system, segments[1]) {
		t.Errorf("the lost segment: %q, %v", healed, err)
	}
	// A base backup that needs none of it leaves nothing to be missed.
	inv, other := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t), must(wal.ReadInventory(t.Context(), second, system, 1<<20, nil))(t)
	together := wal.Together(inv, other)
	last := must(pgdata.ParseSegment(segments[3], inv.SegmentSize))(t)
	at := func(start cofre.LSN) []recovery.BaseBackup {
		return []recovery.BaseBackup{{Point: "p", SystemID: system, Timeline: 1, Start: start, Stop: start + 100}}
	}
	if m := wal.MissingOf(inv, together, at(last.Start(inv.SegmentSize)), time.Time{}); len(m) != 1 || m[0] != last || !inv.Trails(wal.Spans(m, inv.SegmentSize)[0]) {
		t.Errorf("missing for a base backup in the last: %v", m)
	}
	if m := wal.MissingOf(inv, together, at(last.Next().Start(inv.SegmentSize)), time.Time{}); len(m) != 0 {
		t.Errorf("missing for a base backup behind it: %v", m)
	}
}
