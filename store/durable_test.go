package store_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
	"github.com/trustlayer/cofre/store"
)

// steps does something to a store in a folder and returns what it did to the disk, in order, relative to the folder. Steps of the
// kind failing fail.
func steps(t *testing.T, dir string, failing durable.Op, do func() error) ([]durable.Step, error) {
	t.Helper()
	var seen []durable.Step
	stop := durable.Watch(func(s durable.Step) error {
		path, err := filepath.Rel(dir, s.Path)
		if err != nil || strings.HasPrefix(path, "..") {
			return nil
		}
		seen = append(seen, durable.Step{Op: s.Op, Path: path})
		if s.Op == failing {
			return syscall.EIO
		}
		return nil
	})
	defer stop()
	err := do()
	return seen, err
}

func put(t *testing.T, s cofre.Store, text string, how func(context.Context, *bytes.Reader) error) func() error {
	t.Helper()
	return func() error { return how(t.Context(), bytes.NewReader([]byte(text))) }
}

// What a store has answered for survives a crash: bytes before the name, the name before the answer, new folders before
// what is in them.
func TestObjectsAreSyncedBeforeTheyAreAnsweredFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openStore(t, store.Config{URL: dir})
	for _, c := range []struct {
		name string
		do   func() error
		want []durable.Step
	}{
		{
			"create in a new folder",
			put(t, s, "one", func(ctx context.Context, r *bytes.Reader) error { return s.Create(ctx, "a/b", r, 3) }),
			[]durable.Step{{Op: durable.OpSyncDir, Path: "."}, {Op: durable.OpSync, Path: "a/b"}, {Op: durable.OpCreate, Path: "a/b"}, {Op: durable.OpSyncDir, Path: "a"}},
		},
		{
			"replace",
			put(t, s, "two", func(ctx context.Context, r *bytes.Reader) error { return s.Replace(ctx, "a/b", r, 3) }),
			[]durable.Step{{Op: durable.OpSync, Path: "a/b"}, {Op: durable.OpRename, Path: "a/b"}, {Op: durable.OpSyncDir, Path: "a"}},
		},
		{
			"delete",
			func() error { return s.Delete(t.Context(), "a/b") },
			[]durable.Step{{Op: durable.OpRemove, Path: "a/b"}, {Op: durable.OpSyncDir, Path: "a"}},
		},
	} {
		got, err := steps(t, dir, "", c.do)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A disk that fails under a store is never a success, and what was there stays.
func TestAFailedSyncIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, op := range []durable.Op{durable.OpSync, durable.OpRename, durable.OpSyncDir} {
		dir := t.TempDir()
		s := openStore(t, store.Config{URL: dir})
		if err := s.Create(t.Context(), "a", strings.NewReader("one"), 3); err != nil {
			t.Fatal(err)
		}
		_, err := steps(t, dir, op, put(t, s, "two", func(ctx context.Context, r *bytes.Reader) error { return s.Replace(ctx, "a", r, 3) }))
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: %v, want an I/O error", op, err)
		}
		r, err := s.Open(t.Context(), "a", 0, -1)
		if err != nil {
			t.Errorf("%s fails: %v", op, err)
			continue
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(r); err != nil {
			t.Error(err)
		}
		r.Close()
		if want := map[bool]string{true: "two", false: "one"}[op == durable.OpSyncDir]; b.String() != want {
			t.Errorf("%s fails: the object holds %q, want %q", op, b.String(), want)
		}
	}
}

// Whatever step fails: a new repository, and an object in folders that are not there yet, are not answered for.
func TestEachStepOfAStoreCounts(t *testing.T) {
	t.Parallel()
	durabletest.EachStepFails(t, func() (string, func() error) {
		dir := t.TempDir()
		return dir, func() error {
			s, err := store.Open(t.Context(), store.Config{URL: filepath.Join(dir, "new", "store"), Create: true})
			if err != nil {
				return err
			}
			return s.Create(t.Context(), "a/b/c/d", strings.NewReader("one"), 3)
		}
	})
}
