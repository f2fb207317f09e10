package runs_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/store"
)

// TestOldLogsGo, and only logs, and none if a clock is not to be trusted.
func TestOldLogsGo(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{URL: dir, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, age time.Duration) {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	put("runs/old.backup.ok", runs.Kept+time.Hour)
	put("runs/young.backup.ok", runs.Kept-time.Hour)
	put("runs/what is no log", runs.Kept+time.Hour)
	put("journal/old", runs.Kept+time.Hour)
	if err := runs.Thin(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	for name, stays := range map[string]bool{"runs/old.backup.ok": false, "runs/young.backup.ok": true, "runs/what is no log": true, "journal/old": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want that it stays: %v", name, err, stays)
		}
	}
	put("runs/old.backup.ok", runs.Kept+time.Hour)
	if err := runs.Thin(t.Context(), leapt{st}); err != nil {
		t.Fatal(err)
	}
	if all, err := runs.List(t.Context(), st); err != nil || len(all) != 2 {
		t.Errorf("a clock that has leapt took a log: %v, %v", all, err)
	}
}

// leapt is a store whose clock is ahead.
type leapt struct{ cofre.Store }

func (s leapt) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	o, err := s.Store.Stat(ctx, name)
	o.ModifiedAt = o.ModifiedAt.Add(48 * time.Hour)
	return o, err
}
