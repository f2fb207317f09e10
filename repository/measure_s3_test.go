package repository_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
)

// requests counts what comes through to an S3 server.
type requests struct {
	mu sync.Mutex
	by map[string]int
}

// through puts itself before a server.
func (n *requests) through(t *testing.T, s *testkit.S3Server) *testkit.S3Server {
	t.Helper()
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which is signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Method
		if r.URL.Query().Has("list-type") {
			what = "LIST"
		}
		n.mu.Lock()
		n.by[what]++
		n.mu.Unlock()
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	counted := *s
	counted.Endpoint = proxy.URL
	return &counted
}

// since returns what came since it was asked last, and how much that is.
func (n *requests) since() (map[string]int, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	by, sum := n.by, 0
	for _, each := range by {
		sum += each
	}
	n.by = map[string]int{}
	return by, sum
}

// TestMeasurePruneOnS3 prunes a repository on S3 after half of COFRE_MEASURE points have expired, reads everything back, restores a point, and counts what opening
// it takes where nothing is cached. docs/benchmarks.md has what it printed.
func TestMeasurePruneOnS3(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("COFRE_MEASURE"))
	if err != nil {
		t.Skip("COFRE_MEASURE is not a number of points")
	}
	server, counted := testkit.S3(t), &requests{by: map[string]int{}}
	c := s3Config(t, counted.through(t, server), "years")
	r := create(t, c)
	kept := map[cofre.PointID]map[string][]byte{}
	var gone []cofre.Expiry
	counted.since()
	began := time.Now()
	for i := range n {
		files := map[string][]byte{"same": noise(1, 60_000), "own": numbered(i, 50_000), "small": []byte(strconv.Itoa(i))}
		p := publish(t, r, capture(t, r, files))
		if i%2 == 0 {
			gone = append(gone, cofre.Expiry{Point: p.ID})
			continue
		}
		kept[p.ID] = files
	}
	_, sum := counted.since()
	t.Logf("%d points made in %s, %d requests each", n, time.Since(began).Round(time.Second), sum/n)
	began = time.Now()
	if _, err := r.Expire(t.Context(), gone...); err != nil {
		t.Fatal(err)
	}
	by, _ := counted.since()
	t.Logf("half of them expired in %s: %v", time.Since(began), by)
	for run := range 3 {
		t.Log(folderOf(t, filepath.Join(server.Dir, server.Bucket), 25*time.Hour))
		opened, began, cpu := open(t, c), time.Now(), cpuTime(t)
		counted.since()
		done, err := opened.Prune(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		by, _ := counted.since()
		t.Logf("prune, run %d: %s, CPU %s, %v: %+v", run+1, time.Since(began), cpuTime(t)-cpu, by, *done)
	}
	t.Log(folderOf(t, filepath.Join(server.Dir, server.Bucket), 25*time.Hour))

	cold := c
	cold.StateDir = t.TempDir()
	counted.since()
	opened := open(t, cold)
	all := points(t, opened)
	by, sum = counted.since()
	t.Logf("%d points: %d requests to open and to list where nothing is cached: %v", len(all), sum, by)
	if len(all) != len(kept) || sum > 40 {
		t.Errorf("%d points, want %d; %d requests, at most 40", len(all), len(kept), sum)
	}
	began = time.Now()
	if found := findings(t, opened, all, cofre.LevelContent); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	by, _ = counted.since()
	t.Logf("verified to content in %s: %v", time.Since(began), by)
	restored(t, opened, all[len(all)/2], kept)
}

func restored(t *testing.T, r *repository.Repository, p cofre.RecoveryPoint, kept map[cofre.PointID]map[string][]byte) {
	t.Helper()
	for name, want := range kept[p.ID] {
		if got := readFile(t, r, p.Components[0].Root, name); !bytes.Equal(got, want) {
			t.Errorf("%s of %s is another", name, p.ID)
		}
	}
	if kept[p.ID] == nil {
		t.Errorf("%s was not kept", p.ID)
	}
}
