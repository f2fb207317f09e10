package bucket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

func left(out *cofre.Outcome) string {
	var b strings.Builder
	for _, l := range out.Left {
		fmt.Fprintf(&b, "%s: %s\n", l.What, l.Got)
	}
	return b.String()
}

// kept returns the contents below the buckets that restores keep objects in, by the path that they had, and takes them
// out of all.
func kept(all map[string]string) map[string]string {
	out := map[string]string{}
	for path, content := range all {
		id, name, below := strings.Cut(path, "/")
		if !strings.HasPrefix(id, "cofre-kept-") {
			continue
		}
		delete(all, path)
		if below {
			out[name] = content
		}
	}
	return out
}

func TestWhatIsOtherwiseIsLeftNamedAndReplacedOnlyWhenTold(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	before := contents(t, r.store)
	r.put("evidence", "clash", "newer bytes")
	r.put("evidence", "extra", "not captured")
	if err := r.store.Delete(t.Context(), "evidence", "empty"); err != nil {
		t.Fatal(err)
	}
	r.ensure(bucket.Bucket{ID: "avatars"})
	_ = contents(t, r.store) // the first read after an overwrite fails
	changed := contents(t, r.store)

	out, err := r.tryRestore(restoring.Restore{})
	if err != nil {
		t.Fatal(err)
	}
	if got := left(out); !strings.Contains(got, "object evidence/clash: other bytes") ||
		!strings.Contains(got, "settings of bucket avatars: private, any size, any type, not public, any size, any type") || len(out.Left) != 2 {
		t.Errorf("left: %s", got)
	}
	changed["evidence/empty"] = before["evidence/empty"]
	if d := differences(changed, contents(t, r.store)); len(d) > 0 {
		t.Errorf("touched: %s", strings.Join(d, "\n"))
	}

	out = r.restore(restoring.Restore{Replace: true, DeleteExtra: true})
	now := contents(t, r.store)
	aside := kept(now)
	if d := differences(before, now); len(d) > 0 {
		t.Errorf("%s: %s", out.Done.Text, strings.Join(d, "\n"))
	}
	if len(aside) != 2 || aside["evidence/clash"] != changed["evidence/clash"] || aside["evidence/extra"] != changed["evidence/extra"] {
		t.Errorf("kept %v", aside)
	}
	if got := fmt.Sprint(out.Kept); !strings.Contains(got, "2 objects as they were before, in bucket cofre-kept-") || !strings.Contains(got, "the settings of bucket avatars were: private") {
		t.Errorf("said to be kept: %s", got)
	}
	if planned := r.plan.Promise; planned.Replaced != cofre.ReplacedKept || !strings.Contains(planned.KeptAt.Text, "in the new private bucket cofre-kept-") {
		t.Errorf("the plan promises %+v", planned)
	}
}

func TestReplacedObjectsAreKeptWhereTold(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	r.put("evidence", "clash", "newer bytes")
	r.ensure(bucket.Bucket{ID: "old"})
	r.restore(restoring.Restore{Replace: true, KeepIn: "old"})
	found := ""
	for path, content := range contents(t, r.store) {
		if strings.HasPrefix(path, "old/cofre-kept-") && strings.HasSuffix(path, "/evidence/clash") {
			found = content
		}
	}
	if !strings.Contains(found, "newer bytes") {
		t.Errorf("kept %q", found)
	}
	r.put("evidence", "clash", "newer still")
	r.restore(restoring.Restore{Replace: true, NoKeep: true})
	for path, content := range contents(t, r.store) {
		if strings.Contains(content, "newer still") {
			t.Errorf("kept as %s though it was not to be", path)
		}
	}
}

func TestObjectsOfTwoBucketsAreNotMixed(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.put("avatars", "clash", "of the other bucket")
	r.capture()
	_, err := r.tryRestore(restoring.Restore{ToBucket: "copy"})
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(err.Error(), "copy/clash") {
		t.Errorf("returned %v", err)
	}
}

