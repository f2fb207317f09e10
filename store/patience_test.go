package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// outage stands between a store and its server, and answers by itself while it lasts.
type outage struct {
	*httptest.Server
	left   atomic.Int64 // requests that fail
	status int          // 0 cuts the connection
	seen   atomic.Int64
}

func newOutage(t *testing.T, s *testkit.S3Server) *outage {
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
	o := &outage{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.seen.Add(1)
		if o.left.Add(-1) < 0 {
			forward.ServeHTTP(w, r)
			return
		}
		if o.status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(o.status)
	}))
	t.Cleanup(o.Close)
	return o
}

// Six requests that fail are more than the client itself sends.
func TestAnOutageIsWaitedOut(t *testing.T) {
	server := testkit.S3(t)
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusInternalServerError, 0} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, server)
			o.status = status
			c := onServer(server, strings.Replace(server.URL(fmt.Sprintf("outage-%d", status)), url.QueryEscape(server.Endpoint), url.QueryEscape(o.URL), 1))
			s := openStore(t, c)
			var told atomic.Int64
			ctx := s3client.WithTeller(t.Context(), func(m cofre.Message) {
				if !strings.Contains(m.Text, "trying again in") {
					t.Errorf("told %q", m.Text)
				}
				told.Add(1)
			})
			if err := storetest.Put(ctx, s, "there", "text"); err != nil {
				t.Fatal(err)
			}
			for name, request := range map[string]func() error{
				"create":  func() error { return storetest.Put(ctx, s, "new", "text") },
				"replace": func() error { return s.Replace(ctx, "there", strings.NewReader("text"), 4) },
				"stat":    func() error { _, err := s.Stat(ctx, "there"); return err },
				"delete":  func() error { return s.Delete(ctx, "nothing") },
				"list": func() error {
					n := 0
					for _, err := range s.List(ctx, "the") {
						if err != nil {
							return err
						}
						n++
					}
					if n != 1 {
						return fmt.Errorf("%d objects", n)
					}
					return nil
				},
				"read":  func() error { return readAll(ctx, s, 0, -1, "text") },
				"range": func() error { return readAll(ctx, s, 1, 2, "ex") },
			} {
				o.left.Store(6)
				before := told.Load()
				if err := request(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if o.left.Load() >= 0 || told.Load() == before {
					t.Errorf("%s: %d failures are left, and nothing was told", name, o.left.Load()+1)
				}
			}
		})
	}
}

func readAll(ctx context.Context, s cofre.Store, offset, length int64, want string) error {
	r, err := s.Open(ctx, "there", offset, length)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err == nil && string(b) != want {
		err = fmt.Errorf("read %q", b)
	}
	return err
}

func TestWhatWillNotPassIsNotWaitedFor(t *testing.T) {
	server := testkit.S3(t)
	for name, change := range map[string]func(*store.Config){
		"wrong secret": func(c *store.Config) { c.SecretKey = secret.New("wrong") },
		"no bucket":    func(c *store.Config) { c.URL = strings.Replace(c.URL, server.Bucket, "missing-bucket", 1) },
		"no such host": func(c *store.Config) {
			c.URL = strings.Replace(c.URL, url.QueryEscape(server.Endpoint), url.QueryEscape("http://no-such-host.invalid"), 1)
		},
	} {
		c := onServer(server, server.URL("p")+"&patience=24h") // which no test has
		change(&c)
		if err := storetest.Put(t.Context(), openStore(t, c), "a", "x"); err == nil {
			t.Errorf("%s: nothing was wrong", name)
		}
	}
}

func TestPatienceEnds(t *testing.T) {
	server := testkit.S3(t)
	o := newOutage(t, server)
	o.status = http.StatusServiceUnavailable
	o.left.Store(1 << 40)
	c := onServer(server, strings.Replace(server.URL("p"), url.QueryEscape(server.Endpoint), url.QueryEscape(o.URL), 1)+"&patience=2s")
	began := time.Now()
	if err := storetest.Put(t.Context(), openStore(t, c), "a", "x"); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("create: %v, want ErrUnreachable", err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("it was waited for %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	c.URL = strings.Replace(c.URL, "&patience=2s", "&patience=24h", 1)
	if err := storetest.Put(ctx, openStore(t, c), "a", "x"); err == nil {
		t.Error("with a context that ends: nothing was wrong")
	}
}

// The body of an empty object was signed in chunks, which versitygw left on the connection for the next request.
func TestAfterAnEmptyObjectTheConnectionIsGood(t *testing.T) {
	s := openStore(t, onServer(testkit.S3(t), testkit.S3(t).URL("empty")))
	for i := range 200 {
		if err := s.Replace(t.Context(), "empty", strings.NewReader(""), 0); err != nil {
			t.Fatal(i, err)
		}
		if _, err := s.Stat(t.Context(), "empty"); err != nil {
			t.Fatalf("after %d empty objects: %v", i+1, err)
		}
	}
}
