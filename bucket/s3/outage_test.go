package s3_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

// TestAnOutageIsWaitedOut: four requests that fail are all that the client itself sends, whatever is asked.
func TestAnOutageIsWaitedOut(t *testing.T) {
	server := testkit.S3(t)
	to, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{http.StatusServiceUnavailable, 0} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var left atomic.Int64 // requests that fail
			forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case left.Add(-1) < 0:
					forward.ServeHTTP(w, r)
				case status == 0:
					panic(http.ErrAbortHandler)
				default:
					w.WriteHeader(status)
				}
			}))
			defer front.Close()
			s, err := s3.Open(s3client.Config{
				Endpoint: front.URL, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, id := t.Context(), fmt.Sprintf("outage-%d", status)
			put := func(name string) error {
				_, err := s.Put(ctx, bucket.Object{Bucket: id, Name: name, Size: 4}, strings.NewReader("text"))
				return err
			}
			for _, request := range []struct {
				what string
				make func() error
			}{
				{"make a bucket", func() error { return s.Ensure(ctx, bucket.Bucket{ID: id}) }},
				{"put", func() error { return put("there") }},
				{"stat", func() error { _, err := s.Stat(ctx, id, "there"); return err }},
				{"list", func() error {
					n := 0
					for _, err := range s.List(ctx, id, "") {
						if n++; err != nil {
							return err
						}
					}
					if n != 1 {
						return fmt.Errorf("%d objects, want 1", n)
					}
					return nil
				}},
				{"list buckets", func() error { _, err := s.Buckets(ctx); return err }},
				{"find a bucket", func() error { _, err := s.Buckets(ctx, id); return err }},
				{"delete", func() error { return s.Delete(ctx, id, "there") }},
			} {
				if request.what != "make a bucket" || status != 0 { // nothing is known of a server that has not answered yet
					left.Store(4)
				}
				if err := request.make(); err != nil {
					t.Errorf("%s: %v", request.what, err)
				}
				if n := left.Load(); n > 0 {
					t.Errorf("%s: %d requests that should have failed were not made", request.what, n)
				}
			}
		})
	}
}