func TestAPartialComponentRestoresWhatItHas(t *testing.T) {
	r := newRoom(t)
	r.fill()
	before := contents(t, r.store)
	r.server.LoseBytes("evidence", "clash")
	if _, captured := r.capture(); !captured.Partial {
		t.Fatal("not partial")
	}
	r.wipe()
	out, err := r.tryRestore(restoring.Restore{})
	if err != nil || len(out.Left) != 1 || !strings.Contains(left(out), "object evidence/clash: missing from the recovery point") {
		t.Fatalf("%v, left: %s", err, left(out))
	}
	delete(before, "evidence/clash")
	if d := differences(before, contents(t, r.store)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
}

// What the repository has lost is named, and every other object is restored; what lives under its name stays.
func TestWhatTheRepositoryHasLostIsLeftOut(t *testing.T) {
	r := newRoom(t)
	r.fill()
	before := contents(t, r.store)
	r.capture()
	for l, err := range bucket.ReadIndex(t.Context(), r.lastTree) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Name != "clash" && l.Name != "a..b" {
			continue
		}
		e, err := r.lastTree.Stat(t.Context(), l.InTree)
		if err != nil {
			t.Fatal(err)
		}
		r.repo.Damage(e.Object)
	}
	r.wipe()
	r.put("evidence", "a..b", "lives")
	out, err := r.tryRestore(restoring.Restore{Replace: true})
	if err != nil || len(out.Left) != 2 || !strings.Contains(left(out), "object evidence/clash: lost in the repository") {
		t.Fatalf("%v, left: %s", err, left(out))
	}
	delete(before, "evidence/clash")
	now := contents(t, r.store)
	kept(now)
	if !strings.Contains(now["evidence/a..b"], `"lives"`) {
		t.Errorf("what lives is now %q", now["evidence/a..b"])
	}
	before["evidence/a..b"] = now["evidence/a..b"]
	if d := differences(before, now); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
}

// What a component says of itself may be lost, too: all that is known without it is restored, and it is named. Nothing is deleted because
// nobody knows what was captured.
func TestWhatIsLostOfAComponentsOwnFilesIsNamed(t *testing.T) {
	for path, q := range map[string]struct {
		named string
		all   bool // of the objects come back
	}{
		bucket.BucketsFile: {"the settings of all buckets", true},
		bucket.ShardsFile:  {"", true},
		"index.jsonl":      {"whose name", false},
	} {
		t.Run(path, func(t *testing.T) {
			r := newRoom(t)
			r.fill()
			before := contents(t, r.store)
			r.capture()
			index, shard := "", map[string]string{}
			for l, err := range bucket.ReadIndex(t.Context(), r.lastTree) {
				if err != nil {
					t.Fatal(err)
				}
				shard[l.Path()] = l.Shard
				if l.Name == "a..b" {
					index = bucket.ShardsDir + "/" + l.Shard + "/index.jsonl"
				}
			}
			at := strings.Replace(path, "index.jsonl", index, 1)
			e, err := r.lastTree.Stat(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			r.repo.Damage(e.Object)
			r.wipe()
			out, err := r.tryRestore(restoring.Restore{})
			if err != nil || !strings.Contains(left(out), q.named) || q.named == "" && len(out.Left) > 0 {
				t.Errorf("%s: %v, left: %s", path, err, left(out))
				return
			}
			now := contents(t, r.store)
			for name, want := range before {
				if lost := !q.all && shard[name] == shard["evidence/a..b"] && strings.Contains(name, "/"); lost != (now[name] == "") || !lost && now[name] != want {
					t.Errorf("%s: %s is %q, want %q", path, name, now[name], want)
				}
			}
			if q.all {
				return
			}
			r.put("evidence", "a..b", "lives")
			if _, err := r.tryRestore(restoring.Restore{DeleteExtra: true}); err == nil || !strings.Contains(err.Error(), "because they are not known") {
				t.Errorf("%s: extra objects were deleted: %v", path, err)
			}
			if now := contents(t, r.store); !strings.Contains(now["evidence/a..b"], "lives") {
				t.Errorf("%s: what lives is now %q", path, now["evidence/a..b"])
			}
		})
	}
}

var errKilled = errors.New("killed")

// mortal is a store whose process dies: from the call after so many on, nothing is done any more.
type mortal struct {
	bucket.Store
	mu    sync.Mutex
	calls int
	at    int
}

func (m *mortal) step() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.calls > m.at {
		return errKilled
	}
	return nil
}

func (m *mortal) Ensure(ctx context.Context, b bucket.Bucket) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Store.Ensure(ctx, b)
}

func (m *mortal) Put(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	if err := m.step(); err != nil {
		return o, err
	}
	return m.Store.Put(ctx, o, r)
}

func (m *mortal) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	if err := m.step(); err != nil {
		return o, nil, err
	}
	return m.Store.Open(ctx, o)
}

func (m *mortal) Delete(ctx context.Context, id, name string) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Store.Delete(ctx, id, name)
}

func (m *mortal) MaxSize(ctx context.Context) (int64, error) {
	return m.Store.(bucket.Limiter).MaxSize(ctx)
}

