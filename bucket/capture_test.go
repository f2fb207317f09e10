package bucket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository/repositorytest"
	"github.com/trustlayer/cofre/restore"
)

// room is a Supabase storage and a repository, with what has been captured so far.
type room struct {
	t        *testing.T
	server   *testkit.SupabaseStorage
	store    *supabase.Store
	repo     *repositorytest.Memory
	config   bucket.Config
	last     *cofre.Component
	lastTree cofre.Tree
	plan     *cofre.Plan // of the last restore
}

func newRoom(t *testing.T) *room {
	t.Helper()
	t.Parallel()
	server := testkit.Supabase(t)
	store, err := supabase.Open(t.Context(), supabase.Config{URL: server.URL, Key: secret.New(server.Key), ResumableAbove: 8 << 20, Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &room{
		t: t, server: server, store: store, repo: repositorytest.NewMemory(),
		config: bucket.Config{Source: storageID, Store: store, TempDir: t.TempDir()},
	}
}

var storageID = cofre.SourceID{Installation: "test", Kind: cofre.KindStorage, Name: "storage"}

func (r *room) ensure(b bucket.Bucket) {
	r.t.Helper()
	if err := r.store.Ensure(r.t.Context(), b); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) put(id, name, content string) {
	r.t.Helper()
	o := bucket.Object{
		Bucket: id, Name: name, Size: int64(len(content)), ContentType: "text/plain", CacheControl: "max-age=60",
		Metadata: json.RawMessage(fmt.Sprintf(`{"of":%q}`, name)),
	}
	if _, err := r.store.Put(r.t.Context(), o, strings.NewReader(content)); err != nil {
		r.t.Fatal(err)
	}
}

// fill makes two buckets and a number of objects in them, with names that are hard to keep apart.
func (r *room) fill() {
	r.t.Helper()
	limit := int64(64 << 20)
	r.ensure(bucket.Bucket{ID: "evidence", MaxSize: &limit, Types: []string{"text/plain"}})
	r.ensure(bucket.Bucket{ID: "avatars", Public: true})
	for _, n := range []string{
		"Photos/a", "photos/a", "clash", "clash/child", "n//x", "trail/", " blank ", "a+b?c*d:e", "a..b",
		strings.Repeat("long-segment/", 69) + "end", "empty",
	} {
		content := "bytes of " + n
		if n == "empty" {
			content = ""
		}
		r.put("evidence", n, content)
	}
	for i := range 40 {
		r.put("avatars", fmt.Sprintf("people/%02d/face.png", i), strings.Repeat("x", i*100))
	}
}

// begin opens a session for one run over the source.
func (r *room) begin(companions ...cofre.Companion) *cofre.Capture {
	r.t.Helper()
	s, err := r.repo.Begin(r.t.Context(), storageID)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return &cofre.Capture{Session: s, Observer: cofre.Discard, Jobs: 1, Previous: r.last, PreviousTree: r.lastTree, Companions: companions}
}

// end captures and keeps the component as the last one.
func (r *room) end(src *bucket.Source, c *cofre.Capture) (bucket.Facts, cofre.Captured) {
	r.t.Helper()
	started := time.Now()
	captured, err := src.Capture(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	content, err := c.Session.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.last = &cofre.Component{
		Kind: cofre.KindStorage, Name: "storage", Content: content, Facts: captured.Facts, Partial: captured.Partial,
		StartedAt: started, EndedAt: time.Now(),
	}
	if r.lastTree, err = r.repo.Tree(r.t.Context(), content.Root); err != nil {
		r.t.Fatal(err)
	}
	var f bucket.Facts
	if err := json.Unmarshal(captured.Facts, &f); err != nil {
		r.t.Fatal(err)
	}
	return f, captured
}

func (r *room) capture() (bucket.Facts, cofre.Captured) {
	r.t.Helper()
	return r.end(bucket.NewSource(r.config), r.begin())
}

// database captures storage.objects as a database component holds it.
func (r *room) database() (cofre.Component, cofre.Tree) {
	r.t.Helper()
	s, err := r.repo.Begin(r.t.Context(), cofre.SourceID{Kind: cofre.KindDatabase})
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close(r.t.Context())
	facts, err := json.Marshal(map[string]any{"table_list": []map[string]any{
		{"schema": "storage", "name": "objects", "file": "1.dat", "columns": r.server.Columns()},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	for path, b := range map[string]string{"facts.json": string(facts), "archive/1.dat": r.server.Copy() + "\\.\n\n\n"} {
		if _, err := s.Put(r.t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, strings.NewReader(b)); err != nil {
			r.t.Fatal(err)
		}
	}
	content, err := s.Finish(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	tree, err := r.repo.Tree(r.t.Context(), content.Root)
	if err != nil {
		r.t.Fatal(err)
	}
	return cofre.Component{Kind: cofre.KindDatabase, Name: "app", Content: content}, tree
}

// contents reads every object of a store, as bytes and everything it is served with.
func contents(t *testing.T, s bucket.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	buckets, err := s.Buckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		limit := int64(-1)
		if b.MaxSize != nil {
			limit = *b.MaxSize
		}
		out[b.ID] = fmt.Sprint(b.Public, b.Types, limit)
		for o, err := range s.List(t.Context(), b.ID, "") {
			if err != nil {
				t.Fatal(err)
			}
			got, body, err := s.Open(t.Context(), bucket.Object{Bucket: o.Bucket, Name: o.Name})
			if err != nil {
				out[o.Path()] = err.Error()
				continue
			}
			content, err := io.ReadAll(body)
			_ = body.Close()
			if err != nil {
				t.Fatal(err)
			}
			out[o.Path()] = fmt.Sprintf("%s %s %s %q", got.ContentType, got.CacheControl, got.Metadata, content)
		}
	}
	return out
}

func differences(a, b map[string]string) []string {
	var out []string
	for k, v := range a {
		if b[k] != v {
			out = append(out, fmt.Sprintf("%.60s: %.90s / %.90s", k, v, b[k]))
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k+" is new")
		}
	}
	return out
}

// restore brings everything back and returns what the target says. Nothing may be left.
func (r *room) restore(cfg restoring.Restore) *cofre.Outcome {
	r.t.Helper()
	out, err := r.tryRestore(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(out.Left) > 0 {
		r.t.Fatalf("left: %+v", out.Left)
	}
	return out
}

// tryRestore carries a restore out as package restore does.
func (r *room) tryRestore(cfg restoring.Restore) (*cofre.Outcome, error) {
	r.t.Helper()
	if cfg.To == nil {
		cfg.To = r.store
	}
	cfg.TempDir = r.t.TempDir()
	res, err := restore.Run(r.t.Context(), r.repo, restore.Request{Point: "p", Component: *r.last, Target: restoring.NewTarget(cfg)})
	if errors.Is(err, cofre.ErrPartial) && res.Outcome != nil {
		err = nil
	}
	if res.Plan != nil {
		r.plan = res.Plan
	}
	return res.Outcome, err
}

func (r *room) wipe() {
	r.t.Helper()
	buckets, err := r.store.Buckets(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, b := range buckets {
		if err := bucket.RemovePrefix(r.t.Context(), r.store, b.ID, ""); err != nil {
			r.t.Fatal(err)
		}
	}
}

func TestEverythingComesBackAsItWas(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.put("evidence", "large.bin", strings.Repeat("0123456789abcdef", 1<<20)) // 16 MiB: resumable
	before := contents(t, r.store)
	facts, captured := r.capture()
	if captured.Partial || facts.Objects != 52 || facts.Read != 52 || facts.Inventory != "listing" {
		t.Fatalf("captured %+v, warnings %v", facts, captured.Warnings)
	}

	r.wipe()
	tightened := int64(5)
	r.ensure(bucket.Bucket{ID: "evidence", MaxSize: &tightened, Types: []string{"image/png"}})
	r.restore(restoring.Restore{Replace: true})
	if d := differences(before, contents(t, r.store)); len(d) > 0 {
		t.Fatalf("after the restore: %s", strings.Join(d, "\n"))
	}

	puts := r.server.Count("put")
	out := r.restore(restoring.Restore{})
	if n := r.server.Count("put") - puts; n != 0 || !strings.Contains(out.Done.Text, "52 objects equal already") {
		t.Errorf("a second restore uploaded %d objects: %s", n, out.Done.Text)
	}
}

func TestOnlyWhatChangedIsReadAgain(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	gets := r.server.Count("get")
	facts, _ := r.capture()
	if n := r.server.Count("get") - gets; n != 0 || facts.Reused != 51 || facts.Objects != 51 {
		t.Fatalf("nothing changed: %d reads, %+v", n, facts)
	}
	r.put("evidence", "clash", "other bytes")
	r.put("evidence", "new", "new bytes")
	if err := r.store.Delete(t.Context(), "avatars", "people/07/face.png"); err != nil {
		t.Fatal(err)
	}
	facts, captured := r.capture()
	// One of the reads is the stand-in's failure beside an overwrite.
	if n := r.server.Count("get") - gets; n != 3 || facts.Objects != 51 || facts.Read != 2 || captured.Partial {
		t.Fatalf("two changed: %d reads, %+v", n, facts)
	}
	before := contents(t, r.store)
	r.wipe()
	r.restore(restoring.Restore{})
	if d := differences(before, contents(t, r.store)); len(d) > 0 {
		t.Fatalf("after the restore: %s", strings.Join(d, "\n"))
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.server.LoseBytes("evidence", "clash/child")
	r.server.FlipByte("evidence", "Photos/a")
	r.server.FailReads(544, 429, 503, 544)
	facts, captured := r.capture()
	if !captured.Partial || facts.MissingN != 1 || facts.SuspectN != 1 || len(facts.Missing) != 2 {
		t.Fatalf("captured %+v", facts)
	}
	if facts.Missing[0].Object != "evidence/Photos/a" || facts.Missing[1].Object != "evidence/clash/child" {
		t.Errorf("named %+v", facts.Missing)
	}
	// Put right, it is found right though the rows did not change otherwise.
	r.put("evidence", "clash/child", "bytes of clash/child")
	r.put("evidence", "Photos/a", "bytes of Photos/a")
	if facts, captured = r.capture(); captured.Partial || facts.Objects != 51 {
		t.Errorf("after the repair %+v", facts)
	}
}

func TestObjectsThatChangeUnderTheCapture(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.put("evidence", "goes", "away")
	var once sync.Once
	r.server.OnGet = func(_, name string) {
		switch name {
		case "goes":
			if err := r.store.Delete(context.Background(), "evidence", "goes"); err != nil {
				t.Error(err)
			}
		case "photos/a":
			once.Do(func() { r.put("evidence", "photos/a", "overwritten while it was read") })
		}
	}
	r.config.Jobs = 1
	facts, captured := r.capture()
	if captured.Partial || facts.Objects != 51 || facts.Vanished != 1 {
		t.Fatalf("captured %+v %v", facts, captured.Warnings)
	}
	var held string
	for l, err := range bucket.ReadIndex(t.Context(), r.lastTree) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Name == "photos/a" {
			held = read(t, r.lastTree, l.InTree)
		}
	}
	if held != "overwritten while it was read" {
		t.Errorf("captured %q", held)
	}
}

func read(t *testing.T, tree cofre.Tree, path string) string {
	t.Helper()
	f, err := tree.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKilledCaptureGoesOnWhereItStopped(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.config.StateDir, r.config.Jobs = t.TempDir(), 1
	ctx, kill := context.WithCancel(t.Context())
	r.server.OnGet = func(string, string) {
		if r.server.Count("get") == 30 {
			kill()
		}
	}
	c := r.begin()
	if _, err := bucket.NewSource(r.config).Capture(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("captured: %v", err)
	}
	r.server.OnGet = nil
	gets := r.server.Count("get")
	facts, captured := r.capture()
	if n := r.server.Count("get") - gets; n > 51-29 || facts.Objects != 51 || captured.Partial {
		t.Errorf("read %d objects again: %+v", n, facts)
	}
	// Once published, the journal has served.
	if facts, _ = r.capture(); facts.Reused != 51 || facts.Read != 0 {
		t.Errorf("then %+v", facts)
	}
}

func TestEmptyAfterNotEmptyIsRefused(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	r.wipe()
	_, err := bucket.NewSource(r.config).Capture(t.Context(), r.begin())
	if !errors.Is(err, cofre.ErrRefused) || cofre.Hint(err) == "" {
		t.Fatalf("captured an empty storage: %v", err)
	}
	r.config.AllowEmpty = true
	if facts, _ := r.capture(); facts.Objects != 0 {
		t.Errorf("captured %+v", facts)
	}
}

func TestNamedBucketThatDoesNotExistIsNamed(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.config.Buckets = []string{"evidence", "reports"}
	facts, captured := r.capture()
	if facts.Objects != 11 || !captured.Partial || len(captured.Findings) != 1 || captured.Findings[0].Object != "reports" {
		t.Fatalf("captured %+v: %+v", facts, captured.Findings)
	}
	// Where none of them exists there is nothing to capture.
	r.config.Buckets = []string{"reports"}
	_, err := bucket.NewSource(r.config).Capture(t.Context(), r.begin())
	if !errors.Is(err, cofre.ErrNotFound) || !strings.Contains(err.Error(), "reports") {
		t.Fatalf("captured: %v", err)
	}
}

// The order of a backup of both: objects, then the database, then the objects again.
func TestPointHoldsThoughObjectsAreOverwrittenBehindTheDump(t *testing.T) {
	r := newRoom(t)
	r.fill()
	src := bucket.NewSource(r.config)
	c := r.begin()
	if err := src.Prepare(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r.put("evidence", "between", "after the preparation, before the dump")
	r.put("avatars", "people/01/face.png", "replaced before the dump")
	comp, tree := r.database()
	rows := r.server.Rows()
	r.put("evidence", "clash", "replaced after the dump")
	r.put("evidence", "late", "made after the dump")
	if err := r.store.Delete(t.Context(), "evidence", "Photos/a"); err != nil {
		t.Fatal(err)
	}
	c.Companions = []cofre.Companion{{Component: comp, Tree: tree}}
	facts, captured := r.end(src, c)
	if captured.Partial || facts.Inventory != "database" || facts.Objects != 52 {
		t.Fatalf("captured %+v %v", facts, captured.Warnings)
	}
	point := cofre.RecoveryPoint{Components: []cofre.Component{comp, *r.last}}
	open := func(c cofre.Component) (cofre.Tree, error) { return r.repo.Tree(t.Context(), c.Root) }
	check := bucket.Closure{Rows: supabase.DatabaseRows, TempDir: t.TempDir()}
	if found, err := check.Check(t.Context(), point, open); err != nil || len(found) > 0 || !check.Applies(point) {
		t.Fatalf("closure: %v %+v", err, found)
	}

	// The database goes back to the dump, behind the files: its rows name bytes that are gone.
	r.server.SetRows(rows)
	ids := r.server.Copy()
	r.restore(restoring.Restore{ForDatabase: bucket.InventoryFunc(func(ctx context.Context) iter.Seq2[bucket.Object, error] {
		return supabase.CopyRows(strings.NewReader(ids), r.server.Columns())
	})})
	now := contents(t, r.store)
	for name, want := range map[string]string{
		"evidence/clash": "bytes of clash", "evidence/Photos/a": "bytes of Photos/a",
		"evidence/between": "after the preparation, before the dump", "avatars/people/01/face.png": "replaced before the dump",
	} {
		if !strings.HasSuffix(now[name], fmt.Sprintf("%q", want)) {
			t.Errorf("%s is %s", name, now[name])
		}
	}
	if column(ids, 0) != column(r.server.Copy(), 0) {
		t.Error("objects have other ids")
	}
}

func column(rows string, n int) string {
	var out []string
	for line := range strings.Lines(rows) {
		out = append(out, strings.Split(line, "\t")[n])
	}
	return strings.Join(out, "\n")
}

func TestClosureNamesWhatIsMissingDifferentAndOrphaned(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.server.LoseBytes("evidence", "clash")
	r.capture() // from the listing: what the dump below names is not asked for
	r.put("evidence", "Photos/a", "other bytes since")
	r.put("evidence", "unknown to the capture", "new")
	if err := r.store.Delete(t.Context(), "evidence", "n//x"); err != nil {
		t.Fatal(err)
	}
	comp, _ := r.database()
	point := cofre.RecoveryPoint{Components: []cofre.Component{comp, *r.last}}
	found, err := bucket.Closure{Rows: supabase.DatabaseRows}.Check(t.Context(), point, func(c cofre.Component) (cofre.Tree, error) { return r.repo.Tree(t.Context(), c.Root) })
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range found {
		what, _, _ := strings.Cut(f.What, ":")
		got[f.Object] = what
	}
	want := map[string]string{
		"evidence/clash": "missing from the captured storage", "evidence/Photos/a": "different",
		"evidence/n//x":                   "captured, but the captured database has no row for it",
		"evidence/unknown to the capture": "missing from the captured storage",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("found %v", got)
	}
}

func TestOneBucketPrefixAndObject(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	r.restore(restoring.Restore{Buckets: []string{"avatars"}, Prefix: "people/1", ToBucket: "copy", ToPrefix: "old/"})
	r.restore(restoring.Restore{Buckets: []string{"evidence"}, Object: "clash/child", ToBucket: "copy"})
	var names []string
	for o, err := range r.store.List(t.Context(), "copy", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	if len(names) != 11 || names[0] != "clash/child" || names[1] != "old/people/10/face.png" {
		t.Errorf("restored %v", names)
	}
}

func TestTooLargeForTheTargetIsSaidBefore(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.put("avatars", "big", strings.Repeat("x", 100_000))
	r.capture()
	r.wipe()
	r.server.MaxSize = 50_000
	store, err := supabase.Open(t.Context(), supabase.Config{URL: r.server.URL, Key: secret.New(r.server.Key)})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := restoring.NewTarget(restoring.Restore{To: store}).Plan(t.Context(), *r.last, r.lastTree)
	if err != nil || len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0].What, "avatars/big") {
		t.Errorf("plan %+v, %v", plan, err)
	}
}

func TestCopyTextIsReadAsPostgreSQLWritesIt(t *testing.T) {
	t.Parallel()
	columns := []string{"bucket_id", "name", "metadata", "archived_at", "created_at"}
	text := "b\ta\\tb\\\\c\t{\"size\":12,\"eTag\":\"\\\\\"x\\\\\"\"}\t\\N\t2026-11-24 04:41:53.5+05:30\n" +
		"b\tdeleted\t\\N\t2026-11-24 04:41:53+00\t\\N\n\\.\n"
	var got []bucket.Object
	for o, err := range supabase.CopyRows(strings.NewReader(text), columns) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, o)
	}
	if len(got) != 1 || got[0].Name != "a\tb\\c" || got[0].ETag != "x" || got[0].Size != 12 ||
		!got[0].Row.CreatedAt.Equal(time.Date(2026, 11, 23, 23, 11, 53, 5e8, time.UTC)) {
		t.Errorf("read %+v", got)
	}
	for _, err := range supabase.CopyRows(bytes.NewBufferString("only one column\n"), columns) {
		if !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("short row: %v", err)
		}
	}
}

// A version that lives for a second between the preparation and the dump, and is overwritten while the dump goes on,
// is in the point all the same.
func TestWhatIsWrittenWhileTheDatabaseIsDumpedIsChased(t *testing.T) {
	r := newRoom(t)
	r.fill()
	src := bucket.NewSource(r.config)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := r.begin()
	if err := src.Prepare(ctx, c); err != nil {
		t.Fatal(err)
	}
	puts := r.server.Count("get")
	r.put("evidence", "clash", "short-lived")
	await(t, func() bool { return r.server.Count("get") >= puts+2 }) // one fails beside the overwrite
	comp, tree := r.database()
	r.put("evidence", "clash", "what came after the dump")
	await(t, func() bool { return r.server.Count("get") >= puts+4 })
	c.Companions = []cofre.Companion{{Component: comp, Tree: tree}}
	facts, captured := r.end(src, c)
	if captured.Partial || facts.Superseded == 0 {
		t.Fatalf("captured %+v", facts)
	}
	for l, err := range bucket.ReadIndex(t.Context(), r.lastTree) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Name == "clash" && !l.Superseded && read(t, r.lastTree, l.InTree) != "short-lived" {
			t.Errorf("captured %q", read(t, r.lastTree, l.InTree))
		}
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
		<-time.After(10 * time.Millisecond)
	}
}
