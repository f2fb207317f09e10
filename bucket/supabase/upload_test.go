package supabase_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestAResumableUploadAfterACut: a connection breaks in the middle of a chunk, or after one, before the answer has come.
func TestAResumableUploadAfterACut(t *testing.T) {
	const size = 20 << 20 // four chunks
	for _, c := range []struct {
		chunk  int  // that is cut
		half   bool // of it arrives, else all of it
		answer int  // status instead of a cut
		again  bool // whether Put asks to be called again
	}{
		{chunk: 0, half: true},
		{chunk: 1, half: true},
		{chunk: 3, half: true},
		{chunk: 1},
		{chunk: 3, again: true},
		{chunk: 1, half: true, answer: http.StatusBadGateway},
		{chunk: 2, answer: http.StatusConflict},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			stand := testkit.Supabase(t)
			post(t, stand, "/bucket", `{"id":"docs","name":"docs"}`)
			var chunks, sent atomic.Int64
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPatch {
					stand.ServeHTTP(w, r)
					return
				}
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				sent.Add(int64(len(body)))
				cut := chunks.Add(1) == int64(c.chunk)+1
				if cut && c.half {
					body = body[:len(body)/2]
				}
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				if !cut {
					stand.ServeHTTP(w, r)
					return
				}
				stand.ServeHTTP(httptest.NewRecorder(), r)
				if c.answer == 0 {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(c.answer)
			}))
			defer front.Close()
			s, err := supabase.Open(t.Context(), supabase.Config{URL: front.URL, Key: secret.New(stand.Key), ResumableAbove: 1 << 20, Patience: 2 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
			o := bucket.Object{Bucket: "docs", Name: "large", Size: size, ContentType: "text/plain", CacheControl: "max-age=60"}
			_, err = s.Put(t.Context(), o, bytes.NewReader(content))
			if c.again {
				if !cofre.Retryable(err) {
					t.Fatalf("the answer to the last chunk was lost: %v", err)
				}
				_, err = s.Put(t.Context(), o, bytes.NewReader(content))
			} else if most := int64(size + 6<<20); sent.Load() > most {
				t.Errorf("sent %d bytes for %d: more than one chunk again", sent.Load(), size)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, body, err := bucket.OpenAgain(t.Context(), s, o) // the first read after an overwrite fails
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back, %v", len(got), err)
			}
		})
	}
}
