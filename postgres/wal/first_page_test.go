package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// What a stream has stored of a segment counts before its first page is full: the server was told that it is safe.
func TestABeginningWithinTheFirstPageIsBroughtBack(t *testing.T) {
	t.Parallel()
	dir, system, segments := dataDir(t)
	content, err := os.ReadFile(filepath.Join(dir, "pg_wal", segments[2]))
	if err != nil {
		t.Fatal(err)
	}
	name, err := pgdata.ParseWALName(segments[2])
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(content))
	seg, err := name.Segment(size)
	if err != nil {
		t.Fatal(err)
	}
	const to = 6400
	for _, c := range []struct {
		what string
		put  func(*wal.Sequence) error
	}{
		{"a part", func(s *wal.Sequence) error {
			return s.PutBeginning(t.Context(), seg, bytes.NewReader(content), to)
		}},
		{"a leftover", func(s *wal.Sequence) error { return s.PutLeftover(t.Context(), seg, content[:to:to]) }},
	} {
		_, st, id := repository(t)
		s := &wal.Sequence{Archive: wal.Archive{Store: st, Recipient: id.Recipient()}, System: system, Size: size, Before: func(seg pgdata.Segment) (pgdata.Segment, bool) { return seg, false }}
		if err := c.put(s); err != nil {
			t.Fatal(err)
		}
		got, err := wal.JoinParts(t.Context(), st, id, system, name)
		inv, invErr := wal.ReadInventory(t.Context(), st, system, size, nil)
		if err != nil || invErr != nil {
			t.Fatal(err, invErr)
		}
		reached := inv.Unfinished[seg]
		if reached == 0 || reached > to || int64(len(got)) != size || !bytes.Equal(got[:reached], content[:reached]) {
			t.Errorf("%s: %d bytes of %d, and the inventory says %d", c.what, len(got), size, reached)
		}
	}
}
