package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

func TestMain(m *testing.M) {
	bucket.Hasten(20*time.Millisecond, 200*time.Millisecond)
	os.Exit(m.Run())
}

// between is a gateway between cofre and the storage. Each of its functions may be nil; they see the path without
// /object/authenticated for a download, and the whole of it otherwise.
type between struct {
	url    string
	mu     sync.Mutex
	fail   func(path string) int                             // the status to answer with instead, cut for none, or 0
	change func(path string, h http.Header, b []byte) []byte // what goes back for a download
}

func (g *between) set(fail func(string) int, change func(string, http.Header, []byte) []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fail, g.change = fail, change
}

// cut is no answer: the connection ends.
const cut = -1

const download = "/object/authenticated/"

// through puts a gateway in front of the room's storage and lets the captures go through it.
func (r *room) through() *between {
	r.t.Helper()
	g := &between{}
	to, err := url.Parse(r.server.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1, // so that an answer without a length is sent in chunks
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ModifyResponse: func(res *http.Response) error {
			path, is := strings.CutPrefix(res.Request.URL.Path, download)
			g.mu.Lock()
			change := g.change
			g.mu.Unlock()
			if !is || change == nil || res.StatusCode != http.StatusOK {
				return nil
			}
			b, err := io.ReadAll(res.Body)
			if err != nil {
				return err
			}
			res.Body = io.NopCloser(bytes.NewReader(change(path, res.Header, b)))
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		g.mu.Lock()
		fail := g.fail
		g.mu.Unlock()
		if fail != nil {
			switch status := fail(strings.TrimPrefix(q.URL.Path, download)); {
			case status == cut:
				panic(http.ErrAbortHandler)
			case status != 0:
				http.Error(w, "the gateway has no answer", status)
				return
			}
		}
		proxy.ServeHTTP(w, q)
	}))
	r.t.Cleanup(server.Close)
	g.url = server.URL
	store, err := supabase.Open(r.t.Context(), supabase.Config{URL: server.URL, Key: secret.New(r.server.Key), Patience: time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	r.config.Store = store
	return g
}

func named(fs []cofre.Finding) string {
	var s []string
	for _, f := range fs {
		s = append(s, f.Object+": "+f.What)
	}
	return strings.Join(s, "\n")
}

// sql is the inventory as the database of the storage gives it.
func (r *room) sql() bucket.Inventory {
	return bucket.InventoryFunc(func(context.Context) iter.Seq2[bucket.Object, error] {
		return supabase.CopyRows(strings.NewReader(r.server.Copy()), r.server.Columns())
	})
}

func TestAStorageThatGoesAwayInTheMiddle(t *testing.T) {
	r := newRoom(t)
	r.fill()
	g := r.through()
	var reads atomic.Int64
	g.set(func(path string) int {
		if strings.HasPrefix(path, "/") { // no download
			if reads.Load() > 20 {
				return http.StatusBadGateway
			}
			return 0
		}
		if reads.Add(1) > 20 {
			return http.StatusBadGateway
		}
		return 0
	}, nil)
	facts, captured := r.capture()
	if !captured.Partial || facts.Objects == 0 || facts.Objects > 20 || facts.Objects+facts.MissingN != 51 {
		t.Fatalf("captured %+v", facts)
	}
	if !strings.Contains(named(captured.Findings), "the storage went away") || len(captured.Findings) != int(facts.MissingN) {
		t.Errorf("findings %s", named(captured.Findings))
	}
	held := facts.Objects

	// Back again: what is missing is read, what is there is not.
	g.set(nil, nil)
	gets := r.server.Count("get")
	facts, captured = r.capture()
	if n := int64(r.server.Count("get") - gets); captured.Partial || facts.Objects != 51 || n != 51-held || len(captured.Findings) != 0 {
		t.Fatalf("then, with %d reads for %d missing, %+v: %s", n, 51-held, facts, named(captured.Findings))
	}
	before := contents(t, r.store)
	r.wipe()
	r.restore(restoring.Restore{})
	if d := differences(before, contents(t, r.store)); len(d) > 0 {
		t.Errorf("after the restore: %s", strings.Join(d, "\n"))
	}
}

func TestAStorageThatGoesAwayBeforeAnythingIsRead(t *testing.T) {
	r := newRoom(t)
	r.fill()
	g := r.through()
	g.set(func(path string) int {
		if path == "/bucket" || strings.HasPrefix(path, "/object/list-v2/") {
			return 0
		}
		return http.StatusServiceUnavailable
	}, nil)
	if _, err := bucket.NewSource(r.config).Capture(t.Context(), r.begin()); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("captured: %v", err)
	}
}

