package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/store"
)

const password = "a password of the tests"

func TestMain(m *testing.M) {
	if os.Getenv("COFRE_TEST_CAPTURE_FOR_EVER") != "" {
		captureForEver()
	}
	// Connections that are kept for reuse end by themselves.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func folderConfig(t testing.TB) repository.Config {
	return repository.Config{URL: filepath.Join(t.TempDir(), "repository"), Password: secret.New(password), StateDir: t.TempDir()}
}

func s3Config(t testing.TB, s *testkit.S3Server, prefix string) repository.Config {
	return repository.Config{
		URL: s.URL(prefix), Password: secret.New(password), StateDir: t.TempDir(),
		AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey),
	}
}

// create makes a repository by copying one that Init made: deriving a key takes a fifth of a second each time.
func create(t testing.TB, c repository.Config) *repository.Repository {
	t.Helper()
	to, err := store.Open(t.Context(), store.Config{URL: c.URL, AccessKey: c.AccessKey, SecretKey: c.SecretKey, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range template(t, c) {
		if err := to.Create(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	return open(t, c)
}

var (
	templatesLock sync.Mutex
	templates     = map[bool]map[string][]byte{} // by whether it is in a folder
)

func template(t testing.TB, c repository.Config) map[string][]byte {
	t.Helper()
	templatesLock.Lock()
	defer templatesLock.Unlock()
	inFolder := store.IsFolder(c.URL)
	if found := templates[inFolder]; found != nil {
		return found
	}
	if inFolder {
		c.URL = filepath.Join(t.TempDir(), "template")
	} else {
		c.URL = strings.Replace(c.URL, "?", "/template?", 1)
	}
	if _, err := repository.Init(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	from, err := store.Open(t.Context(), store.Config{URL: c.URL, AccessKey: c.AccessKey, SecretKey: c.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	for o, err := range from.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		r, err := from.Open(t.Context(), o.Name, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if made[o.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	templates[inFolder] = made
	return made
}

func open(t testing.TB, c repository.Config) *repository.Repository {
	t.Helper()
	r, err := repository.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close repository: %v", err)
		}
	})
	return r
}

func TestFolder(t *testing.T) {
	repositorytest.Run(t, func(t *testing.T) cofre.Repository { return create(t, folderConfig(t)) })
}

func TestS3(t *testing.T) {
	s := testkit.S3(t)
	repositorytest.Run(t, func(t *testing.T) cofre.Repository {
		return create(t, s3Config(t, s, strings.ReplaceAll(t.Name(), " ", "-")))
	})
}

var source = cofre.SourceID{Installation: "trustlayer", Kind: cofre.KindConfig, Name: "config"}

// capture stores files and returns where they are.
func capture(t testing.TB, r cofre.Repository, files map[string][]byte) cofre.Content {
	t.Helper()
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for path, b := range files {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b)), ModTime: time.Unix(1_790_000_000, 0)}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publish(t testing.TB, r cofre.Repository, c cofre.Content) cofre.RecoveryPoint {
	t.Helper()
	now := time.Now().UTC()
	p := cofre.RecoveryPoint{
		ID: cofre.NewPointID(now), Installation: source.Installation, Host: "host", StartedAt: now, PublishedAt: now,
		Components: []cofre.Component{{Kind: source.Kind, Name: source.Name, StartedAt: now, EndedAt: now, Content: c}},
	}
	if err := r.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func points(t testing.TB, r cofre.Repository) []cofre.RecoveryPoint {
	t.Helper()
	var found []cofre.RecoveryPoint
	for p, err := range r.Points(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, p)
	}
	return found
}

func readFile(t testing.TB, r cofre.Repository, root cofre.ObjectID, path string) []byte {
	t.Helper()
	tr, err := r.Tree(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tr.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func findings(t testing.TB, r cofre.Repository, p []cofre.RecoveryPoint, level cofre.Level) []cofre.Finding {
	t.Helper()
	return verified(t, r, p, cofre.Verification{Level: level})
}

func verified(t testing.TB, r cofre.Repository, p []cofre.RecoveryPoint, how cofre.Verification) []cofre.Finding {
	t.Helper()
	var found []cofre.Finding
	for f, err := range r.Verify(t.Context(), p, how) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, f)
	}
	return found
}

func TestWrongPassword(t *testing.T) {
	c := folderConfig(t)
	create(t, c)
	c.Password = secret.New("another password")
	_, err := repository.Open(t.Context(), c)
	if !errors.Is(err, cofre.ErrWrongKey) || cofre.Hint(err) == "" || strings.Contains(fmt.Sprint(err), "another password") {
		t.Errorf("open: %v (hint %q), want ErrWrongKey and a hint", err, cofre.Hint(err))
	}
}

func TestNoRepository(t *testing.T) {
	c := folderConfig(t)
	for _, dir := range []string{c.URL, t.TempDir()} {
		c.URL = dir
		if _, err := repository.Open(t.Context(), c); !errors.Is(err, cofre.ErrNoRepo) || !strings.Contains(cofre.Hint(err), "cofre init") {
			t.Errorf("open: %v (hint %q), want ErrNoRepo and the hint to init", err, cofre.Hint(err))
		}
	}
}

func TestInitIsOnce(t *testing.T) {
	c := folderConfig(t)
	kit, err := repository.Init(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(kit.Text, password) || !strings.Contains(kit.Text, c.URL) || !strings.Contains(kit.Text, "kopia repository connect filesystem --path "+c.URL) {
		t.Errorf("the recovery kit says\n%s", kit.Text)
	}
	if _, err := repository.Init(t.Context(), c); !errors.Is(err, cofre.ErrExists) || cofre.Hint(err) == "" {
		t.Errorf("init again: %v, want ErrExists and a hint", err)
	}
	left, err := os.ReadDir(c.StateDir)
	if err != nil || len(left) != 1 || left[0].Name() != "sealed" {
		t.Errorf("besides that the repository is sealed, the state directory holds %v, %v", left, err)
	}
}

func TestConfigSaysEverything(t *testing.T) {
	_, err := repository.Open(t.Context(), repository.Config{Compression: "gzip"})
	for _, want := range []string{"no address", "no password", "not an absolute path", `"gzip"`} {
		if err == nil || !errors.Is(err, cofre.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("open: %v, want ErrConfig and %q", err, want)
		}
	}
}
