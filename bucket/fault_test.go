package bucket_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/restore"
)

// watched is the room's repository, each of whose operations asks f, but that ends of sessions are carried out.
func (r *room) watched(f *testkit.Faults) cofre.Repository {
	return repositorytest.Watched(r.repo, func(op repositorytest.Operation, path string) error {
		if op == repositorytest.OpBegin || op == repositorytest.OpClose {
			return nil
		}
		return f.Check(fmt.Sprint(op, " ", path))
	})
}

// try captures into a repository, and keeps what it captured as the last component. A nil component is one that was not finished.
func (r *room) try(repo cofre.Repository, store bucket.Store, companion bool) (*cofre.Component, cofre.Captured, error) {
	r.t.Helper()
	ctx := r.t.Context()
	s, err := repo.Begin(ctx, storageID)
	must(r.t, err)
	defer s.Close(ctx)
	c := &cofre.Capture{Session: s, Observer: cofre.Discard, Jobs: 1, Previous: r.last}
	if r.last != nil {
		if c.PreviousTree, err = repo.Tree(ctx, r.last.Content.Root); err != nil {
			return nil, cofre.Captured{}, err
		}
	}
	if companion {
		database, _ := r.database()
		tree, err := repo.Tree(ctx, database.Content.Root)
		if err != nil {
			return nil, cofre.Captured{}, err
		}
		c.Companions = []cofre.Companion{{Component: database, Tree: tree}}
	}
	config := r.config
	config.Store = store
	captured, err := bucket.NewSource(config).Capture(ctx, c)
	if err != nil {
		return nil, captured, err
	}
	content, err := s.Finish(ctx)
	if err != nil {
		return nil, captured, err
	}
	return &cofre.Component{Kind: cofre.KindStorage, Name: "storage", Content: content, Facts: captured.Facts, Partial: captured.Partial, StartedAt: time.Now(), EndedAt: time.Now()}, captured, nil
}

// few fills the room with little: each call is one round of a test.
func (r *room) few() {
	r.t.Helper()
	limit := int64(1000)
	r.ensure(bucket.Bucket{ID: "evidence", MaxSize: &limit, Types: []string{"text/plain"}})
	r.ensure(bucket.Bucket{ID: "avatars", Public: true})
	for _, n := range []string{"a", "b/c", "empty"} {
		r.put("evidence", n, strings.TrimPrefix("bytes of "+n, "bytes of empty"))
	}
	r.put("avatars", "face", "bytes of a face")
}

// heldBy fails the test if a component that nothing was said against does not hold everything.
func (r *room) heldBy(what string, c *cofre.Component, captured cofre.Captured, before map[string]string) {
	r.t.Helper()
	if captured.Partial || len(captured.Findings)+len(captured.Warnings) > 0 {
		return
	}
	defer func(last *cofre.Component) { r.last = last }(r.last)
	r.last = c
	r.server.DropBuckets()
	out, err := r.tryRestore(restoring.Restore{})
	if err != nil || len(out.Left) > 0 {
		r.t.Errorf("%s fails: what was captured is not restored: %+v, %v", what, out, err)
		return
	}
	if d := differences(before, contents(r.t, r.store)); len(d) > 0 {
		r.t.Errorf("%s fails, nothing is said of it, and the component lacks %s", what, strings.Join(d, "\n"))
	}
}

// equal fails the test if a restore of which nothing was left has not brought everything back.
func (r *room) equal(what string, out *cofre.Outcome, err error, store bucket.Store, before map[string]string) {
	r.t.Helper()
	if err != nil || len(out.Left) > 0 {
		return
	}
	now := contents(r.t, store)
	kept(now)
	if d := differences(before, now); len(d) > 0 {
		r.t.Errorf("%s fails, nothing is left of the restore, and there is %s", what, strings.Join(d, "\n"))
	}
}

// onto carries out a restore out of one repository, and of the storage as the point found it, or near it.
func (r *room) onto(repo cofre.Repository, store bucket.Store) (*cofre.Outcome, error) {
	r.t.Helper()
	cfg := restoring.Restore{To: store, TempDir: r.t.TempDir(), Replace: true, DeleteExtra: true, Jobs: 1}
	res, err := restore.Run(r.t.Context(), repo, restore.Request{Point: "p", Component: *r.last, Target: restoring.NewTarget(cfg)})
	if errors.Is(err, cofre.ErrPartial) && res.Outcome != nil {
		err = nil
	}
	return res.Outcome, err
}