// The storage goes away while the database is dumped: what Prepare has read is in the point, the rest is named.
func TestAStorageThatGoesAwayBehindThePreparation(t *testing.T) {
	r := newRoom(t)
	r.fill()
	g := r.through()
	src := bucket.NewSource(r.config)
	c := r.begin()
	if err := src.Prepare(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g.set(func(string) int { return http.StatusBadGateway }, nil)
	r.put("evidence", "late", "what nobody could read")
	comp, tree := r.database()
	c.Companions = []cofre.Companion{{Component: comp, Tree: tree}}
	facts, captured := r.end(src, c)
	if !captured.Partial || facts.Objects != 51 || facts.MissingN != 1 || facts.Missing[0].Object != "evidence/late" {
		t.Fatalf("captured %+v", facts)
	}
}

func TestOneObjectThatNeverAnswersIsNamed(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusGatewayTimeout, http.StatusServiceUnavailable, http.StatusForbidden} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := newRoom(t)
			r.fill()
			r.through().set(func(path string) int {
				if path == "evidence/clash" {
					return status
				}
				return 0
			}, nil)
			facts, captured := r.capture()
			if !captured.Partial || facts.Objects != 50 || facts.MissingN != 1 || !strings.HasPrefix(named(captured.Findings), "evidence/clash: ") {
				t.Errorf("captured %+v: %s", facts, named(captured.Findings))
			}
		})
	}
}

func TestABucketThatCannotBeListedIsNamed(t *testing.T) {
	r := newRoom(t)
	r.fill()
	g := r.through()
	g.set(func(path string) int {
		if path == "/object/list-v2/avatars" {
			return http.StatusForbidden
		}
		return 0
	}, nil)
	facts, captured := r.capture()
	if !captured.Partial || facts.Objects != 11 || !strings.HasPrefix(named(captured.Findings), "avatars: the bucket could not be listed") {
		t.Fatalf("captured %+v: %s", facts, named(captured.Findings))
	}
	g.set(nil, nil)
	if facts, captured = r.capture(); captured.Partial || facts.Objects != 51 {
		t.Errorf("then %+v: %s", facts, named(captured.Findings))
	}
}

func TestADatabaseThatDoesNotAnswerLeavesTheListing(t *testing.T) {
	r := newRoom(t)
	r.fill()
	rows := 0
	r.config.Inventory = bucket.InventoryFunc(func(context.Context) iter.Seq2[bucket.Object, error] {
		return func(yield func(bucket.Object, error) bool) {
			for o, err := range supabase.CopyRows(strings.NewReader(r.server.Copy()), r.server.Columns()) {
				if rows++; rows == 10 {
					yield(bucket.Object{}, fmt.Errorf("connection lost: %w", cofre.ErrUnreachable))
					return
				}
				if !yield(o, err) {
					return
				}
			}
		}
	})
	facts, captured := r.capture()
	if captured.Partial || facts.Inventory != "listing" || facts.Objects != 51 {
		t.Fatalf("captured %+v", facts)
	}
	if len(captured.Findings) != 1 || !strings.Contains(named(captured.Findings), "without owners and versions: connection lost") {
		t.Errorf("findings %s", named(captured.Findings))
	}
}

// A gateway that drops the etag and changes bytes: the row knows their MD5.
func TestBytesThatWereChangedOnTheWayAreNeverRight(t *testing.T) {
	for name, etag := range map[string]string{"dropped": "", "rewritten": `W/"made-by-the-gateway"`} {
		for _, inventory := range []string{"sql", "listing"} {
			t.Run(name+" "+inventory, func(t *testing.T) {
				r := newRoom(t)
				r.fill()
				if inventory == "sql" {
					r.config.Inventory = r.sql()
				}
				var once atomic.Bool
				r.through().set(nil, func(path string, h http.Header, b []byte) []byte {
					h.Del("Etag")
					if etag != "" {
						h.Set("Etag", etag)
					}
					if path == "evidence/clash" || path == "evidence/a..b" && once.CompareAndSwap(false, true) {
						b = bytes.ToUpper(b)
					}
					return b
				})
				facts, captured := r.capture()
				if !captured.Partial || facts.SuspectN != 1 || facts.MissingN != 0 || facts.Missing[0].Object != "evidence/clash" {
					t.Fatalf("captured %+v: %s", facts, named(captured.Findings))
				}
				if !strings.Contains(named(captured.Findings), "evidence/clash: the bytes have the MD5") {
					t.Errorf("findings %s", named(captured.Findings))
				}
			})
		}
	}
}

