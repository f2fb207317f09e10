package wal_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal"
)

// putOnly is a store as a key sees it that may put, and nothing else.
type putOnly struct{ cofre.Store }

func (putOnly) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return nil, cofre.ErrDenied
}

func (putOnly) Stat(context.Context, string) (cofre.StoredObject, error) {
	return cofre.StoredObject{}, cofre.ErrDenied
}
func (putOnly) Replace(context.Context, string, io.Reader, int64) error { return cofre.ErrDenied }
func (putOnly) Delete(context.Context, string) error                    { return cofre.ErrDenied }
func (putOnly) List(context.Context, string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) { yield(cofre.StoredObject{}, cofre.ErrDenied) }
}

// TestPutOnly archives with a key that may only put: the recipient is known to the host, what was archived ahead is believed, and so is the last segment
// when the server asks for it again. Of any other that is there, nobody can say whether it is the same.
func TestPutOnly(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	for _, s := range segments[:4] {
		if err := os.WriteFile(filepath.Join(dir, "pg_wal/archive_status", s+".ready"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known := wal.Recipient{}
	a := &wal.Archiver{Spool: t.TempDir(), Archives: []wal.Archive{{Store: putOnly{st}, Known: func() wal.Recipient { return known }}}}
	path := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
	if _, err := a.Archive(t.Context(), path(0)); !errors.Is(err, cofre.ErrDenied) || cofre.Hint(err) == "" {
		t.Fatalf("without a recipient: %v", err)
	}
	known = id.Recipient()
	for i := range 4 {
		if out, err := a.Archive(t.Context(), path(i)); err != nil || i == 0 && out.Ahead != 3 {
			t.Fatalf("segment %d: %+v, %v", i, out, err)
		}
	}
	must(a.Archive(t.Context(), path(3)))(t)
	if _, err := a.Archive(t.Context(), path(1)); !errors.Is(err, cofre.ErrDenied) || cofre.Hint(err) == "" {
		t.Errorf("one of before: %v", err)
	}
	inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t)
	if err := inv.ReadChain(t.Context(), st); err != nil || len(inv.Segments) != 4 || len(inv.Breaks) > 0 {
		t.Errorf("%d segments, %+v, %v", len(inv.Segments), inv.Breaks, err)
	}
}
