package drilling_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation/drilling"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// captured is what a source gives, in a repository in memory.
func captured(t *testing.T, src cofre.Source) logicaltest.Captured {
	t.Helper()
	repo := repositorytest.NewMemory()
	session, err := repo.Begin(t.Context(), src.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(t.Context())
	c := cofre.Component{Kind: src.ID().Kind, Name: src.ID().Name, StartedAt: time.Now()}
	got, err := src.Capture(t.Context(), &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	if c.Content, err = session.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Facts, c.EndedAt = got.Facts, time.Now()
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		t.Fatal(err)
	}
	return logicaltest.Captured{Repo: repo, Component: c, Tree: tree}
}

// behind is the tree in which the file with these bytes has others, or cannot be read.
func behind(t *testing.T, tree cofre.Tree, was, is string) cofre.Tree {
	t.Helper()
	found := map[string][]byte{}
	var walk func(dir string)
	walk = func(dir string) {
		for e, err := range tree.List(t.Context(), dir) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Mode.IsDir() {
				walk(e.Path)
				continue
			}
			r, err := tree.Open(t.Context(), e.Path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			if string(b) == was {
				found[e.Path] = []byte(is)
			}
		}
	}
	walk("")
	if len(found) != 1 {
		t.Fatalf("%d files have %q", len(found), was)
	}
	if is != "" {
		return altered{tree, found}
	}
	return damaged{tree, slices.Collect(maps.Keys(found))[0]}
}

// damaged is a tree of which one file cannot be read.
type damaged struct {
	cofre.Tree
	path string
}

func (d damaged) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if path == d.path {
		return nil, fmt.Errorf("open %s: %w", path, cofre.ErrCorrupt)
	}
	return d.Tree.Open(ctx, path)
}

func TestFilesAndObjectsAreDrilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "one", "deep/b": "two"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path.Join(dir, name)), 0o750), os.WriteFile(path.Join(dir, name), []byte(text), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	ofFiles := captured(t, files.NewSource(files.Config{Installation: "test", Paths: []string{dir}}))
	in := rooms(t)
	server := testkit.S3(t)
	store, err := s3.Open(s3client.Config{Endpoint: server.Endpoint, Region: "us-east-1", AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Ensure(t.Context(), bucket.Bucket{ID: "drilled", Name: "drilled"}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []bucket.Object{
		{Name: "a/b", ContentType: "text/plain", Tags: map[string]string{"kind": "evidence"}, CacheControl: "max-age=60", Disposition: "attachment", Language: "pt", Metadata: json.RawMessage(`{"who":"ana"}`)},
		{Name: "odd //name/../é"},
	} {
		o.Bucket, o.Size = "drilled", int64(len("bytes of "+o.Name))
		if _, err := store.Put(t.Context(), o, bytes.NewReader([]byte("bytes of "+o.Name))); err != nil {
			t.Fatal(err)
		}
	}
	ofObjects := captured(t, bucket.NewSource(bucket.Config{Source: cofre.SourceID{Installation: "test", Kind: cofre.KindStorage, Name: "storage"}, Store: store, Buckets: []string{"drilled"}, StateDir: t.TempDir()}))
	for _, c := range []struct {
		logicaltest.Captured
		was, is, named string
	}{{ofFiles, "two", "", "deep/b"}, {ofObjects, "bytes of a/b", "", "a/b"}, {ofObjects, "bytes of a/b", "bytes of a/c", "a/b"}} {
		r, err := drill(t, drilling.Job{Rooms: in}, c.Captured, c.Tree)
		if err != nil || r.Red() || len(r.Proof.Checks) == 0 || c.Kind == cofre.KindConfig && r.Depth != cofre.DrilledEverything {
			t.Errorf("%s: %v, %+v, %s: %v", c.Kind, err, r.Findings, r.Depth, r.Proof.NotCompared)
		}
		r, err = drill(t, drilling.Job{Rooms: in}, c.Captured, behind(t, c.Tree, c.was, c.is))
		named := fmt.Sprint(err)
		for _, f := range r.Findings {
			named += "\n" + f.Object + ": " + f.What
		}
		if !r.Red() && !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(named, c.named) {
			t.Errorf("%s, changed: %v, %+v", c.Kind, err, r.Findings)
		}
	}
	if l := left(t, in); len(l) > 0 {
		t.Errorf("left: %v", l)
	}
}
