package bucket_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// TestManyObjects captures a generated inventory twice, with a few changes in between. The number of objects is
// small unless COFRE_MEASURE_OBJECTS says otherwise; then the peak memory of the process is printed.
func TestManyObjects(t *testing.T) {
	n := 20_000
	if v, err := strconv.Atoi(os.Getenv("COFRE_MEASURE_OBJECTS")); err == nil {
		n = v
	} else {
		t.Parallel()
	}
	store := &generated{n: n}
	src := bucket.NewSource(bucket.Config{Source: storageID, Store: store, TempDir: t.TempDir(), Jobs: 16})
	last := &diskSession{dir: t.TempDir()}
	facts := captureGenerated(t, src, last, nil)
	if facts.Objects != int64(n) || facts.Read != int64(n) {
		t.Fatalf("first capture: %+v", facts)
	}
	t.Logf("first capture of %d: peak memory %s", n, peakMemory(t))

	store.changed = 10
	next := &diskSession{dir: t.TempDir()}
	started := time.Now()
	facts = captureGenerated(t, src, next, last)
	t.Logf("second capture, %d changed: %.2f s, peak memory %s, %d shards and %d objects taken over", store.changed,
		time.Since(started).Seconds(), peakMemory(t), next.dirs.Load(), next.reused.Load())
	if facts.Read != 10 || facts.Objects != int64(n) || next.puts.Load() != 10 {
		t.Errorf("second capture: %+v, %d objects written", facts, next.puts.Load())
	}
	if next.reused.Load() > 10*2048 {
		t.Errorf("%d objects were taken over one by one for 10 changes", next.reused.Load())
	}
}

func captureGenerated(t *testing.T, src *bucket.Source, s, last *diskSession) bucket.Facts {
	t.Helper()
	c := &cofre.Capture{Session: s, Observer: cofre.Discard, Jobs: 1}
	if last != nil {
		c.Previous, c.PreviousTree = &cofre.Component{StartedAt: time.Now().Add(-time.Hour)}, last
	}
	captured, err := src.Capture(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var f bucket.Facts
	if err := json.Unmarshal(captured.Facts, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func peakMemory(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc")
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// generated is a store of n small objects, the first changed of which are of another version.
type generated struct{ n, changed int }

func (g *generated) Describe() bucket.Description {
	return bucket.Description{Kind: "generated", URL: "generated:"}
}

func (g *generated) Buckets(context.Context, ...string) ([]bucket.Bucket, error) {
	return []bucket.Bucket{{ID: "evidence"}}, nil
}
func (g *generated) Ensure(context.Context, bucket.Bucket) error { return nil }

func (g *generated) object(i int) bucket.Object {
	version := "1"
	if i < g.changed {
		version = "2"
	}
	return bucket.Object{
		Bucket: "evidence", Name: fmt.Sprintf("cases/%04d/evidence/photograph-%08d.jpeg", i%5000, i), Size: 8,
		ETag: fmt.Sprintf("e%031d", i) + version, Version: fmt.Sprintf("00000000-0000-4000-8000-%011d%s", i, version),
		ModifiedAt: time.Unix(1_700_000_000, 0), ContentType: "image/jpeg", CacheControl: "max-age=3600", Metadata: json.RawMessage(`{"case":"A-17"}`),
	}
}

func (g *generated) List(_ context.Context, _, _ string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for i := range g.n {
			if !yield(g.object(i), nil) {
				return
			}
		}
	}
}

func (g *generated) Stat(context.Context, string, string) (bucket.Object, error) {
	return bucket.Object{}, cofre.ErrNotFound
}

func (g *generated) Open(_ context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	return o, io.NopCloser(strings.NewReader("8 bytes.")), nil
}

func (g *generated) Put(context.Context, bucket.Object, io.ReadSeeker) (bucket.Object, error) {
	return bucket.Object{}, errors.ErrUnsupported
}
func (g *generated) Fit(o bucket.Object) (bucket.Object, []cofre.Message) { return o, nil }
func (g *generated) Delete(context.Context, string, string) error         { return errors.ErrUnsupported }

// diskSession keeps the files that describe a component in a folder and forgets the objects, so that what is
// measured is the capture.
type diskSession struct {
	dir                string
	puts, reused, dirs atomic.Int64
}

func (s *diskSession) Put(_ context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	e.Object = "x"
	if !strings.Contains(e.Path, ".json") {
		s.puts.Add(1)
		_, err := io.Copy(io.Discard, r)
		return e, err
	}
	path := filepath.Join(s.dir, e.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return e, err
	}
	f, err := os.Create(path)
	if err != nil {
		return e, err
	}
	_, err = io.Copy(f, r)
	return e, errors.Join(err, f.Close())
}

func (s *diskSession) Reuse(_ context.Context, e cofre.Entry) error {
	if e.IsDir() {
		s.dirs.Add(1)
	} else {
		s.reused.Add(1)
	}
	return nil
}
func (s *diskSession) Add(context.Context, cofre.Entry) error { return nil }
func (s *diskSession) Store(context.Context, cofre.Layout, io.Reader) (cofre.ObjectID, int64, error) {
	return "", 0, errors.ErrUnsupported
}

func (s *diskSession) Concat(context.Context, cofre.Entry, []cofre.ObjectID) (cofre.Entry, error) {
	return cofre.Entry{}, errors.ErrUnsupported
}

func (s *diskSession) RowKey() (cofre.RowKey, error)                 { return cofre.RowKey{}, errors.ErrUnsupported }
func (s *diskSession) Finish(context.Context) (cofre.Content, error) { return cofre.Content{}, nil }
func (s *diskSession) Close(context.Context) error                   { return nil }

func (s *diskSession) Stat(context.Context, string) (cofre.Entry, error) {
	return cofre.Entry{}, errors.ErrUnsupported
}

// List synthesizes the objects of a shard from its index.
func (s *diskSession) List(_ context.Context, dir string) iter.Seq2[cofre.Entry, error] {
	return func(yield func(cofre.Entry, error) bool) {
		index, err := os.Open(filepath.Join(s.dir, dir, "index.jsonl"))
		if errors.Is(err, fs.ErrNotExist) {
			entries, err := os.ReadDir(filepath.Join(s.dir, dir))
			for _, d := range entries {
				if !yield(cofre.Entry{Path: dir + "/" + d.Name(), Mode: fs.ModeDir | 0o755, Object: "x"}, err) {
					return
				}
			}
			return
		}
		if err != nil {
			yield(cofre.Entry{}, err)
			return
		}
		defer index.Close()
		var files []string
		for sc := bufio.NewScanner(index); sc.Scan(); {
			var x bucket.Indexed
			if err := json.Unmarshal(sc.Bytes(), &x); err != nil {
				yield(cofre.Entry{}, err)
				return
			}
			files = append(files, x.File)
		}
		slices.Sort(files)
		for _, f := range files {
			if !yield(cofre.Entry{Path: dir + "/" + f, Mode: 0o600, Object: "x"}, nil) {
				return
			}
		}
	}
}

func (s *diskSession) Open(_ context.Context, path string) (io.ReadSeekCloser, error) {
	f, err := os.Open(filepath.Join(s.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cofre.ErrNotFound
	}
	return f, err
}