// After a kill at any call, the same command makes everything equal, settings of buckets too; without the memory of this
// machine what is otherwise is named.
func TestKilledAtEachCallAndRunAgain(t *testing.T) {
	for _, remembers := range []bool{true, false} {
		t.Run(fmt.Sprintf("remembers=%t", remembers), func(t *testing.T) {
			r := newRoom(t)
			limit := int64(1000)
			r.ensure(bucket.Bucket{ID: "evidence", MaxSize: &limit, Types: []string{"text/plain"}})
			r.ensure(bucket.Bucket{ID: "gone", Public: true, MaxSize: &limit})
			for _, n := range []string{"a", "b", "newer"} {
				r.put("evidence", n, "bytes of "+n)
			}
			r.put("gone", "c", "bytes of c")
			before := contents(t, r.store)
			r.capture()
			for at := 0; ; at++ {
				r.reset(before, limit)
				cfg := restoring.Restore{To: &mortal{Store: r.store, at: at}, Jobs: 1, Replace: true, DeleteExtra: true}
				if remembers {
					cfg.StateDir = t.TempDir()
				}
				_, err := r.tryRestore(cfg)
				cfg.To = r.store
				if !remembers {
					cfg.Replace, cfg.DeleteExtra = false, false
				}
				out, again := r.tryRestore(cfg)
				if again != nil {
					t.Fatalf("killed at call %d (%v), then: %v", at, err, again)
				}
				now := contents(t, r.store)
				kept(now)
				for _, d := range differences(before, now) {
					path, _, _ := strings.Cut(strings.TrimSuffix(d, " is new"), ":")
					named := strings.Contains(left(out), path+":") || strings.HasSuffix(d, " is new")
					if remembers || !named {
						t.Errorf("killed at call %d (%v): %s; left: %s", at, err, d, left(out))
					}
				}
				if remembers && len(out.Left) > 0 {
					t.Errorf("killed at call %d (%v): left %s", at, err, left(out))
				}
				if err == nil {
					if at < 10 {
						t.Fatalf("a restore of %d calls proves little", at)
					}
					return
				}
			}
		})
	}
}

// reset makes the storage what the restore is to find: a bucket gone, one with an object lost, one replaced, one added.
func (r *room) reset(before map[string]string, limit int64) {
	r.t.Helper()
	r.server.DropBuckets()
	r.ensure(bucket.Bucket{ID: "evidence", MaxSize: &limit, Types: []string{"text/plain"}})
	r.put("evidence", "b", "bytes of b")
	r.put("evidence", "newer", "other bytes")
	r.put("evidence", "extra", "not captured")
}

