package supabase_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/storagerows"
	"github.com/trustlayer/cofre/repository"
)

// TestMeasure compares a capture with the ways it replaces, on a real server (COFRE_SUPABASE_URL, _KEY, and _DB for
// its database), in one run: the guide's curl loop, 16 bare parallel downloads, a capture, a capture with nothing
// changed, and a restore after everything was deleted. docs/failures/storage.md has what it printed.
func TestMeasure(t *testing.T) {
	if os.Getenv("COFRE_MEASURE") == "" {
		t.Skip("COFRE_MEASURE is not set")
	}
	ctx := t.Context()
	key := os.Getenv("COFRE_SUPABASE_KEY")
	s, err := supabase.Open(ctx, supabase.Config{URL: os.Getenv("COFRE_SUPABASE_URL"), Key: secret.New(key)})
	if err != nil {
		t.Fatal(err)
	}
	fillForMeasure(t, s)
	var all []bucket.Object
	var total int64
	for o, err := range s.List(ctx, "measure", "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
		total += o.Size
	}
	t.Logf("%d objects, %.1f MB", len(all), float64(total)/1e6)

	timed := func(what string, f func()) time.Duration {
		started := time.Now()
		f()
		d := time.Since(started)
		t.Logf("%-44s %8.2f s", what, d.Seconds())
		return d
	}
	bare := timed("16 bare parallel downloads", func() { bareDownloads(t, key, all) })
	const sample = 150
	loop := timed(fmt.Sprintf("the guide's curl loop, %d small objects", sample), func() { curlLoop(t, key, all[:sample]) })
	t.Logf("the loop for all: about %.0f s", loop.Seconds()/sample*float64(len(all)))

	dir := t.TempDir()
	cfg := repository.Config{URL: filepath.Join(dir, "repo"), Password: secret.New("measure"), StateDir: filepath.Join(dir, "state")}
	if _, err := repository.Init(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	repo, err := repository.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close(ctx)
	m := measuring{t: t, repo: repo, config: bucket.Config{Store: s, Buckets: []string{"measure"}, Jobs: bucket.MaxJobs}}
	if db := os.Getenv("COFRE_SUPABASE_DB"); db != "" {
		m.config.Inventory = sqlInventory(db)
	}
	first := timed("capture", func() { m.capture() })
	again := timed("capture, nothing changed", func() { m.capture() })
	if m.facts.Read != 0 {
		t.Errorf("read %d objects again", m.facts.Read)
	}
	t.Logf("capture / bare %.2f, loop / capture %.1f, unchanged / first %.3f", first.Seconds()/bare.Seconds(),
		loop.Seconds()/sample*float64(len(all))/first.Seconds(), again.Seconds()/first.Seconds())
	m.config.Inventory = nil
	timed("capture from the listing, nothing changed", func() { m.capture() })
	if m.facts.Read != 0 {
		t.Errorf("read %d objects again", m.facts.Read)
	}

	timed("delete everything", func() {
		parallel(all, func(o bucket.Object) {
			if err := s.Delete(ctx, o.Bucket, o.Name); err != nil {
				t.Error(err)
			}
		})
	})
	timed("restore, each object read back", func() { m.restore() })
	timed("restore again", func() { m.restore() })
}

func parallel(all []bucket.Object, f func(bucket.Object)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, bucket.MaxJobs)
	for _, o := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(o)
		})
	}
	wg.Wait()
}

func fillForMeasure(t *testing.T, s *supabase.Store) {
	t.Helper()
	if err := s.Ensure(t.Context(), bucket.Bucket{ID: "measure"}); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for o, err := range s.List(t.Context(), "measure", "") {
		if err != nil {
			t.Fatal(err)
		}
		have[o.Name] = true
	}
	random := rand.New(rand.NewSource(1))
	var todo []bucket.Object
	for i := range 5052 {
		o := bucket.Object{
			Bucket: "measure", Name: fmt.Sprintf("%c/%02d/%03d/file-%04d.bin", 'a'+i%26, i%50, i%107, i), ContentType: "application/pdf",
			CacheControl: "max-age=3600", Metadata: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)), Size: int64(1000 + random.Intn(19000)),
		}
		switch {
		case i >= 5050:
			o.Size = 100 << 20
		case i >= 5000:
			o.Size = int64(1<<20 + random.Intn(4<<20))
		}
		if !have[o.Name] {
			todo = append(todo, o)
		}
	}
	parallel(todo, func(o bucket.Object) {
		b := make([]byte, o.Size)
		rand.New(rand.NewSource(o.Size)).Read(b)
		if _, err := s.Put(t.Context(), o, bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
	})
}