// Whichever operation of the repository fails: a capture is an error, or says what it lacks, or lacks nothing. So it is of the first
// capture, of one that goes on from the last, and of one that goes by the rows of a database.
func TestEachOperationOfTheRepositoryCountsInACapture(t *testing.T) {
	r := newRoom(t)
	r.few()
	before := contents(t, r.store)
	for _, c := range []struct {
		what      string
		companion bool
	}{{"first", false}, {"next", false}, {"beside a database", true}} {
		testkit.EachFails(t, func(f *testkit.Faults) {
			component, captured, err := r.try(r.watched(f), r.store, c.companion)
			if err == nil {
				r.heldBy(c.what+", "+f.Failed(), component, captured, before)
			}
			if f.Failed() == "" && err != nil {
				t.Fatalf("%s, without a fault: %v", c.what, err)
			}
		})
		if c.what == "first" {
			r.capture()
		}
	}
}

// Whichever operation of the repository fails, a restore is an error, or names what it lacks, or lacks nothing.
func TestEachOperationOfTheRepositoryCountsInARestore(t *testing.T) {
	r := newRoom(t)
	r.few()
	before := contents(t, r.store)
	r.capture()
	testkit.EachFails(t, func(f *testkit.Faults) {
		r.reset(nil, 100)
		out, err := r.onto(r.watched(f), r.store)
		r.equal(f.Failed(), out, err, r.store, before)
		if f.Failed() == "" && err != nil {
			t.Fatal(err)
		}
	})
}

// Whichever request to the storage is denied: what a capture and a restore do not name is there.
func TestEachRequestToTheStorageCounts(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusNotFound} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			r := newRoom(t)
			g := r.through()
			store := r.config.Store
			deny := func(f *testkit.Faults) {
				g.set(func(path string) int {
					if f.Check(path) != nil {
						return status
					}
					return 0
				}, nil)
			}
			r.few()
			before := contents(t, r.store)
			testkit.EachFails(t, func(f *testkit.Faults) {
				deny(f)
				component, captured, err := r.try(r.repo, store, false)
				if err == nil {
					r.heldBy("capture: "+f.Failed(), component, captured, before)
				}
			})
			g.set(nil, nil)
			r.capture()
			testkit.EachFails(t, func(f *testkit.Faults) {
				r.reset(nil, 100)
				deny(f)
				out, err := r.onto(r.repo, store)
				r.equal("restore: "+f.Failed(), out, err, r.store, before)
				if f.Failed() == "" && (err != nil || len(out.Left) > 0) {
					t.Fatalf("without a fault: %+v, %v", out, err)
				}
			})
		})
	}
}

