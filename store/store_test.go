package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/store"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("COFRE_TEST_WRITE_FOR_EVER"); dir != "" {
		writeForEver(dir)
	}
	// Connections that are kept for reuse end by themselves.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestFolder(t *testing.T) {
	contract(t, func(t *testing.T) cofre.Store { return openStore(t, store.Config{URL: t.TempDir()}) })
}

func TestS3(t *testing.T) {
	server := testkit.S3(t)
	var n atomic.Int64
	contract(t, func(t *testing.T) cofre.Store {
		return openStore(t, onServer(server, server.URL(fmt.Sprintf("stores/%d", n.Add(1)))))
	})
	contract(t, func(t *testing.T) cofre.Store { // a bucket of its own, without a prefix
		name := fmt.Sprintf("own-%d", n.Add(1))
		server.MakeBucket(t, name)
		return openStore(t, onServer(server, strings.Replace(server.URL(""), "//"+server.Bucket+"/", "//"+name, 1)))
	})
}

func onServer(s *testkit.S3Server, url string) store.Config {
	return store.Config{URL: url, AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey)}
}

func openStore(t *testing.T, c store.Config) cofre.Store {
	t.Helper()
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(ctx context.Context, s cofre.Store, name, text string) error {
	return s.Create(ctx, name, strings.NewReader(text), int64(len(text)))
}

func read(t *testing.T, s cofre.Store, name string, offset, length int64) string {
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

func names(t *testing.T, s cofre.Store, prefix string) []string {
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

// contract is what every store keeps.
func contract(t *testing.T, open func(t *testing.T) cofre.Store) {
	check := func(name string, f func(t *testing.T, s cofre.Store)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
	check("create is once", func(t *testing.T, s cofre.Store) {
		if err := create(t.Context(), s, "wal/7/1/0001", "first"); err != nil {
			t.Fatal(err)
		}
		if err := create(t.Context(), s, "wal/7/1/0001", "second"); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("create again: %v, want ErrExists", err)
		}
		if got := read(t, s, "wal/7/1/0001", 0, -1); got != "first" {
			t.Errorf("holds %q", got)
		}
	})
	check("of several creates one wins", func(t *testing.T, s cofre.Store) {
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				err := create(t.Context(), s, "lease", strings.Repeat(fmt.Sprint(i), 100_000))
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
		if got := read(t, s, "lease", 0, -1); len(got) != 100_000 || strings.Count(got, got[:1]) != len(got) {
			t.Error("the object is not of one writer")
		}
	})
	check("replace replaces", func(t *testing.T, s cofre.Store) {
		for _, text := range []string{"one", "", "three"} {
			if err := s.Replace(t.Context(), "state", strings.NewReader(text), int64(len(text))); err != nil {
				t.Fatal(err)
			}
			if got := read(t, s, "state", 0, -1); got != text {
				t.Errorf("holds %q, want %q", got, text)
			}
		}
	})
	check("ranges", func(t *testing.T, s cofre.Store) {
		if err := create(t.Context(), s, "a/b", "0123456789"); err != nil {
			t.Fatal(err)
		}
		for _, r := range []struct {
			offset, length int64
			want           string
		}{{0, -1, "0123456789"}, {3, -1, "3456789"}, {3, 4, "3456"}, {0, 1, "0"}, {8, 10, "89"}, {4, 0, ""}, {10, -1, ""}} {
			if got := read(t, s, "a/b", r.offset, r.length); got != r.want {
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
		if got := names(t, s, ""); len(got) != 0 {
			t.Errorf("an empty store lists %q", got)
		}
	})
	check("list in byte order", func(t *testing.T, s cofre.Store) {
		want := []string{"a", "a!b", "a.f", "a/b", "a/b-c", "a/b/c", "a0", "ab", "b", "b/ç", "b/ção"}
		for _, n := range want {
			if strings.Contains(n, "/") || !(n == "a" || n == "b") {
				if err := create(t.Context(), s, strings.Replace(n, "a/b/c", "a/bb/c", 1), n); err != nil {
					t.Fatal(err)
				}
			}
		}
		all := names(t, s, "")
		if !slices.IsSorted(all) || len(all) != 9 {
			t.Errorf("lists %q", all)
		}
		for prefix, want := range map[string][]string{"a/": {"a/b", "a/b-c", "a/bb/c"}, "a/b": {"a/b", "a/b-c", "a/bb/c"}, "a/bb/": {"a/bb/c"}, "b/ç": {"b/ç", "b/ção"}, "zz": nil, "a0": {"a0"}} {
			if got := names(t, s, prefix); !slices.Equal(got, want) {
				t.Errorf("%q lists %q, want %q", prefix, got, want)
			}
		}
		for range s.List(t.Context(), "") {
			break // leaving early must not hurt
		}
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		if got := names(t, s, "a/"); !slices.Equal(got, []string{"a/b-c", "a/bb/c"}) {
			t.Errorf("after a delete it lists %q", got)
		}
	})
	check("names stay inside", func(t *testing.T, s cofre.Store) {
		for _, n := range []string{"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a"} {
			if err := create(t.Context(), s, n, "x"); err == nil {
				t.Errorf("%q was taken", n)
			}
		}
	})
	check("a short reader leaves nothing", func(t *testing.T, s cofre.Store) {
		torn := errors.New("the source broke off")
		for name, r := range map[string]io.Reader{
			"short":  strings.NewReader("abc"),
			"broken": io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) { return 0, torn })),
		} {
			if err := s.Create(t.Context(), name, r, 1000); err == nil {
				t.Errorf("%s was taken", name)
			}
		}
		if got := names(t, s, ""); len(got) != 0 {
			t.Errorf("lists %q", got)
		}
	})
	check("a cancelled context starts nothing", func(t *testing.T, s cofre.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := create(ctx, s, "x", "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("create: %v, want context.Canceled", err)
		}
		for _, err := range s.List(ctx, "") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("list: %v, want context.Canceled", err)
			}
		}
		if got := names(t, s, ""); len(got) != 0 {
			t.Errorf("lists %q", got)
		}
	})
	check("a large object", func(t *testing.T, s cofre.Store) {
		want := bytes.Repeat([]byte("cofre..."), 3<<20) // 24 MB: above what S3 clients cut into parts
		if err := s.Create(t.Context(), "large", bytes.NewReader(want), int64(len(want))); err != nil {
			t.Fatal(err)
		}
		if got := read(t, s, "large", 0, -1); got != string(want) {
			t.Error("came back differently")
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"s3://b":                                 "s3://b",
		"s3://b/p/q/":                            "s3://b/p/q",
		"s3://b/p?endpoint=http://h:9&region=eu": "s3://b/p?endpoint=http://h:9&region=eu",
		"s3://b?region=x":                        "s3://b?region=x",
		"file://" + os.TempDir():                 os.TempDir(),
		os.TempDir() + "/.":                      os.TempDir(),
		"":                                       "",
		"ftp://h/x":                              "",
		"s3://":                                  "",
		"s3://key:hunter2@b/p":                   "",
		"s3://b?endpoint=http://key:hunter2@h":   "",
		"s3://b?endpoint=h:9000":                 "",
		"s3://b?bucket=c":                        "",
		"s3://b/p?timeout=30s":                   "s3://b/p",
		"s3://b?timeout=30":                      "",
		"s3://b?timeout=0s":                      "",
		"s3://b/../c":                            "",
		"s3://b?ca=/no/such/file":                "",
		"s3://key:hunter2@b/%zz":                 "",
	} {
		s, err := store.Open(t.Context(), store.Config{URL: address})
		switch {
		case want == "" && (!errors.Is(err, cofre.ErrConfig) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: %v, want ErrConfig without the secret", address, err)
		case want != "" && err != nil:
			t.Errorf("%q: %v", address, err)
		case want != "" && s.URL() != want:
			t.Errorf("%q is %q, want %q", address, s.URL(), want)
		}
	}
}

func TestMissingFolderIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "mounted")
	if _, err := store.Open(t.Context(), store.Config{URL: dir}); !errors.Is(err, cofre.ErrNoRepo) || cofre.Hint(err) == "" {
		t.Errorf("open: %v, want ErrNoRepo and a hint", err)
	}
	s := openStore(t, store.Config{URL: dir, Create: true})
	if err := create(t.Context(), s, "a/b", "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, "a/c", "x"); !errors.Is(err, cofre.ErrNoRepo) {
		t.Errorf("write after the folder went away: %v, want ErrNoRepo", err)
	}
	for _, err := range s.List(t.Context(), "") {
		if !errors.Is(err, cofre.ErrNoRepo) {
			t.Errorf("list after the folder went away: %v, want ErrNoRepo", err)
		}
	}
}

func TestReadOnlyConfig(t *testing.T) {
	s := openStore(t, store.Config{URL: t.TempDir(), ReadOnly: true})
	if err := create(t.Context(), s, "a", "x"); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("create: %v, want ErrReadOnly", err)
	}
	if err := s.Delete(t.Context(), "a"); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("delete: %v, want ErrReadOnly", err)
	}
}