// The files of the storage went on; its database went back, twice: rows name versions of two points, one that only the
// storage has, and one that nobody has.
func TestForTheDatabaseLooksInAllPointsAndAtTheStorage(t *testing.T) {
	r := newRoom(t)
	r.server.TimeETags = true
	r.ensure(bucket.Bucket{ID: "evidence"})
	for _, n := range []string{"first", "second", "same"} {
		r.put("evidence", n, "one of "+n)
	}
	r.capture()
	older := *r.last
	r.put("evidence", "second", "two of second")
	r.put("evidence", "lost", "in no point")
	r.put("evidence", "served", "in no point, and served")
	rows := r.server.Rows()
	if err := r.store.Delete(t.Context(), "evidence", "lost"); err != nil {
		t.Fatal(err)
	}
	served := r.server.Rows()
	r.server.SetRows(rows)
	r.server.SetRows(served)
	r.put("evidence", "first", "newer of first")
	delay := r.config
	r.config = delay
	r.captureBut("served")
	r.server.SetRows(rows) // first: the older point's; second: this one's; lost: no bytes

	restoreForDatabase := func() *cofre.Outcome {
		t.Helper()
		out, err := r.tryRestore(restoring.Restore{
			ForDatabase: r.rows(),
			Others:      []restoring.Held{{Point: "older", Open: func(ctx context.Context) (cofre.Tree, error) { return r.repo.Tree(ctx, older.Root) }}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for i := range 2 {
		out := restoreForDatabase()
		if len(out.Left) != 1 || !strings.Contains(left(out), "object evidence/lost:") {
			t.Errorf("run %d left: %s", i, left(out))
		}
		got := contents(t, r.store)
		for n, want := range map[string]string{"first": "one of first", "second": "two of second", "same": "one of same", "served": "in no point, and served"} {
			if !strings.HasSuffix(got["evidence/"+n], fmt.Sprintf("%q", want)) {
				t.Errorf("run %d: %s is %s", i, n, got["evidence/"+n])
			}
		}
	}
}

// rows are those of the storage's database.
func (r *room) rows() bucket.Inventory {
	return bucket.InventoryFunc(func(context.Context) iter.Seq2[bucket.Object, error] {
		return supabase.CopyRows(strings.NewReader(r.server.Copy()), r.server.Columns())
	})
}

// captureBut captures what the database names, apart from one object.
func (r *room) captureBut(name string) {
	r.t.Helper()
	all := r.rows()
	cfg := r.config
	cfg.Inventory = bucket.InventoryFunc(func(ctx context.Context) iter.Seq2[bucket.Object, error] {
		return func(yield func(bucket.Object, error) bool) {
			for o, err := range all.Rows(ctx) {
				if o.Name != name && !yield(o, err) {
					return
				}
			}
		}
	})
	r.end(bucket.NewSource(cfg), r.begin())
}

// What a row cannot be given keeps no other from it.
type stubborn struct{ refuses string }

func (s stubborn) FixUp(_ context.Context, objects iter.Seq2[bucket.Object, error]) (restoring.FixedUp, error) {
	var done restoring.FixedUp
	for o, err := range objects {
		if err != nil {
			return done, err
		}
		if o.Name == s.refuses {
			done.Left = append(done.Left, restoring.Checked{What: "row of object " + o.Path(), Want: "owner and times as captured", Got: "refused"})
			continue
		}
		done.Rows++
	}
	return done, nil
}

func TestOwnersAreSetForWhatIsThereAlone(t *testing.T) {
	r := newRoom(t)
	r.ensure(bucket.Bucket{ID: "evidence"})
	for _, n := range []string{"a", "b", "newer"} {
		r.put("evidence", n, "bytes of "+n)
	}
	r.config.Inventory = r.rows()
	r.capture()
	r.put("evidence", "newer", "bytes of today")
	var set []string
	out, err := r.tryRestore(restoring.Restore{FixUp: fixUpFunc(func(o bucket.Object) { set = append(set, o.Name) })})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(set)
	if !slices.Equal(set, []string{"a", "b"}) || len(out.Left) != 1 {
		t.Errorf("set %v, left %s", set, left(out))
	}
	if out, err = r.tryRestore(restoring.Restore{FixUp: stubborn{"a"}, Replace: true}); err != nil || !strings.Contains(left(out), "row of object evidence/a") {
		t.Errorf("%v, left %s", err, left(out))
	}
}

type fixUpFunc func(bucket.Object)

func (f fixUpFunc) FixUp(_ context.Context, objects iter.Seq2[bucket.Object, error]) (restoring.FixedUp, error) {
	for o, err := range objects {
		if err != nil {
			return restoring.FixedUp{}, err
		}
		f(o)
	}
	return restoring.FixedUp{}, nil
}

func TestS3KeepsWhatItReplacesAndSaysWhatItCannotHold(t *testing.T) {
	r := newRoom(t)
	r.ensure(bucket.Bucket{ID: "from-supabase", Public: true})
	o := bucket.Object{Bucket: "from-supabase", Name: "a", Size: 3, ContentType: "text/plain", CacheControl: "max-age=60", Robots: "noindex", Metadata: json.RawMessage(`{"Case":{"n":1}}`)}
	if _, err := r.store.Put(t.Context(), o, strings.NewReader("abc")); err != nil {
		t.Fatal(err)
	}
	r.capture()
	server := testkit.S3(t)
	store, err := s3.Open(s3client.Config{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.restore(restoring.Restore{To: store, ToBucket: server.Bucket})
	notes := strings.Join(r.plan.Notes, "\n")
	for _, want := range []string{"its X-Robots-Tag", "user metadata that is not text", "does not keep these settings of bucket " + server.Bucket + ": public"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the plan does not say %q: %s", want, notes)
		}
	}
	o = bucket.Object{Bucket: server.Bucket, Name: "a", Size: 6, ContentType: "image/png", Metadata: json.RawMessage(`{"of":"today"}`)}
	if _, err := store.Put(t.Context(), o, strings.NewReader("newer!")); err != nil {
		t.Fatal(err)
	}
	out := r.restore(restoring.Restore{To: store, ToBucket: server.Bucket, Replace: true})
	now := contents(t, store)
	aside := kept(now)
	if got := aside[server.Bucket+"/a"]; !strings.Contains(got, "newer!") || !strings.Contains(got, "image/png") || !strings.Contains(got, "today") {
		t.Errorf("kept %v; said %v", aside, out.Kept)
	}
	if !strings.Contains(now[server.Bucket+"/a"], "abc") {
		t.Errorf("restored %s", now[server.Bucket+"/a"])
	}
}

func TestAnotherRestoreToTheSameStorageIsKeptOut(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	state := t.TempDir()
	one := restoring.NewTarget(restoring.Restore{To: r.store, StateDir: state})
	if _, err := one.Plan(t.Context(), *r.last, r.lastTree); err != nil {
		t.Fatal(err)
	}
	if err := one.Stage(t.Context(), cofre.Discard); err != nil {
		t.Fatal(err)
	}
	if _, err := r.tryRestore(restoring.Restore{StateDir: state}); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("the second returned %v", err)
	}
	if err := one.Discard(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.restore(restoring.Restore{StateDir: state})
	if left, err := filepath.Glob(state + "/*.json"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := os.Stat(state); err != nil {
		t.Error(err)
	}
}