func objectURL(o bucket.Object) string {
	segments := strings.Split(o.Name, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return os.Getenv("COFRE_SUPABASE_URL") + "/object/" + o.Bucket + "/" + strings.Join(segments, "/")
}

func bareDownloads(t *testing.T, key string, all []bucket.Object) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	parallel(all, func(o bucket.Object) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, objectURL(o), nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		if n, err := io.Copy(io.Discard, res.Body); err != nil || n != o.Size {
			t.Errorf("%s: %d bytes, %v", o.Path(), n, err)
		}
	})
}

func curlLoop(t *testing.T, key string, all []bucket.Object) {
	t.Helper()
	dir := t.TempDir()
	header := filepath.Join(dir, "header")
	if err := os.WriteFile(header, []byte("Authorization: Bearer "+key), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, o := range all {
		if err := exec.CommandContext(t.Context(), "curl", "-s", "-H", "@"+header, "-o", filepath.Join(dir, fmt.Sprint(i)), objectURL(o)).Run(); err != nil {
			t.Fatal(err)
		}
	}
}

func sqlInventory(db string) bucket.Inventory {
	return bucket.InventoryFunc(func(ctx context.Context) iter.Seq2[bucket.Object, error] {
		return func(yield func(bucket.Object, error) bool) {
			table := storagerows.Table{Server: postgres.Config{URL: db}}
			err := table.Read(ctx, time.Time{}, func(columns []string, rows io.Reader) error {
				for o, err := range supabase.CopyRows(rows, columns) {
					if !yield(o, err) {
						return errEnough
					}
				}
				return nil
			})
			if err != nil && !errors.Is(err, errEnough) {
				yield(bucket.Object{}, err)
			}
		}
	})
}

var errEnough = errors.New("enough")

// measuring captures and restores, each time after the last component.
type measuring struct {
	t      *testing.T
	repo   *repository.Repository
	config bucket.Config
	last   *cofre.Component
	tree   cofre.Tree
	facts  bucket.Facts
}

func (m *measuring) capture() {
	m.t.Helper()
	ctx := m.t.Context()
	session, err := m.repo.Begin(ctx, cofre.SourceID{Installation: "measure", Kind: cofre.KindStorage, Name: "storage"})
	if err != nil {
		m.t.Fatal(err)
	}
	defer session.Close(ctx)
	started := time.Now()
	captured, err := bucket.NewSource(m.config).Capture(ctx, &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 1, Previous: m.last, PreviousTree: m.tree})
	if err != nil {
		m.t.Fatal(err)
	}
	content, err := session.Finish(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	m.last = &cofre.Component{Kind: cofre.KindStorage, Content: content, Facts: captured.Facts, StartedAt: started}
	if m.tree, err = m.repo.Tree(ctx, content.Root); err != nil {
		m.t.Fatal(err)
	}
	m.facts = bucket.Facts{}
	if err := json.Unmarshal(captured.Facts, &m.facts); err != nil {
		m.t.Fatal(err)
	}
	if captured.Partial {
		m.t.Errorf("partial: %v", captured.Warnings)
	}
}

func (m *measuring) restore() {
	m.t.Helper()
	ctx := m.t.Context()
	target := restoring.NewTarget(restoring.Restore{To: m.config.Store, Jobs: bucket.MaxJobs})
	plan, err := target.Plan(ctx, *m.last, m.tree)
	if err != nil || len(plan.Problems) > 0 {
		m.t.Fatalf("%v %+v", err, plan)
	}
	if err := target.Stage(ctx, cofre.Discard); err != nil {
		m.t.Fatal(err)
	}
	if proof, err := target.Check(ctx, cofre.Discard); err != nil || !proof.Holds() {
		m.t.Fatalf("%v %+v", err, proof)
	}
	out, err := target.Publish(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Log(out.Done.Text)
}