// Whichever request to an S3 server is denied: what a capture and a restore do not name is there, tags too.
func TestEachRequestToAnS3ServerCounts(t *testing.T) {
	r := newTagRoom(t)
	t.Parallel()
	store := r.open()
	before := map[string]string{"a": "one", "b/c": "", "large": "two"}
	size := map[string]int{"a": 10, "large": 6 << 20}
	put := func(name string, n int, tag string) {
		tags := map[string]string{}
		if tag != "" {
			tags["kept"] = tag
		}
		r.putTagged(store, name, n, tags)
	}
	fill := func() {
		must(t, bucket.RemovePrefix(t.Context(), store, r.id, ""))
		old, _ := filepath.Glob(filepath.Join(r.dir, "cofre-kept-*")) // what the last round has kept, a bucket each time
		for _, path := range old {
			must(t, os.RemoveAll(path))
		}
		for name, tag := range before {
			put(name, size[name], tag)
		}
	}
	same := func(what string) {
		t.Helper()
		n := 0
		for o, err := range store.List(t.Context(), r.id, "") {
			must(t, err)
			if strings.HasPrefix(o.Name, "cofre-kept") {
				continue
			}
			got, body, err := store.Open(t.Context(), o)
			must(t, err)
			b, err := io.ReadAll(body)
			must(t, errors.Join(err, body.Close()))
			tag, known := before[o.Name]
			if n++; !known || len(b) != size[o.Name] || got.Tags["kept"] != tag {
				t.Errorf("%s fails, nothing is left of it, and %s has %d bytes and the tags %v", what, o.Name, len(b), got.Tags)
			}
		}
		if n != len(before) {
			t.Errorf("%s fails, nothing is left of it, and there are %d objects of %d", what, n, len(before))
		}
	}
	fill()
	testkit.EachFails(t, func(f *testkit.Faults) {
		r.faults.Store(f)
		component, captured, err := r.try(r.repo, store, false)
		r.faults.Store(nil)
		if said := captured.Partial || len(captured.Findings)+len(captured.Warnings) > 0; err != nil || said {
			if f.Failed() == "" {
				t.Fatalf("without a fault: %+v, %v", captured, err)
			}
			return
		}
		r.last = component
		must(t, bucket.RemovePrefix(t.Context(), store, r.id, ""))
		if out, err := r.onto(r.repo, store); err != nil || len(out.Left) > 0 {
			t.Errorf("capture, %s: restored %+v, %v", f.Failed(), out, err)
		}
		same("capture, " + f.Failed())
		r.last = nil
	})
	component, _, err := r.try(r.repo, store, false)
	must(t, err)
	r.last = component
	testkit.EachFails(t, func(f *testkit.Faults) {
		fill()
		put("b/c", 3, "other")
		put("extra", 3, "")
		must(t, store.Delete(t.Context(), r.id, "a"))
		r.faults.Store(f)
		out, err := r.onto(r.repo, store)
		r.faults.Store(nil)
		if err == nil && len(out.Left) == 0 {
			same("restore, " + f.Failed())
		} else if f.Failed() == "" {
			t.Fatalf("without a fault: %+v, %v", out, err)
		}
	})
}

// faultyFolder is a folder each of whose calls asks first.
type faultyFolder struct {
	*dir.Store
	f *testkit.Faults
}

func faulty[T any](seq iter.Seq2[T, error], err error) iter.Seq2[T, error] {
	if err == nil {
		return seq
	}
	return func(yield func(T, error) bool) { yield(*new(T), err) }
}

func (s faultyFolder) Buckets(ctx context.Context, ids ...string) ([]bucket.Bucket, error) {
	if err := s.f.Check("buckets"); err != nil {
		return nil, err
	}
	return s.Store.Buckets(ctx, ids...)
}

func (s faultyFolder) Ensure(ctx context.Context, b bucket.Bucket) error {
	if err := s.f.Check("ensure " + b.ID); err != nil {
		return err
	}
	return s.Store.Ensure(ctx, b)
}

func (s faultyFolder) List(ctx context.Context, id, prefix string) iter.Seq2[bucket.Object, error] {
	return faulty(s.Store.List(ctx, id, prefix), s.f.Check("list "+id))
}

func (s faultyFolder) Folders(ctx context.Context, id string) iter.Seq2[bucket.Folder, error] {
	return faulty(s.Store.Folders(ctx, id), s.f.Check("folders "+id))
}

func (s faultyFolder) Stat(ctx context.Context, id, name string) (bucket.Object, error) {
	if err := s.f.Check("stat " + name); err != nil {
		return bucket.Object{}, err
	}
	return s.Store.Stat(ctx, id, name)
}

func (s faultyFolder) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	if err := s.f.Check("open " + o.Name); err != nil {
		return bucket.Object{}, nil, err
	}
	return s.Store.Open(ctx, o)
}

func (s faultyFolder) Put(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	if err := s.f.Check("put " + o.Name); err != nil {
		return bucket.Object{}, err
	}
	return s.Store.Put(ctx, o, r)
}

func (s faultyFolder) Delete(ctx context.Context, id, name string) error {
	if err := s.f.Check("delete " + name); err != nil {
		return err
	}
	return s.Store.Delete(ctx, id, name)
}

func (s faultyFolder) Keep(ctx context.Context, o bucket.Object, mark string) error {
	if err := s.f.Check("keep " + o.Name); err != nil {
		return err
	}
	return s.Store.Keep(ctx, o, mark)
}

func (s faultyFolder) MakeFolder(ctx context.Context, x bucket.Folder) (bool, error) {
	if err := s.f.Check("make folder " + x.Name); err != nil {
		return false, err
	}
	return s.Store.MakeFolder(ctx, x)
}

func (s faultyFolder) SetFolder(ctx context.Context, x bucket.Folder) error {
	if err := s.f.Check("set folder " + x.Name); err != nil {
		return err
	}
	return s.Store.SetFolder(ctx, x)
}

