package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trustlayer/cofre"
)

// Run checks that a store keeps the contract of cofre.Store. Open makes an empty one for each part of it.
func Run(t *testing.T, open func(t *testing.T) cofre.Store) {
	check := func(name string, f func(t *testing.T, s cofre.Store)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
	check("create is once", func(t *testing.T, s cofre.Store) {
		if err := Put(t.Context(), s, "wal/7/1/0001", "first"); err != nil {
			t.Fatal(err)
		}
		if err := Put(t.Context(), s, "wal/7/1/0001", "second"); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("create again: %v, want ErrExists", err)
		}
		if got := Get(t, s, "wal/7/1/0001", 0, -1); got != "first" {
			t.Errorf("holds %q", got)
		}
		if err := Put(t.Context(), s, "wal/7/1/0001", ""); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("create again, without bytes: %v, want ErrExists", err)
		}
		if err := Put(t.Context(), s, "empty", ""); err != nil {
			t.Fatal(err)
		}
		if err := Put(t.Context(), s, "empty", ""); !errors.Is(err, cofre.ErrExists) || Get(t, s, "empty", 0, -1) != "" {
			t.Errorf("create an empty one again: %v, want ErrExists", err)
		}
	})
	check("of several creates one wins", func(t *testing.T, s cofre.Store) {
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				err := Put(t.Context(), s, "lease", strings.Repeat(fmt.Sprint(i), 100_000))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, cofre.ErrExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
		if got := Get(t, s, "lease", 0, -1); len(got) != 100_000 || strings.Count(got, got[:1]) != len(got) {
			t.Error("the object is not of one writer")
		}
	})
	check("replace replaces", func(t *testing.T, s cofre.Store) {
		for _, text := range []string{"one", "", "three"} {
			if err := s.Replace(t.Context(), "state", strings.NewReader(text), int64(len(text))); err != nil {
				t.Fatal(err)
			}
			if got := Get(t, s, "state", 0, -1); got != text {
				t.Errorf("holds %q, want %q", got, text)
			}
		}
	})
	check("ranges", func(t *testing.T, s cofre.Store) {
		if err := Put(t.Context(), s, "a/b", "0123456789"); err != nil {
			t.Fatal(err)
		}
		for _, r := range []struct {
			offset, length int64
			want           string
		}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 1, "0"}, {8, 10, "89"}, {4, 0, ""}, {10, -1, ""}} {
			if got := Get(t, s, "a/b", r.offset, r.length); got != r.want {
				t.Errorf("%d bytes from %d are %q, want %q", r.length, r.offset, got, r.want)
			}
		}
		o, err := s.Stat(t.Context(), "a/b")
		if err != nil || o.Name != "a/b" || o.Size != 10 || time.Since(o.ModifiedAt).Abs() > time.Hour {
			t.Errorf("stat: %+v, %v", o, err)
		}
	})
	check("what is not there", func(t *testing.T, s cofre.Store) {
		if _, err := s.Open(t.Context(), "no/such", 0, -1); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("open: %v, want ErrNotFound", err)
		}
		if _, err := s.Open(t.Context(), "no/such", 5, 0); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("open nothing of it: %v, want ErrNotFound", err)
		}
		if _, err := s.Stat(t.Context(), "no/such"); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("stat: %v, want ErrNotFound", err)
		}
		if err := s.Delete(t.Context(), "no/such"); err != nil {
			t.Errorf("delete: %v", err)
		}
		if got := Names(t, s, ""); len(got) != 0 {
			t.Errorf("an empty store lists %q", got)
		}
	})
	check("list in byte order", func(t *testing.T, s cofre.Store) {
		want := []string{"a", "a!b", "a.f", "a/b", "a/b-c", "a/b/c", "a0", "ab", "b", "b/ç", "b/ção"}
		for _, n := range want {
			if strings.Contains(n, "/") || !(n == "a" || n == "b") {
				if err := Put(t.Context(), s, strings.Replace(n, "a/b/c", "a/bb/c", 1), n); err != nil {
					t.Fatal(err)
				}
			}
		}
		all := Names(t, s, "")
		if !slices.IsSorted(all) || len(all) != 9 {
			t.Errorf("lists %q", all)
		}
		for prefix, want := range map[string][]string{"a/": {"a/b", "a/b-c", "a/bb/c"}, "a/b": {"a/b", "a/b-c", "a/bb/c"}, "a/bb/": {"a/bb/c"}, "b/ç": {"b/ç", "b/ção"}, "zz": nil, "a0": {"a0"}} {
			if got := Names(t, s, prefix); !slices.Equal(got, want) {
				t.Errorf("%q lists %q, want %q", prefix, got, want)
			}
		}
		for range s.List(t.Context(), "") {
			break // leaving early must not hurt
		}
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		if got := Names(t, s, "a/"); !slices.Equal(got, []string{"a/b-c", "a/bb/c"}) {
			t.Errorf("after a delete it lists %q", got)
		}
	})
	check("names stay inside", func(t *testing.T, s cofre.Store) {
		for _, n := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a"} {
			for verb, err := range requests(t.Context(), s, n) {
				if err == nil {
					t.Errorf("%s %q: done", verb, n)
				}
			}
		}
	})
	check("a short reader leaves nothing", func(t *testing.T, s cofre.Store) {
		torn := errors.New("the source broke off")
		for name, r := range map[string]io.Reader{
			"short":  strings.NewReader("abc"),
			"broken": io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(torn)),
		} {
			if err := s.Create(t.Context(), name, r, 1000); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		if got := Names(t, s, ""); len(got) != 0 {
			t.Errorf("lists %q", got)
		}
	})
	check("a cancelled context starts nothing", func(t *testing.T, s cofre.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Put(t.Context(), s, "x", "before"); err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"x", "y"} {
			for verb, err := range requests(ctx, s, n) {
				if there := verb == Create && errors.Is(err, cofre.ErrExists); !there && !errors.Is(err, context.Canceled) {
					t.Errorf("%s %s: %v, want context.Canceled", verb, n, err)
				}
			}
		}
		for _, err := range s.List(ctx, "") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("list: %v, want context.Canceled", err)
			}
		}
		if got := Names(t, s, ""); !slices.Equal(got, []string{"x"}) || Get(t, s, "x", 0, -1) != "before" {
			t.Errorf("lists %q", got)
		}
	})
	check("a write that is cancelled in the middle is not answered for", func(t *testing.T, s cofre.Store) {
		for name, write := range map[string]func(context.Context, string, io.Reader, int64) error{"created": s.Create, "replaced": s.Replace} {
			ctx, cancel := context.WithCancel(t.Context())
			r := io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }), strings.NewReader("def"))
			if err := write(ctx, name, r, 6); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v, want context.Canceled", name, err)
			}
		}
		for _, name := range Names(t, s, "") {
			if got := Get(t, s, name, 0, -1); got != "abcdef" { // the whole may have been on its way
				t.Errorf("%s holds %q", name, got)
			}
		}
	})
	check("a large object", func(t *testing.T, s cofre.Store) {
		want := bytes.Repeat([]byte("cofre..."), 3<<20) // 24 MB: above what S3 clients cut into parts
		if err := s.Create(t.Context(), "large", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		if got := Get(t, s, "large", 0, -1); got != string(want) {
			t.Error("came back differently")
		}
	})
}

// requests are the answers to each request that names an object, and acts on it or reads it.
func requests(ctx context.Context, s cofre.Store, name string) map[Verb]error {
	r, openErr := s.Open(ctx, name, 0, -1)
	if openErr == nil {
		_, openErr = io.ReadAll(r)
		r.Close()
	}
	_, statErr := s.Stat(ctx, name)
	return map[Verb]error{
		Create: Put(ctx, s, name, "x"), Replace: s.Replace(ctx, name, strings.NewReader("x"), 1), Open: openErr, Stat: statErr, Delete: s.Delete(ctx, name),
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Put creates an object.
func Put(ctx context.Context, s cofre.Store, name, text string) error {
	return s.Create(ctx, name, strings.NewReader(text), int64(len(text)))
}

// Get is what an object holds, or a part of it.
func Get(t *testing.T, s cofre.Store, name string, offset, length int64) string {
	t.Helper()
	r, err := s.Open(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Names are those of the objects that are listed.
func Names(t *testing.T, s cofre.Store, prefix string) []string {
	t.Helper()
	var found []string
	for o, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, o.Name)
	}
	return found
}
