package wal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// archiveAll archives segments of a data directory.
func archiveAll(t *testing.T, st cofre.Store, id wal.Identity, dir string, segments ...string) {
	t.Helper()
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	for _, s := range segments {
		if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)); err != nil {
			t.Fatal(err)
		}
	}
}

func readObject(t *testing.T, st cofre.Store, name string) []byte {
	t.Helper()
	r, err := st.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return must(io.ReadAll(r))(t)
}

func replaceObject(t *testing.T, st cofre.Store, name string, b []byte) {
	t.Helper()
	if err := st.Replace(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

// sealedByHand is an object as anybody with the recipient can make it: without a digest in its header.
func sealedByHand(t *testing.T, id wal.Identity, content []byte) []byte {
	t.Helper()
	r, err := age.ParseX25519Recipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := must(age.Encrypt(&b, r))(t)
	z := must(zstd.NewWriter(w))(t)
	if _, err := z.Write(content); err != nil || z.Close() != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is stored under the name of a segment and is not that segment is not delivered: another whole object of the same
// repository, one without a digest, one of another system, one that is cut off.
func TestASegmentSwappedForAnotherIsNotDelivered(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments...)
	name := object(t, system, segments[1])
	own := mustRead(t, filepath.Join(dir, "pg_wal", segments[1]))
	of := func(change func([]byte)) []byte {
		b := bytes.Clone(own)
		change(b)
		return b
	}
	to := filepath.Join(dir, "pg_wal", "RECOVERYXLOG")
	f := &fetch.Fetcher{Store: st, Identity: id, System: system}
	for what, c := range map[string]struct {
		object []byte
		want   error
	}{
		"another object":             {readObject(t, st, object(t, system, segments[2])), cofre.ErrCorrupt},
		"another without a digest":   {sealedByHand(t, id, mustRead(t, filepath.Join(dir, "pg_wal", segments[2]))), cofre.ErrCorrupt},
		"of another system":          {sealedByHand(t, id, of(func(b []byte) { b[24] ^= 1 })), cofre.ErrRefused},
		"of a younger timeline":      {sealedByHand(t, id, of(func(b []byte) { b[4] = 9 })), cofre.ErrCorrupt},
		"cut off":                    {sealedByHand(t, id, own[:len(own)/2]), cofre.ErrCorrupt},
		"more than it":               {sealedByHand(t, id, append(bytes.Clone(own), 0)), cofre.ErrCorrupt},
		"nothing":                    {sealedByHand(t, id, nil), cofre.ErrCorrupt},
		"an object that is cut off":  {readObject(t, st, name)[:5000], cofre.ErrCorrupt},
		"an object that is no age's": {[]byte("not found\n"), cofre.ErrCorrupt},
	} {
		replaceObject(t, st, name, c.object)
		answer, err := f.Fetch(t.Context(), segments[1], to)
		if answer != fetch.Unknown || !errors.Is(err, c.want) {
			t.Errorf("%s: %s, %v", what, answer, err)
		}
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("%s was delivered", what)
		}
	}
	// What is right is delivered, whoever wrote it: objects of before have no digest.
	replaceObject(t, st, name, sealedByHand(t, id, own))
	if answer, err := f.Fetch(t.Context(), segments[1], to); answer != fetch.Delivered || !bytes.Equal(mustRead(t, to), own) {
		t.Errorf("without a digest: %s, %v", answer, err)
	}
}

// A file of the spool that is not the segment of its name is not delivered; the repository's is.
func TestAFileOfTheSpoolSwappedForAnotherIsNotDelivered(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments...)
	to := filepath.Join(dir, "pg_wal", "RECOVERYXLOG")
	f := &fetch.Fetcher{Store: st, Identity: id, System: system, Spool: filepath.Join(dir, "spool"), Prefetch: 2, Background: func(string) error { return nil }}
	spooled := filepath.Join(f.Spool, "fetched", system.String(), segments[1])
	want := mustRead(t, filepath.Join(dir, "pg_wal", segments[1]))
	foreign := bytes.Clone(want)
	foreign[24] ^= 1
	for what, b := range map[string][]byte{
		"another segment": mustRead(t, filepath.Join(dir, "pg_wal", segments[2])),
		"half of it":      want[:len(want)/2],
		"another system":  foreign,
		"nothing":         nil,
	} {
		if err := f.PrefetchAfter(t.Context(), segments[0]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mustRead(t, spooled), want) {
			t.Fatal("it was not fetched ahead")
		}
		if err := os.WriteFile(spooled, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if answer, err := f.Fetch(t.Context(), segments[1], to); answer != fetch.Delivered || !bytes.Equal(mustRead(t, to), want) {
			t.Errorf("%s in the spool: %s, %v", what, answer, err)
		}
		os.Remove(spooled)
	}
}

// What was fetched ahead is delivered by a name that is durable, without asking the repository; if it cannot be made
// durable, nothing is said to be delivered.
func TestWhatWasFetchedAheadIsDeliveredDurably(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments...)
	spool := filepath.Join(dir, "spool")
	if err := (&fetch.Fetcher{Store: st, Identity: id, System: system, Spool: spool}).PrefetchAfter(t.Context(), segments[0]); err != nil {
		t.Fatal(err)
	}
	f := &fetch.Fetcher{Unusable: cofre.ErrUnreachable, System: system, Spool: spool, Background: func(string) error { return nil }}
	to := filepath.Join(dir, "pg_wal", "RECOVERYXLOG")
	fetched := func(segment string, failing durable.Op) (seen []durable.Op, _ fetch.Answer, _ error) {
		defer durable.Watch(func(s durable.Step) error {
			if !strings.HasPrefix(s.Path, filepath.Dir(to)) {
				return nil
			}
			seen = append(seen, s.Op)
			if s.Op == failing {
				return syscall.EIO
			}
			return nil
		})()
		answer, err := f.Fetch(t.Context(), segment, to)
		return seen, answer, err
	}
	seen, answer, err := fetched(segments[1], "")
	if answer != fetch.Delivered || !slices.Equal(seen, []durable.Op{durable.OpSyncDir}) || !bytes.Equal(mustRead(t, to), mustRead(t, filepath.Join(dir, "pg_wal", segments[1]))) {
		t.Errorf("%s after the steps %v: %v", answer, seen, err)
	}
	if _, answer, err := fetched(segments[2], durable.OpSyncDir); answer != fetch.Unknown || !errors.Is(err, syscall.EIO) {
		t.Errorf("the folder cannot be synced: %s, %v", answer, err)
	}
	// With edits it is written anew: the bytes without them are never at the path.
	want := mustRead(t, filepath.Join(dir, "pg_wal", segments[3]))
	edit := pgdata.Edit{At: must(pgdata.ParseSegment(segments[3], 1<<20))(t).Start(1<<20) + 5000, Old: want[5000], New: want[5000] ^ 0x55}
	want[5000] ^= 0x55
	f.Edits = []pgdata.Edit{edit}
	if seen, answer, err := fetched(segments[3], ""); answer != fetch.Delivered || !slices.Equal(seen, []durable.Op{durable.OpSync, durable.OpRename, durable.OpSyncDir}) || !bytes.Equal(mustRead(t, to), want) {
		t.Errorf("with edits: %s after the steps %v: %v", answer, seen, err)
	}
	f = &fetch.Fetcher{Store: st, Identity: id, System: system, Edits: f.Edits}
	if _, answer, err := fetched(segments[3], ""); answer != fetch.Delivered || !bytes.Equal(mustRead(t, to), want) {
		t.Errorf("with edits, from the repository: %s, %v", answer, err)
	}
	os.Remove(to)
	f.Edits[0].Old ^= 1
	f.Edits[0].New ^= 2
	if _, answer, err := fetched(segments[3], ""); answer != fetch.Unknown || !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("with an edit that does not fit: %s, %v", answer, err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a segment that an edit does not fit was delivered")
	}
}