// A gateway that sends in chunks and drops the etag serves the right bytes all the same.
func TestAGatewayThatDoesNotSayHowMuchItSends(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.config.Inventory = r.sql()
	r.through().set(nil, func(_ string, h http.Header, b []byte) []byte {
		h.Del("Etag")
		h.Del("Content-Length")
		return b
	})
	if facts, captured := r.capture(); captured.Partial || facts.Objects != 51 || len(captured.Findings) != 0 {
		t.Errorf("captured %+v: %s", facts, named(captured.Findings))
	}
}

// once calls f when the capture has told of its first object.
func once(f func()) cofre.Observer {
	var first sync.Once
	return cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeTaskProgress {
			first.Do(f)
		}
	})
}

// An unmounted file system looks as if everything had been deleted.
func TestAFolderThatGoesAwayInTheMiddle(t *testing.T) {
	r := newRoom(t)
	root := t.TempDir()
	for i := range 40 {
		name := filepath.Join(root, "reports", fmt.Sprintf("%02d", i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	r.config.Store, r.config.Jobs = folder, 1
	c := r.begin()
	c.Observer = once(func() {
		if err := os.Rename(filepath.Join(root, "reports"), filepath.Join(t.TempDir(), "away")); err != nil {
			t.Error(err)
		}
	})
	facts, captured := r.end(bucket.NewSource(r.config), c)
	if !captured.Partial || facts.Objects == 0 || facts.Vanished != 0 || facts.Objects+facts.MissingN != 40 {
		t.Errorf("captured %+v: %s", facts, named(captured.Findings))
	}
}

func TestAnS3ServerThatIsStoppedInTheMiddle(t *testing.T) {
	r := newRoom(t)
	server := testkit.S3(t)
	store, err := s3.Open(s3client.Config{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey), Patience: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		o := bucket.Object{Bucket: server.Bucket, Name: fmt.Sprintf("%02d", i), Size: 3}
		if _, err := store.Put(t.Context(), o, strings.NewReader("abc")); err != nil {
			t.Fatal(err)
		}
	}
	r.config.Store, r.config.Jobs = store, 1
	c := r.begin()
	c.Observer = once(server.Stop)
	facts, captured := r.end(bucket.NewSource(r.config), c)
	if !captured.Partial || facts.Objects == 0 || facts.Objects+facts.MissingN != 20 {
		t.Errorf("captured %+v: %s", facts, named(captured.Findings))
	}
	if _, err := bucket.NewSource(r.config).Capture(t.Context(), r.begin()); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("then: %v", err)
	}
}

// failing is a session in which writing one kind of file, or taking one over, fails.
type failing struct {
	cofre.Session
	what string
}

var errSession = errors.New("the repository is full")

func (f failing) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if strings.Contains(e.Path, f.what) {
		return cofre.Entry{}, errSession
	}
	return f.Session.Put(ctx, e, r)
}

func (f failing) Reuse(ctx context.Context, e cofre.Entry) error {
	if f.what == "reuse" {
		return errSession
	}
	return f.Session.Reuse(ctx, e)
}

// An error of the repository in one shard, or in one of the files that describe them, is never a component.
func TestAnErrorOfTheRepositoryIsTheEnd(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.put("avatars", "read", "by every capture that fails")
	for _, what := range []string{"index.jsonl", "shards/", bucket.BucketsFile, bucket.ShardsFile, "reuse"} {
		if what == "reuse" {
			r.capture()
		}
		c := r.begin()
		c.Session = failing{c.Session, what}
		if captured, err := bucket.NewSource(r.config).Capture(t.Context(), c); !errors.Is(err, errSession) {
			t.Errorf("%s could not be written: captured %+v, %v", what, captured, err)
		}
	}
}
