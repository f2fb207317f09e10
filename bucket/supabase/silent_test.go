package supabase_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestSilentServer: a server that accepts and says nothing is unreachable, and not waited for until somebody looks.
func TestSilentServer(t *testing.T) {
	supabase.ShortenSilence(t, 200*time.Millisecond)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // what is not accepted is connected all the same
	key := testkit.Supabase(t).Key
	_, err = supabase.Open(t.Context(), supabase.Config{URL: "http://" + listener.Addr().String(), Key: secret.New(key)})
	if !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("opened with %v, want %v", err, cofre.ErrUnreachable)
	}
}

// TestSilentBody: an object whose bytes stop coming is an error that may be tried again.
func TestSilentBody(t *testing.T) {
	supabase.ShortenSilence(t, 200*time.Millisecond)
	stand := testkit.Supabase(t)
	post(t, stand, "/bucket", `{"id":"docs","name":"docs"}`)
	post(t, stand, "/object/docs/a", strings.Repeat("x", 1000))
	hold := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/object/authenticated/docs/a" {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(make([]byte, 100))
			_ = http.NewResponseController(w).Flush()
			<-hold
			return
		}
		stand.ServeHTTP(w, r)
	}))
	defer front.Close()
	defer close(hold)
	s, err := supabase.Open(t.Context(), supabase.Config{URL: front.URL, Key: secret.New(stand.Key)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, body, err := s.Open(ctx, bucket.Object{Bucket: "docs", Name: "a", Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	n, err := io.Copy(io.Discard, body)
	if n != 100 || ctx.Err() != nil || !errors.Is(err, cofre.ErrUnreachable) || !cofre.Retryable(err) {
		t.Errorf("read %d bytes and %v, want 100 and what may be tried again", n, err)
	}
}

func post(t *testing.T, stand *testkit.SupabaseStorage, path, body string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+stand.Key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if stand.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("POST %s: %d %s", path, w.Code, w.Body)
	}
}
