package bucket_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
)

// TestLongPathsComeBack: a path may be longer than any name of an object store.
func TestLongPathsComeBack(t *testing.T) {
	root := t.TempDir()
	long := filepath.Join(append([]string{root, "evidence"}, strings.Split(strings.Repeat(strings.Repeat("d", 200)+"/", 16), "/")...)...)
	must(t, os.MkdirAll(long, 0o755))
	must(t, os.WriteFile(filepath.Join(long, "report.pdf"), []byte("deep"), 0o600))
	before := look(t, root)
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	if facts, captured := r.capture(); captured.Partial || facts.Objects != 1 || facts.Vanished != 0 {
		t.Fatalf("captured %+v: %s", facts, named(captured.Findings))
	}
	r.restore(restoring.Restore{To: emptied(t, root)})
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
}

// TestWhatAFolderCannotGiveIsNamed, each thing by a name of its own, and ends nothing else.
func TestWhatAFolderCannotGiveIsNamed(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/evidence/of\xffice", 0o755))
	must(t, os.MkdirAll(root+"/buck\xffet", 0o755))
	for _, name := range []string{"/evidence/a", "/evidence/\xfea", "/evidence/\xffa", "/evidence/of\xffice/b", "/buck\xffet/c"} {
		must(t, os.WriteFile(root+name, []byte("x"), 0o600))
	}
	// A path that no call of the kernel takes.
	deep, err := os.OpenRoot(root + "/evidence")
	must(t, err)
	for range 24 {
		must(t, deep.Mkdir(strings.Repeat("d", 200), 0o755))
		next, err := deep.OpenRoot(strings.Repeat("d", 200))
		must(t, err)
		must(t, deep.Close())
		deep = next
	}
	must(t, deep.WriteFile("report.pdf", []byte("x"), 0o600))
	must(t, deep.Close())
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	facts, captured := r.capture()
	if !captured.Partial || facts.Objects != 1 || facts.Vanished != 0 {
		t.Errorf("captured %+v", facts)
	}
	got := named(captured.Findings)
	for _, want := range []string{`evidence/\xfea`, `evidence/\xffa`, `evidence/of\xffice/`, `buck\xffet`, "file name too long"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not named: %s", want, got)
		}
	}
	to, err := dir.Open(t.TempDir())
	must(t, err)
	if _, err := r.tryRestore(restoring.Restore{To: to}); err != nil {
		t.Fatal(err)
	}
	if buckets, err := to.Buckets(t.Context()); err != nil || len(buckets) != 1 {
		t.Errorf("made %v, %v", buckets, err)
	}
}

// TestAFolderThatMayBeListedAndNotEntered is named, and ends nothing else.
func TestAFolderThatMayBeListedAndNotEntered(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root enters every folder")
	}
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/evidence/closed/sub", 0o755))
	must(t, os.WriteFile(root+"/evidence/a", []byte("x"), 0o600))
	must(t, os.Chmod(root+"/evidence/closed", 0o444))
	t.Cleanup(func() { _ = os.Chmod(root+"/evidence/closed", 0o755) })
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	facts, captured := r.capture()
	if got := named(captured.Findings); !captured.Partial || facts.Objects != 1 || !strings.Contains(got, "evidence/closed/sub/") {
		t.Errorf("captured %+v: %s", facts, got)
	}
}

// forgetful lists an object that it does not find.
type forgetful struct{ bucket.Store }

func (f forgetful) Stat(ctx context.Context, id, name string) (bucket.Object, error) {
	if name == "odd" {
		return bucket.Object{}, fmt.Errorf("stat: %w", cofre.ErrNotFound)
	}
	return f.Store.Stat(ctx, id, name)
}

func (f forgetful) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	if o.Name == "odd" {
		return bucket.Object{}, nil, fmt.Errorf("open: %w", cofre.ErrNotFound)
	}
	return f.Store.Open(ctx, o)
}

// TestAnObjectThatIsListedAndNotFoundIsMissing, and was not deleted: some gateways list names that they do not serve.
func TestAnObjectThatIsListedAndNotFoundIsMissing(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(root+"/evidence", 0o755))
	for _, name := range []string{"a", "odd"} {
		must(t, os.WriteFile(root+"/evidence/"+name, []byte(name), 0o600))
	}
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = forgetful{store}
	facts, captured := r.capture()
	if got := named(captured.Findings); !captured.Partial || facts.Vanished != 0 || facts.MissingN != 1 || !strings.Contains(got, "evidence/odd") {
		t.Errorf("captured %+v: %s", facts, got)
	}
}

// TestTwoCapturesAtOnce: both hold everything, with one state directory.
func TestTwoCapturesAtOnce(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	inside, err := r.repo.Begin(t.Context(), storageID)
	must(t, err)
	c := r.begin()
	r.put("avatars", "new", "new")
	r.server.OnGet = func(_, name string) {
		if name == "new" {
			r.server.OnGet = nil
			second := &cofre.Capture{Session: inside, Observer: cofre.Discard, Jobs: 1, Previous: c.Previous, PreviousTree: c.PreviousTree}
			if captured, err := bucket.NewSource(r.config).Capture(t.Context(), second); err != nil || captured.Partial {
				t.Errorf("the second captured %+v, %v", captured, err)
			}
		}
	}
	if facts, captured := r.end(bucket.NewSource(r.config), c); captured.Partial || r.server.OnGet != nil {
		t.Errorf("the first captured %+v", facts)
	}
}

func TestABucketThatDoesNotExistIsSaidToBeThat(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.config.Buckets = []string{"evidence", "nowhere"}
	_, captured := r.capture()
	if f := captured.Findings; !captured.Partial || len(f) != 1 || f[0].Object != "nowhere" || !strings.Contains(f[0].What, "there is no such bucket") {
		t.Errorf("found %+v", captured.Findings)
	}
}
