package bucket_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// tagRoom is a room around an S3 server, behind a front that can refuse to speak of tags.
type tagRoom struct {
	*room
	id     string
	dir    string // where the server keeps its buckets
	server string // its address, past the front
	config s3client.Config
	denied atomic.Bool // GetObjectTagging
	untold atomic.Bool // how many tags an object has, as to a key that may not read them
	asked  atomic.Int64
	faults atomic.Pointer[testkit.Faults] // each request asks them, and is denied
}

func newTagRoom(t *testing.T) *tagRoom {
	server := testkit.S3(t)
	to, err := url.Parse(server.Endpoint)
	must(t, err)
	r := &tagRoom{id: server.Bucket, dir: server.Dir, server: server.Endpoint}
	forward := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); p.Out.Host = p.In.Host },
		ModifyResponse: func(a *http.Response) error {
			if r.untold.Load() {
				a.Header.Del("X-Amz-Tagging-Count")
			}
			return nil
		},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if f := r.faults.Load(); f != nil && f.Check(q.Method+" "+q.URL.Path+"?"+q.URL.RawQuery) != nil {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
			return
		}
		if q.URL.Query().Has("tagging") && q.Method == http.MethodGet {
			r.asked.Add(1)
			if r.denied.Load() {
				w.WriteHeader(http.StatusForbidden)
				_, _ = fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
				return
			}
		}
		forward.ServeHTTP(w, q)
	}))
	t.Cleanup(front.Close)
	r.config = s3client.Config{Endpoint: front.URL, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey), Patience: time.Second}
	r.room = &room{t: t, repo: repositorytest.NewMemory()}
	r.room.config = bucket.Config{Source: storageID, TempDir: t.TempDir()}
	r.open()
	return r
}

// open opens the storage anew, as another process would.
func (r *tagRoom) open() *s3.Store {
	r.t.Helper()
	s, err := s3.Open(r.config)
	must(r.t, err)
	r.room.config.Store = s
	return s
}

func (r *tagRoom) putTagged(s bucket.Store, name string, size int, tags map[string]string) {
	r.t.Helper()
	o := bucket.Object{Bucket: r.id, Name: name, Size: int64(size), ContentType: "image/png", Tags: tags}
	_, err := s.Put(r.t.Context(), o, bytes.NewReader(bytes.Repeat([]byte("t"), size)))
	must(r.t, err)
}

func (r *tagRoom) tagsAre(s bucket.Store, name string, want map[string]string) {
	r.t.Helper()
	o, err := s.Stat(r.t.Context(), r.id, name)
	must(r.t, err)
	if !maps.Equal(o.Tags, want) {
		r.t.Errorf("%s has the tags %v, want %v", name, o.Tags, want)
	}
}

// leaves restores, and returns what it left.
func (r *tagRoom) leaves(cfg restoring.Restore) *cofre.Outcome {
	r.t.Helper()
	out, err := r.tryRestore(cfg)
	must(r.t, err)
	return out
}

func TestTagsComeBack(t *testing.T) {
	t.Parallel()
	r := newTagRoom(t)
	s := r.open()
	small, large := map[string]string{"kind": "evidence", "case": "a/b 1+3"}, map[string]string{"kept": "10 years"}
	r.putTagged(s, "small", 1000, small)
	r.putTagged(s, "large", 20<<20, large)
	for i := range 20 {
		r.putTagged(s, fmt.Sprintf("plain/%d", i), 10+i, nil)
	}
	r.asked.Store(0)
	facts, captured := r.capture()
	if captured.Partial || len(captured.Findings) > 0 || !facts.Kept().Tags {
		t.Fatalf("captured %+v, %v", facts, captured.Findings)
	}
	if n := r.asked.Load(); n > 2+20 || n < 2 {
		t.Errorf("%d requests for tags", n)
	}
	r.asked.Store(0)
	if facts, _ = r.capture(); facts.Read != 0 || r.asked.Load() != 0 {
		t.Errorf("read %d objects again, with %d requests for tags", facts.Read, r.asked.Load())
	}
	must(t, bucket.RemovePrefix(t.Context(), s, r.id, ""))
	if out := r.leaves(restoring.Restore{To: s}); len(out.Left) > 0 {
		t.Errorf("left: %s", left(out))
	}
	r.tagsAre(s, "small", small)
	r.tagsAre(s, "large", large)
	r.tagsAre(s, "plain/1", nil)

	r.putTagged(s, "small", 1000, map[string]string{"kind": "other"})
	r.putTagged(s, "plain/1", 11, map[string]string{"new": "1"})
	out := r.leaves(restoring.Restore{To: s})
	if got := left(out); len(out.Left) != 2 || !strings.Contains(got, "object backups/small: tags kind=other, not case=a/b 1+3 kind=evidence") || !strings.Contains(got, "plain/1: tags new=1, not none") {
		t.Errorf("left: %s", got)
	}
	if out = r.leaves(restoring.Restore{To: s, Replace: true}); len(out.Left) > 0 {
		t.Errorf("left: %s", left(out))
	}
	r.tagsAre(s, "small", small)
	r.tagsAre(s, "plain/1", nil)

	folder, err := dir.Open(t.TempDir())
	must(t, err)
	out = r.leaves(restoring.Restore{To: folder})
	if got := left(out); !strings.Contains(got, "tags of 2 objects, the first backups/large: dir cannot hold them") {
		t.Errorf("into a folder: left %s", got)
	}
}

