package supabase_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/buckettest"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

// resumable is below the size of the contract's large object, so that it is uploaded in chunks.
const resumable = 10 << 20

func open(t *testing.T, url, key string) *supabase.Store {
	t.Helper()
	s, err := supabase.Open(t.Context(), supabase.Config{URL: url, Key: secret.New(key), ResumableAbove: resumable})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	server := testkit.Supabase(t)
	buckettest.Run(t, open(t, server.URL, server.Key), "contract")
}

func TestContractOfTheRealServer(t *testing.T) {
	url := os.Getenv("COFRE_SUPABASE_URL")
	if url == "" {
		testkit.Missing(t, "supabase", "COFRE_SUPABASE_URL and COFRE_SUPABASE_KEY name no server")
	}
	buckettest.Run(t, open(t, url, os.Getenv("COFRE_SUPABASE_KEY")), "contract")
}

func TestAddressIsFoundWithAndWithoutThePrefix(t *testing.T) {
	t.Parallel()
	bare, behind := testkit.Supabase(t), testkit.Supabase(t)
	behind.Gateway = true
	for _, url := range []string{bare.URL, bare.URL + "/", bare.URL + "/storage/v1", behind.URL, behind.URL + "/storage/v1/"} {
		key := bare.Key // both have the same secret
		s := open(t, url, key)
		if _, err := s.Buckets(t.Context()); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A key that does not see everything gets an empty list from the server; here it gets an error.
func TestWeakKeysAreRefused(t *testing.T) {
	t.Parallel()
	server := testkit.Supabase(t)
	for name, key := range map[string]string{
		"anonymous":   server.Anon,
		"expired":     server.Token("service_role", 1600000000),
		"of a person": server.Token("authenticated", 2000000000),
		"publishable": "sb_publishable_abc",
		"of another":  server.Forged(),
		"garbage":     "a.b.c",
		"none":        "",
	} {
		_, err := supabase.Open(t.Context(), supabase.Config{URL: server.URL, Key: secret.New(key)})
		if !errors.Is(err, cofre.ErrDenied) || cofre.Hint(err) == "" {
			t.Errorf("key %s: %v (hint %q)", name, err, cofre.Hint(err))
		}
		if err != nil && key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("key %s is in the error", name)
		}
	}
}

func TestServerWithoutListV2IsRefused(t *testing.T) {
	t.Parallel()
	server := testkit.Supabase(t)
	server.OldServer = true
	s := open(t, server.URL, server.Key)
	if err := s.Ensure(t.Context(), bucketNamed("evidence")); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.List(t.Context(), "evidence", "") {
		if !errors.Is(err, cofre.ErrRefused) || cofre.Hint(err) == "" {
			t.Errorf("listing: %v", err)
		}
		return
	}
	t.Error("the listing looks empty")
}

func bucketNamed(id string) bucket.Bucket { return bucket.Bucket{ID: id} }
