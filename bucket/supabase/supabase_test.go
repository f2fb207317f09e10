package supabase_test

import (
	"os"
	"testing"

	"github.com/trustlayer/cofre/bucket/buckettest"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
)

func TestContractOfTheRealServer(t *testing.T) {
	url := os.Getenv("COFRE_SUPABASE_URL")
	if url == "" {
		t.Skip("COFRE_SUPABASE_URL and COFRE_SUPABASE_KEY name no server")
	}
	s, err := supabase.Open(t.Context(), supabase.Config{
		URL: url, Key: secret.New(os.Getenv("COFRE_SUPABASE_KEY")), ResumableAbove: 10 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, s, "contract")
}