func TestTagsThatCannotBeReadAreNamed(t *testing.T) {
	t.Parallel()
	r := newTagRoom(t)
	tags := map[string]string{"kind": "evidence"}
	r.putTagged(r.open(), "tagged", 1000, tags)
	r.denied.Store(true)
	r.open()
	_, captured := r.capture()
	if len(captured.Findings) != 1 || captured.Findings[0].Object != "backups/tagged" || !strings.Contains(captured.Findings[0].What, "the tags of 1 object are not captured") {
		t.Errorf("findings %+v", captured.Findings)
	}
	if out := r.leaves(restoring.Restore{To: r.open()}); !strings.Contains(left(out), "tags of 1 object, backups/tagged: they are in no capture") {
		t.Errorf("left: %s", left(out))
	}
	// As Amazon does: a key that may not read tags is not told that there are any.
	r.untold.Store(true)
	r.putTagged(r.open(), "untold", 1000, tags)
	r.last, r.lastTree = nil, nil
	r.open()
	_, captured = r.capture()
	if got := strings.Join(captured.Warnings, "\n"); !strings.Contains(got, "bucket backups: the key may not read the tags") {
		t.Errorf("warnings %q", got)
	}
	// With the right to, the tags of what was captured without them are read, and not the bytes.
	r.denied.Store(false)
	r.untold.Store(false)
	s := r.open()
	facts, captured := r.capture()
	if facts.Read != 0 || len(captured.Findings)+len(captured.Warnings) > 0 {
		t.Errorf("read %d objects again, found %v, %v", facts.Read, captured.Findings, captured.Warnings)
	}
	must(t, bucket.RemovePrefix(t.Context(), s, r.id, ""))
	r.leaves(restoring.Restore{To: s})
	r.tagsAre(s, "tagged", tags)
	r.tagsAre(s, "untold", tags)
}

// TestTagsOfEveryLanguage: S3 takes letters beyond ASCII, which the library refuses to read and to send.
func TestTagsOfEveryLanguage(t *testing.T) {
	t.Parallel()
	r := newTagRoom(t)
	s := r.open()
	small, large := map[string]string{"situação": "concluída", "日本": "語 1"}, map[string]string{"órgão": "Ação civil", "ascii": "a b"}
	r.putTagged(s, "small é", 1000, small)
	r.putTagged(s, "large", 20<<20, large)
	_, captured := r.capture()
	if captured.Partial || len(captured.Findings) > 0 {
		t.Fatalf("captured %v", captured.Findings)
	}
	must(t, bucket.RemovePrefix(t.Context(), s, r.id, ""))
	if out := r.leaves(restoring.Restore{To: s}); len(out.Left) > 0 {
		t.Errorf("left: %s", left(out))
	}
	r.tagsAre(s, "small é", small)
	r.tagsAre(s, "large", large)
	r.denied.Store(true)
	r.last, r.lastTree = nil, nil
	r.open()
	if _, captured = r.capture(); len(captured.Findings) != 1 || !strings.Contains(captured.Findings[0].What, "the tags of 2 objects are not captured") {
		t.Errorf("findings %+v", captured.Findings)
	}
}
