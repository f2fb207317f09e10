package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

func TestProbeLeavesNothing(t *testing.T) {
	t.Parallel()
	s := openStore(t, store.Config{URL: t.TempDir()})
	if err := store.Probe(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for o := range s.List(t.Context(), "") {
		t.Errorf("left behind: %s", o.Name)
	}
}

// undeletable is a store whose credentials may not delete.
type undeletable struct{ cofre.Store }

func (u undeletable) Delete(context.Context, string) error {
	return fmt.Errorf("delete: %w", cofre.ErrDenied)
}

// lying is a store that gives back something else.
type lying struct{ cofre.Store }

func (lying) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("something else")), nil
}

func TestProbeSaysWhatDoesNotWork(t *testing.T) {
	t.Parallel()
	s := openStore(t, store.Config{URL: t.TempDir()})
	for range 2 {
		if err := store.Probe(t.Context(), undeletable{s}); err != nil {
			t.Errorf("without the right to delete: %v", err)
		}
	}
	n := 0
	for range s.List(t.Context(), "") {
		n++
	}
	if n != 1 {
		t.Errorf("%d objects are left, want one", n)
	}
	if err := store.Probe(t.Context(), lying{s}); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("of other bytes: %v", err)
	}
	readOnly := openStore(t, store.Config{URL: s.URL(), ReadOnly: true})
	if err := store.Probe(t.Context(), readOnly); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("of a store that is read only: %v", err)
	}
}

// Whichever request fails, a probe and a question for the time say so; without the right to delete, and with another probe
// that deletes first, all is well.
func TestEachRequestOfAProbeCounts(t *testing.T) {
	t.Parallel()
	torn := errors.New("torn")
	clock := func(ctx context.Context, s cofre.Store) error {
		_, err := store.Clock(ctx, s)
		return err
	}
	for _, c := range []struct {
		what  string
		ask   func(context.Context, cofre.Store) error
		verb  storetest.Verb
		fails error
		want  error
	}{
		{"probe", store.Probe, storetest.Replace, torn, torn},
		{"probe", store.Probe, storetest.Open, torn, torn},
		{"probe", store.Probe, storetest.Open, cofre.ErrNotFound, nil},
		{"probe", store.Probe, storetest.Delete, torn, torn},
		{"probe", store.Probe, storetest.Delete, cofre.ErrDenied, nil},
		{"probe", store.Probe, storetest.Delete, cofre.ErrNotFound, nil},
		{"clock", clock, storetest.Replace, torn, torn},
		{"clock", clock, storetest.Stat, torn, torn},
	} {
		s := storetest.Before(storetest.NewMemory(time.Now), func(verb storetest.Verb, _ string) error {
			if verb == c.verb {
				return c.fails
			}
			return nil
		})
		if err := c.ask(t.Context(), s); !errors.Is(err, c.want) {
			t.Errorf("%s, and %s fails with %v: %v, want %v", c.what, c.verb, c.fails, err, c.want)
		}
	}
}

// A folder that its group may write is shared: whatever is made in it, by whichever user and umask, is the group's.
func TestASharedFolderStaysShared(t *testing.T) {
	other, err := user.Lookup("nobody")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs root, and a user nobody")
	}
	uid, _ := strconv.Atoi(other.Uid)
	gid, _ := strconv.Atoi(other.Gid)
	root := filepath.Join(t.TempDir(), "repository")
	if err := os.Mkdir(root, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := store.WritableBy(root, uid); !errors.Is(err, cofre.ErrDenied) || !strings.Contains(cofre.Hint(err), "chgrp -R GROUP "+root) {
		t.Errorf("of a folder that is root's alone: %v", err)
	}
	for dir := filepath.Dir(root); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&1 == 0 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(os.Chown(root, 0, gid), os.Chmod(root, 0o770)); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, store.Config{URL: root})
	if err := s.Create(t.Context(), "wal/system/1/segment", strings.NewReader("x"), 1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"wal": 0o770 | os.ModeSetgid, "wal/system/1": 0o770 | os.ModeSetgid, "wal/system/1/segment": 0o660} {
		info, err := os.Stat(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		if got := info.Mode() &^ os.ModeDir; got != want || int(st.Gid) != gid {
			t.Errorf("%s: mode %v of group %d, want %v of %d", path, got, st.Gid, want, gid)
		}
	}
	if err := store.WritableBy(root, uid); err != nil {
		t.Errorf("of a shared folder: %v", err)
	}
	if err := os.Chmod(filepath.Dir(root), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := store.WritableBy(root, uid); !errors.Is(err, cofre.ErrDenied) || !strings.Contains(err.Error(), filepath.Dir(root)+":") {
		t.Errorf("of a shared folder below one that may not be passed: %v", err)
	}
	if err := cmp.Or(store.WritableBy(root, 0), store.WritableBy("s3://bucket/prefix", uid)); err != nil {
		t.Errorf("of root, who may everything, and of a bucket, which has no users: %v", err)
	}
	if err := os.Chmod(filepath.Dir(root), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "wal/system"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := store.WritableBy(root, uid); !errors.Is(err, cofre.ErrDenied) || !strings.Contains(err.Error(), "wal/system") {
		t.Errorf("of a folder in it that is root's alone: %v", err)
	}
}

// A repository of which one folder cannot be written into is not writable, whatever a probe elsewhere in it says.
func TestWritableLooksIntoEachFolder(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"wal/7000/00000001", "p/abc", "cofre/keys"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, address := range []string{root, "file://" + root, "s3://bucket/prefix"} {
		if err := store.Writable(t.Context(), address); err != nil {
			t.Errorf("%s, which is writable: %v", address, err)
		}
	}
	for _, name := range []string{"wal", "wal/7000", "wal/7000/00000001", "p/abc", "."} {
		dir := filepath.Join(root, name)
		want, undo := cofre.ErrDenied, func() error { return os.Chmod(dir, 0o755) }
		if os.Geteuid() == 0 { // whom modes do not keep from anything
			want, undo = cofre.ErrReadOnly, func() error { return syscall.Unmount(dir, 0) }
			if err := cmp.Or(syscall.Mount(dir, dir, "", syscall.MS_BIND, ""), syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")); err != nil {
				testkit.Missing(t, "mount", "cannot mount a folder for reading: "+err.Error())
			}
		} else if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		if err := store.Writable(t.Context(), root); !errors.Is(err, want) || !strings.Contains(err.Error(), dir) || cofre.Hint(err) == "" {
			t.Errorf("%s cannot be written into: %v (hint %q)", name, err, cofre.Hint(err))
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
}