// Of several repositories together: a gap that one knows of is a gap, if all were asked; the segments of a timeline whose
// history is missing count wherever they are; and what the server has itself it takes.
func TestAnswersOfSeveralRepositories(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	_, second, secondID := repository(t)
	_, third, thirdID := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments[0])
	archiveAll(t, second, secondID, dir, segments[0], segments[2])
	if err := second.Create(t.Context(), object(t, system, "000000040000000000000005"), strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	asCopy := func(st cofre.Store, id wal.Identity, err error) *fetch.Copy {
		return &fetch.Copy{URL: "copy", Open: func(context.Context) (cofre.Store, wal.Identity, error) { return st, id, err }}
	}
	to := filepath.Join(dir, "recovery", "RECOVERYXLOG")
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, name string
		copies     []*fetch.Copy
		want       fetch.Answer
		says       string
	}{
		{"one knows of a gap", segments[1], []*fetch.Copy{asCopy(second, secondID, nil)}, fetch.Gap, "segment " + segments[2] + " is there: gap"},
		{"one knows of a gap, and one is new", segments[1], []*fetch.Copy{asCopy(second, secondID, nil), asCopy(third, thirdID, nil)}, fetch.Gap, "gap"},
		{"one knows of a gap, and one is down", segments[1], []*fetch.Copy{asCopy(second, secondID, nil), asCopy(nil, wal.Identity{}, cofre.ErrUnreachable)}, fetch.Unknown, "not all could be asked"},
		{"the repository itself does not know of it", segments[1], nil, fetch.Absent, "not archived"},
		{"a history, with segments in a copy", "00000004.history", []*fetch.Copy{asCopy(second, secondID, nil)}, fetch.Gap, "00000004.history is missing"},
		{"a history, with segments nowhere", "00000005.history", []*fetch.Copy{asCopy(second, secondID, nil)}, fetch.Absent, "not archived"},
	} {
		f := &fetch.Fetcher{Store: st, Identity: id, System: system, Copies: c.copies}
		answer, err := f.Fetch(t.Context(), c.name, to)
		if answer != c.want || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s, %v", c.what, answer, err)
		}
		if answer == fetch.Gap && (cofre.Hint(err) == "" || strings.Contains(err.Error(), "asked")) {
			t.Errorf("%s: %v, hint %q", c.what, err, cofre.Hint(err))
		}
	}
	f := &fetch.Fetcher{Store: second, Identity: secondID, System: system}
	if err := os.WriteFile(filepath.Join(filepath.Dir(to), "00000004.history"), []byte("1\t0/3000000\tx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if answer, err := f.Fetch(t.Context(), "00000004.history", to); answer != fetch.Absent {
		t.Errorf("the server has the history itself: %s, %v", answer, err)
	}
}
