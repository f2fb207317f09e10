package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("COFRE_TEST_WRITE_FOR_EVER"); dir != "" {
		writeForEver(dir)
	}
	// Connections that are kept for reuse end by themselves.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func TestFolder(t *testing.T) {
	storetest.Run(t, func(t *testing.T) cofre.Store { return openStore(t, store.Config{URL: t.TempDir()}) })
}

func TestS3(t *testing.T) {
	server := testkit.S3(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) cofre.Store {
		return openStore(t, onServer(server, server.URL(fmt.Sprintf("stores/%d", n.Add(1)))))
	})
	storetest.Run(t, func(t *testing.T) cofre.Store { // a bucket of its own, without a prefix
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
		"s3://b?timeout=1s":                      "s3://b",
		"s3://b?timeout=1h":                      "s3://b",
		"s3://b?timeout=1h1s":                    "",
		"s3://b?patience=999ms":                  "",
		"s3://b?patience=1s":                     "s3://b",
		"s3://b?patience=24h":                    "s3://b",
		"s3://b?patience=24h1s":                  "",
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

// A prefix is a folder: one store does not see the objects of another whose prefix begins alike.
func TestPrefixesOfABucketAreApart(t *testing.T) {
	server := testkit.S3(t)
	for _, prefix := range []string{"p", "pq", "p/r"} {
		s := openStore(t, onServer(server, server.URL(prefix)))
		if got := storetest.Names(t, s, ""); len(got) != 0 {
			t.Errorf("%s lists %q, before anything was put there", prefix, got)
		}
		if err := storetest.Put(t.Context(), s, "a", prefix); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(server.Dir, server.Bucket, prefix, "a")); err != nil {
			t.Error(err)
		}
	}
}

// A folder that cannot be read is an error of the list, and not a list without what is in it. Here the path is too long to be read.
func TestAListThatIsNotWholeIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, store.Config{URL: dir})
	if err := storetest.Put(t.Context(), s, "before", "x"); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(dir); at < 4200; at += 201 {
		below, err := mkdir(r, strings.Repeat("d", 200))
		r.Close()
		if r = below; err != nil {
			t.Fatal(err)
		}
	}
	defer r.Close()
	if err := r.WriteFile("file", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got error
	for _, err := range s.List(t.Context(), "") {
		got = err
	}
	if !errors.Is(got, syscall.ENAMETOOLONG) {
		t.Errorf("%v, want ENAMETOOLONG", got)
	}
}

func mkdir(r *os.Root, name string) (*os.Root, error) {
	if err := r.Mkdir(name, 0o700); err != nil {
		return nil, err
	}
	return r.OpenRoot(name)
}

func TestMissingFolderIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "mounted")
	if _, err := store.Open(t.Context(), store.Config{URL: dir}); !errors.Is(err, cofre.ErrNoRepo) || cofre.Hint(err) == "" {
		t.Errorf("open: %v, want ErrNoRepo and a hint", err)
	}
	s := openStore(t, store.Config{URL: dir, Create: true})
	if err := storetest.Put(t.Context(), s, "a/b", "x"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Put(t.Context(), s, "a/c", "x"); !errors.Is(err, cofre.ErrNoRepo) {
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
	if err := storetest.Put(t.Context(), s, "a", "x"); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("create: %v, want ErrReadOnly", err)
	}
	if err := s.Replace(t.Context(), "a", strings.NewReader("x"), 1); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("replace: %v, want ErrReadOnly", err)
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
	err := storetest.Put(t.Context(), s, "big", text)
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
	if err := storetest.Put(t.Context(), s, "a", "x"); !errors.Is(err, cofre.ErrReadOnly) || cofre.Hint(err) == "" {
		t.Errorf("create: %v, want ErrReadOnly and a hint", err)
	}
}

func TestS3Conditions(t *testing.T) {
	server := testkit.S3(t)
	ask := func(c store.Config) error {
		s := openStore(t, c)
		return storetest.Put(t.Context(), s, "a", "x")
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
	listed := 0
	for _, err := range s.List(t.Context(), "") {
		if listed++; !errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("list after the server stopped: %v, want ErrUnreachable", err)
		}
	}
	if listed != 1 {
		t.Errorf("the list of a server that is stopped has %d results, want an error", listed)
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
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := testkit.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, store.Config{URL: dir})
	left := func() int {
		if got := storetest.Names(t, s, ""); len(got) != 0 {
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

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