func (s faultyFolder) MoveAside(ctx context.Context, id, at, mark string) (string, error) {
	if err := s.f.Check("move aside " + at); err != nil {
		return "", err
	}
	return s.Store.MoveAside(ctx, id, at, mark)
}

func (s faultyFolder) Sweep(ctx context.Context) error {
	if err := s.f.Check("sweep"); err != nil {
		return err
	}
	return s.Store.Sweep(ctx)
}

func (s faultyFolder) Lock() (func() error, error) {
	if err := s.f.Check("lock"); err != nil {
		return nil, err
	}
	return s.Store.Lock()
}

// Whichever call of a folder fails: what a capture and a restore of it do not name is there, and as it was.
func TestEachCallOfAFolderCounts(t *testing.T) {
	root := uploads(t)
	must(t, os.Remove(filepath.Join(root, "evidence/sparse")))
	r := newRoom(t)
	open := func(f *testkit.Faults) faultyFolder {
		store, err := dir.Open(root)
		must(t, err)
		return faultyFolder{store, f}
	}
	before := look(t, root)
	spoil := func() { // one object is otherwise, one is gone, one is in the way, one is new, a folder is gone, another has another mode
		must(t, errors.Join(os.RemoveAll(root), os.MkdirAll(root+"/evidence/2026", 0o700), os.MkdirAll(root+"/avatars/a.png/in the way", 0o755)))
		must(t, errors.Join(os.WriteFile(root+"/evidence/run", []byte("other"), 0o644), os.WriteFile(root+"/evidence/extra", []byte("new"), 0o644)))
	}
	same := func(what string) {
		t.Helper()
		now := look(t, root)
		for path := range now {
			if strings.HasPrefix(path, ".cofre") || strings.Contains(path, "cofre-kept") {
				delete(now, path)
			}
		}
		if d := differences(before, now); len(d) > 0 {
			t.Errorf("%s fails, nothing is left, and there is %s", what, strings.Join(d, "\n"))
		}
	}
	testkit.EachFails(t, func(f *testkit.Faults) {
		component, captured, err := r.try(r.repo, open(f), false)
		if err != nil || captured.Partial || len(captured.Findings)+len(captured.Warnings) > 0 {
			if f.Failed() == "" {
				t.Fatalf("without a fault: %+v, %v", captured, err)
			}
			return
		}
		r.last = component
		must(t, errors.Join(os.RemoveAll(root), os.MkdirAll(root, 0o755)))
		if out, err := r.onto(r.repo, open(&testkit.Faults{})); err != nil || len(out.Left) > 0 {
			t.Errorf("capture, %s: restored %+v, %v", f.Failed(), out, err)
		}
		same("capture, " + f.Failed())
		r.last = nil
	})
	component, _, err := r.try(r.repo, open(&testkit.Faults{}), false)
	must(t, err)
	r.last = component
	testkit.EachFails(t, func(f *testkit.Faults) {
		spoil()
		out, err := r.onto(r.repo, open(f))
		if err == nil && len(out.Left) == 0 {
			same("restore, " + f.Failed())
		} else if f.Failed() == "" {
			t.Fatalf("without a fault: %+v, %v", out, err)
		}
	})
}

// What does not fit into memory and cannot be put on disk ends a capture and a restore: nothing is silently short of it.
func TestAnInventoryThatCannotBeKeptIsTheEnd(t *testing.T) {
	r := newRoom(t)
	r.few()
	o := bucket.Object{Bucket: "evidence", Name: "described", ContentType: "text/plain", Metadata: json.RawMessage(`{"of":"` + strings.Repeat("x", 20<<10) + `"}`)}
	_, err := r.store.Put(t.Context(), o, strings.NewReader(""))
	must(t, err)
	good, missing := r.config.TempDir, filepath.Join(t.TempDir(), "missing")
	r.config.TempDir = missing
	if c, captured, err := r.try(r.repo, r.store, true); !errors.Is(err, fs.ErrNotExist) { // the rows of a database tell all of an object
		t.Errorf("captured %+v, %+v, %v", c, captured, err)
	}
	r.config.TempDir = good
	r.capture()
	for what, cfg := range map[string]restoring.Restore{
		"all":        {},
		"one bucket": {Buckets: []string{"evidence"}},
		"extra ones": {Replace: true, DeleteExtra: true},
	} {
		cfg.To, cfg.TempDir = r.store, missing
		if _, err := restore.Run(t.Context(), r.repo, restore.Request{Point: "p", Component: *r.last, Target: restoring.NewTarget(cfg)}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("restore, %s: %v", what, err)
		}
	}
}