// mountTmpfs gives the test a file system of its own, of size bytes, or skips it.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		testkit.Missing(t, "mount", "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestFullDisk(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	s := openStore(t, store.Config{URL: dir})
	text := strings.Repeat("x", 2<<20)
	err := create(t.Context(), s, "big", text)
	if !errors.Is(err, cofre.ErrDiskFull) || cofre.Hint(err) == "" {
		t.Errorf("create: %v, want ErrDiskFull and a hint", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
	if free, err := s.Free(t.Context()); err != nil || free < 1<<19 || free > 1<<20 {
		t.Errorf("free: %d, %v", free, err)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := mountTmpfs(t, "size=1m")
	s := openStore(t, store.Config{URL: dir})
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), s, "a", "x"); !errors.Is(err, cofre.ErrReadOnly) || cofre.Hint(err) == "" {
		t.Errorf("create: %v, want ErrReadOnly and a hint", err)
	}
}

func TestS3Conditions(t *testing.T) {
	server := testkit.S3(t)
	ask := func(c store.Config) error {
		s := openStore(t, c)
		start := time.Now()
		err := create(t.Context(), s, "a", "x")
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("the answer took %v", took)
		}
		return err
	}
	wrongSecret, wrongKey := onServer(server, server.URL("p")), onServer(server, server.URL("p"))
	wrongSecret.SecretKey, wrongKey.AccessKey = secret.New("wrong"), secret.New("nobody")
	noBucket := onServer(server, strings.Replace(server.URL("p"), server.Bucket, "missing-bucket", 1))
	gone := onServer(server, strings.Replace(server.URL("p"), "127.0.0.1", "127.0.0.2", 1)) // the server listens on .1 alone
	for name, check := range map[string]struct {
		config store.Config
		want   error
	}{"wrong secret": {wrongSecret, cofre.ErrDenied}, "unknown key": {wrongKey, cofre.ErrDenied}, "no bucket": {noBucket, cofre.ErrNoRepo}, "nobody listens": {gone, cofre.ErrUnreachable}} {
		err := ask(check.config)
		if !errors.Is(err, check.want) || cofre.Hint(err) == "" {
			t.Errorf("%s: %v (hint %q), want %v and a hint", name, err, cofre.Hint(err), check.want)
		}
		if err != nil && strings.Contains(err.Error(), server.SecretKey) {
			t.Errorf("%s: the error holds the secret", name)
		}
	}
	s := openStore(t, onServer(server, server.URL("p")))
	server.Stop()
	for _, err := range s.List(t.Context(), "") {
		if !errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("list after the server stopped: %v, want ErrUnreachable", err)
		}
	}
}

// writeForEver is a writer that is killed: it never ends by itself.
func writeForEver(dir string) {
	s, err := store.Open(context.Background(), store.Config{URL: dir})
	if err != nil {
		panic(err)
	}
	started := false
	err = s.Create(context.Background(), "sub/object", readerFunc(func(p []byte) (int, error) {
		if !started {
			started = true
			return len(p), nil
		}
		fmt.Println("writing")
		select {}
	}), 1<<40)
	panic(err)
}

func TestKilledWriterIsSweptAndALivingOneIsNot(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "COFRE_TEST_WRITE_FOR_EVER="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, store.Config{URL: dir})
	left := func() int {
		if got := names(t, s, ""); len(got) != 0 {
			t.Errorf("lists %q", got)
		}
		entries, err := os.ReadDir(filepath.Join(dir, "sub"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := left(); n != 1 {
		t.Errorf("%d temporary files of a living writer, want 1", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n := left(); n != 0 {
		t.Errorf("%d temporary files of a dead writer stay", n)
	}
}
