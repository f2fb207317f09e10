package walstore_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
)

// TestEnvironment hands on what reaches the repositories, and nothing else: no password, and no variable that only this process needs.
func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"THE_KEY": "id", "THE_SECRET": "hush", "THE_PASSWORD": "long", "AWS_ACCESS_KEY_ID": "other", "HTTPS_PROXY": "http://proxy:1", "PGPASSWORD": "no",
	} {
		t.Setenv(name, value)
	}
	for _, c := range []struct {
		what, repository string
		environ, secrets []string
	}{
		{
			"keys by variable", `{url: "s3://bucket/p?endpoint=http://127.0.0.1:1", password: "env:THE_PASSWORD", credentials: {access_key: "env:THE_KEY", secret_key: "env:THE_SECRET"}}`,
			[]string{"HTTPS_PROXY=http://proxy:1", "THE_KEY=id", "THE_SECRET=hush"},
			[]string{"THE_KEY", "THE_SECRET"},
		},
		{
			"the chain of the client", `{url: "s3://bucket/p?endpoint=http://127.0.0.1:1", password: "env:THE_PASSWORD"}`,
			[]string{"AWS_ACCESS_KEY_ID=other", "HTTPS_PROXY=http://proxy:1"},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{"a folder", `{url: "/repository", password: "env:THE_PASSWORD"}`, nil, nil},
	} {
		file := filepath.Join(t.TempDir(), "cofre.yaml")
		if err := os.WriteFile(file, []byte("name: n\nrepository: "+c.repository+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(file, os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		environ, secrets := walstore.Environment(cfg)
		environ = slices.DeleteFunc(environ, func(pair string) bool { // of the machine that tests
			name, _, _ := strings.Cut(pair, "=")
			return !slices.Contains([]string{"THE_KEY", "THE_SECRET", "THE_PASSWORD", "AWS_ACCESS_KEY_ID", "HTTPS_PROXY", "PGPASSWORD"}, name)
		})
		slices.Sort(environ)
		slices.Sort(secrets)
		if !slices.Equal(environ, c.environ) || !slices.Equal(secrets, c.secrets) {
			t.Errorf("%s: %q, secrets %q; want %q, %q", c.what, environ, secrets, c.environ, c.secrets)
		}
	}
}