// A bucket that is named is all that is captured, wherever the inventory comes from; and it alone is looked at for what is missing.
func TestANamedBucketIsAllThatIsCaptured(t *testing.T) {
	r := newRoom(t)
	r.few()
	for _, inventory := range []bucket.Inventory{nil, r.sql()} {
		for _, companion := range []bool{false, true} {
			r.config.Inventory, r.config.Buckets, r.last = inventory, []string{"evidence"}, nil
			c, captured, err := r.try(r.repo, r.store, companion)
			must(t, err)
			var facts bucket.Facts
			must(t, json.Unmarshal(c.Facts, &facts))
			if captured.Partial || facts.Objects != 3 || len(facts.Buckets) != 1 || facts.Buckets[0].ID != "evidence" || facts.Buckets[0].Objects != 3 {
				t.Errorf("an inventory of %T, companion %t: %+v", inventory, companion, facts)
			}
		}
	}
}

// distorting is a storage that says it took an object, and did not take it so.
type distorting struct {
	*supabase.Store
	how string
}

func (s distorting) Put(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	b, err := io.ReadAll(r)
	if err != nil || s.how == "nothing" {
		return o, err
	}
	put := o
	switch s.how {
	case "other bytes":
		b = bytes.ToUpper(b)
	case "fewer bytes":
		b = b[:len(b)-1]
	case "another type":
		put.ContentType = "application/pdf"
	case "another age":
		put.CacheControl = "max-age=1"
	case "other metadata":
		put.Metadata = json.RawMessage(`{"of":"nothing"}`)
	}
	put.Size = int64(len(b))
	_, err = s.Store.Put(ctx, put, bytes.NewReader(b))
	return o, err
}

func (s distorting) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	if s.how == "no answer" {
		return bucket.Object{}, nil, cofre.ErrRefused
	}
	return s.Store.Open(ctx, o)
}

// What was uploaded is read back: an object that is served otherwise, or of which that cannot be told, is never called restored.
func TestWhatIsServedOtherwiseIsNamed(t *testing.T) {
	r := newRoom(t)
	r.ensure(bucket.Bucket{ID: "evidence"})
	r.put("evidence", "a", "bytes of a")
	r.capture()
	for _, how := range []string{"nothing", "other bytes", "fewer bytes", "another type", "another age", "other metadata", "no answer"} {
		r.server.DropBuckets()
		if out, err := r.tryRestore(restoring.Restore{To: distorting{r.store, how}}); err == nil && !strings.Contains(left(out), "evidence/a") {
			t.Errorf("%s: left %q", how, left(out))
		}
	}
	r.server.DropBuckets()
	r.restore(restoring.Restore{To: distorting{r.store, ""}})
}

