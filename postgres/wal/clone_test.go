package wal_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// readyAll marks the segments of a data directory as waiting to be archived.
func readyAll(t *testing.T, dir string, segments ...string) {
	t.Helper()
	for _, s := range segments {
		if err := os.WriteFile(filepath.Join(dir, "pg_wal/archive_status", s+".ready"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func stored(t *testing.T, st cofre.Store, system cofre.SystemID, name string) bool {
	t.Helper()
	object := object(t, system, name)
	_, err := st.Stat(t.Context(), object)
	if err != nil && !errors.Is(err, cofre.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// changed writes over a file of pg_wal with one bit of a byte changed, as if another server had written it.
func changed(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func notes(t *testing.T, st cofre.Store, system cofre.SystemID) string {
	t.Helper()
	inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, n := range inv.Notes {
		all = append(all, string(n.Kind)+" "+n.Name)
	}
	return strings.Join(all, ", ")
}

// A clone won one segment. Wherever it is in what waits, nothing behind it is archived ahead: by this call, by the
// calls of the server after it, by another process after a restart, and beside a history or the file of a backup.
func TestNothingIsArchivedAheadOfARefusedFile(t *testing.T) {
	t.Parallel()
	for won := range 4 {
		_, st, id := repository(t)
		dir, system, segments := dataDir(t)
		at := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
		original, _ := os.ReadFile(at(won))
		changed(t, at(won), 600_000)
		plain := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
		if _, err := plain.Archive(t.Context(), at(won)); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(at(won), original, 0o644)
		readyAll(t, dir, segments...)
		for range 2 { // the server asks again, and again after a restart
			for i := range won + 1 {
				a := &wal.Archiver{Archives: plain.Archives, Spool: filepath.Join(dir, "spool"), Jobs: 4}
				_, err := a.Archive(t.Context(), at(i))
				if i < won && err != nil || i == won && !errors.Is(err, cofre.ErrExists) {
					t.Errorf("segment %d of which %d was won: %v", i, won, err)
				}
				if i < won {
					os.Rename(filepath.Join(dir, "pg_wal/archive_status", segments[i]+".ready"), filepath.Join(dir, "pg_wal/archive_status", segments[i]+".done"))
				}
				for behind := won + 1; behind < len(segments); behind++ {
					if stored(t, st, system, segments[behind]) {
						t.Fatalf("segment %d was archived, and %d before it refused", behind, won)
					}
				}
			}
			readyAll(t, dir, segments...)
		}
		if got, want := notes(t, st, system), "refused "+segments[won]; !strings.Contains(got, want) || strings.Count(got, "refused") != 1 {
			t.Errorf("noted: %s, want %s once", got, want)
		}
	}
}

// A copy that refuses keeps what is behind from every repository; one that is down keeps it from itself alone.
func TestOneRepositoryThatRefusesEndsTheLine(t *testing.T) {
	t.Parallel()
	_, first, id := repository(t)
	_, second, _ := repository(t)
	dir, system, segments := dataDir(t)
	at := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
	original, _ := os.ReadFile(at(1))
	changed(t, at(1), 600_000)
	if _, err := (&wal.Archiver{Archives: []wal.Archive{{Store: second, Recipient: id.Recipient()}}}).Archive(t.Context(), at(1)); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(at(1), original, 0o644)
	readyAll(t, dir, segments...)
	both := []wal.Archive{{Store: first, Recipient: id.Recipient()}, {Store: second, Recipient: id.Recipient()}}
	a := &wal.Archiver{Archives: both, Spool: filepath.Join(dir, "spool")}
	if _, err := a.Archive(t.Context(), at(0)); err != nil {
		t.Fatal(err)
	}
	if stored(t, first, system, segments[2]) || stored(t, second, system, segments[2]) {
		t.Error("what is behind a segment that one repository refused was archived")
	}

	_, first, _ = repository(t)
	down := []wal.Archive{{Store: first, Recipient: id.Recipient()}, {Unusable: cofre.ErrUnreachable}}
	a = &wal.Archiver{Archives: down, Spool: filepath.Join(dir, "spool2")}
	if _, err := a.Archive(t.Context(), at(0)); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("with one repository down: %v", err)
	}
	if !stored(t, first, system, segments[len(segments)-1]) {
		t.Error("a repository that is down kept segments from the other")
	}
}

// The file of a backup that is refused, and one that is older and waits, hold back what is behind them too.
func TestOtherFilesHoldTheLine(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	backups, _ := filepath.Glob("../pgdata/testdata/15/*.backup")
	text, err := os.ReadFile(backups[0])
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(backups[0]) // of the third segment
	file := filepath.Join(dir, "pg_wal", name)
	plain := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	os.WriteFile(file, []byte(strings.Replace(string(text), "LABEL: ", "LABEL: of a clone ", 1)), 0o644)
	if _, err := plain.Archive(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(file, text, 0o644)
	readyAll(t, dir, append(segments, name)...)
	a := &wal.Archiver{Archives: plain.Archives, Spool: filepath.Join(dir, "spool")}
	if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[0])); err != nil {
		t.Fatal(err)
	}
	if !stored(t, st, system, name[:24]) || stored(t, st, system, segments[3]) {
		t.Errorf("%s is refused: before it %v, behind it %v: %s", name, stored(t, st, system, name[:24]), stored(t, st, system, segments[3]), notes(t, st, system))
	}
	// An older segment waits: it may be refused.
	if out, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[1])); err != nil || out.Ahead != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

// Whatever way a segment of another history came into an archive, the archiver of the next one says so and remembers it,
// and who lists the archive finds it.
func TestNeighboursOfTwoHistoriesAreFound(t *testing.T) {
	t.Parallel()
	for _, spool := range []string{"", "spool"} {
		_, st, id := repository(t)
		dir, system, segments := dataDir(t)
		a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
		if spool != "" {
			a.Spool = filepath.Join(dir, spool)
		}
		at := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
		archive := func(i int) wal.Archived {
			t.Helper()
			out, err := a.Archive(t.Context(), at(i))
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		archive(0)
		// The clone's second segment. Its records are whole, of the same lengths: its bytes alone differ.
		original, _ := os.ReadFile(at(1))
		other := mustRead(t, at(1))
		other = rewritten(t, other)
		os.WriteFile(at(1), other, 0o644)
		clone := &wal.Archiver{Archives: a.Archives}
		if _, err := clone.Archive(t.Context(), at(1)); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(at(1), original, 0o644)
		out := archive(2) // somebody took the refused one out of the queue
		if spool != "" && !strings.Contains(out.Unrelated, "does not follow "+segments[1]) {
			t.Errorf("%+v", out)
		}
		archive(3)
		inv, err := wal.ReadInventory(t.Context(), st, system, 1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := inv.ReadChain(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		seg, _ := pgdata.ParseSegment(segments[2], 1<<20)
		if b, ok := inv.Breaks[seg]; !ok || b.At != seg.Start(1<<20) || len(inv.Breaks) != 1 {
			t.Errorf("spool %q: breaks %+v", spool, inv.Breaks)
		}
	}
}

// rewritten changes one byte of the last record of a segment that is whole in it, and its checksum with it.
func rewritten(t *testing.T, b []byte) []byte {
	t.Helper()
	h, err := pgdata.ParseWALPage(b)
	if err != nil {
		t.Fatal(err)
	}
	w := pgdata.NewWalker(int64(len(b)))
	var start, end int
	for page := range slices.Chunk(b, pgdata.WALPageSize) {
		w.Page(page, func(r pgdata.Record) bool {
			s, e := int(r.Start-h.Address), int(r.End-h.Address)
			if s/pgdata.WALPageSize == (e-1)/pgdata.WALPageSize && e-s > 60 {
				start, end = s, e
			}
			return true
		})
	}
	out := slices.Clone(b)
	r := out[start:end]
	r[len(r)-1] ^= 1
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(r[20:], crc32.Update(crc32.Checksum(r[24:], table), table, r[:20]))
	if c := pgdata.ChainOf(out, int64(len(out))); c.Break != 0 {
		t.Fatalf("rewritten: %+v", c)
	}
	return out
}