// everyMethod fails each request that each method of a store makes, one after another: what is no error is what it is without the fault.
func everyMethod(t *testing.T, store, direct bucket.Store, id string, deny func(f *testkit.Faults)) {
	t.Helper()
	ctx := t.Context()
	content := func(s bucket.Store, name string) (string, error) {
		got, body, err := s.Open(ctx, bucket.Object{Bucket: id, Name: name, Size: -1})
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(body)
		return fmt.Sprintf("%s %s %s %d %x", got.ContentType, got.CacheControl, got.Metadata, len(b), sha256.Sum256(b)), errors.Join(err, body.Close())
	}
	there := func(name string) string {
		said, err := content(direct, name)
		for n := 0; n < 5 && cofre.Retryable(err); n++ { // beside an overwrite
			said, err = content(direct, name)
		}
		if errors.Is(err, cofre.ErrNotFound) {
			return "nothing"
		}
		must(t, err)
		return said
	}
	put := func(name string, size int) func() (any, error) {
		return func() (any, error) {
			o := bucket.Object{Bucket: id, Name: name, Size: int64(size), ContentType: "text/plain", CacheControl: "max-age=7", Metadata: json.RawMessage(`{"of":"it"}`)}
			_, err := store.Put(ctx, o, bytes.NewReader(bytes.Repeat([]byte("x"), size)))
			return nil, err
		}
	}
	fill := func() {
		must(t, errors.Join(direct.Ensure(ctx, bucket.Bucket{ID: id}), bucket.RemovePrefix(ctx, direct, id, "")))
		for _, n := range []string{"a", "b/c", "b/d"} {
			o := bucket.Object{Bucket: id, Name: n, Size: int64(len(n)), ContentType: "image/png", CacheControl: "max-age=60", Metadata: json.RawMessage(`{"of":"an object"}`)}
			_, err := direct.Put(ctx, o, strings.NewReader(n))
			must(t, err)
		}
	}
	for what, do := range map[string]func() (any, error){
		"buckets":        func() (any, error) { return store.Buckets(ctx) },
		"a bucket":       func() (any, error) { return store.Buckets(ctx, id) },
		"open":           func() (any, error) { return content(store, "b/c") },
		"put":            put("new", 10),
		"put over":       put("a", 10),
		"put large":      put("large", 9<<20),
		"delete":         func() (any, error) { return nil, store.Delete(ctx, id, "a") },
		"delete nothing": func() (any, error) { return nil, store.Delete(ctx, id, "none") },
		"stat": func() (any, error) {
			o, err := store.Stat(ctx, id, "b/c")
			return fmt.Sprint(o.Name, o.Size, o.ContentType, o.CacheControl), err
		},
		"list": func() (any, error) {
			var names []string
			for o, err := range store.List(ctx, id, "") {
				if err != nil {
					return nil, err
				}
				names = append(names, fmt.Sprint(o.Path(), o.Size))
			}
			slices.Sort(names)
			return names, nil
		},
		"prove": func() (any, error) {
			p, ok := store.(bucket.Prover)
			if !ok {
				return nil, store.Delete(ctx, id, "none")
			}
			o, err := p.Prove(ctx, bucket.Object{Bucket: id, Name: "b/c", Size: 3})
			return o.ETag, err
		},
		"ensure": func() (any, error) {
			limit := int64(12 << 20)
			return nil, store.Ensure(ctx, bucket.Bucket{ID: id, MaxSize: &limit, Types: nil})
		},
	} {
		result := func() (string, error) {
			got, err := do()
			if err != nil {
				return "", err
			}
			b, err := json.Marshal(got)
			must(t, err)
			all := string(b)
			for _, n := range []string{"a", "b/c", "b/d", "new", "large", "none"} {
				all += "\n" + n + ": " + there(n)
			}
			bs, err := direct.Buckets(ctx, id)
			must(t, err)
			return fmt.Sprintf("%s\n%t %v %t", all, bs[0].Public, bs[0].Types, bs[0].MaxSize != nil), nil
		}
		fill()
		deny(&testkit.Faults{})
		want, err := result()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		testkit.EachFails(t, func(f *testkit.Faults) {
			fill()
			deny(f)
			if got, err := result(); err == nil && got != want {
				t.Errorf("%s, and %s fails: %s\nwant %s", what, f.Failed(), got, want)
			}
		})
	}
}

// Each method of a store is an error, or has done what it says, whichever of its requests is denied.
func TestEachRequestOfAMethodCounts(t *testing.T) {
	t.Run("supabase", func(t *testing.T) {
		r := newRoom(t)
		g := r.through()
		store, err := supabase.Open(t.Context(), supabase.Config{URL: g.url, Key: secret.New(r.server.Key), ResumableAbove: 8 << 20, Patience: time.Second})
		must(t, err)
		r.ensure(bucket.Bucket{ID: "evidence"})
		for _, status := range []int{http.StatusForbidden, cut} {
			everyMethod(t, store, r.store, "evidence", func(f *testkit.Faults) {
				g.set(func(path string) int {
					if f.Check(path) != nil {
						return status
					}
					return 0
				}, nil)
			})
		}
	})
	t.Run("s3", func(t *testing.T) {
		r := newTagRoom(t)
		t.Parallel()
		to, err := s3.Open(s3client.Config{Endpoint: r.server, Region: r.config.Region, AccessKey: r.config.AccessKey, SecretKey: r.config.SecretKey, Patience: time.Second})
		must(t, err)
		everyMethod(t, r.open(), to, r.id, func(f *testkit.Faults) { r.faults.Store(f) })
	})
}
