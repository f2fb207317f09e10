package repositorytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
)

// Run checks that a repository keeps the contract of cofre.Repository. open returns a new, empty repository;
// it closes what it opened when t ends.
func Run(t *testing.T, open func(t *testing.T) cofre.Repository) {
	for name, check := range map[string]func(t *testing.T, r cofre.Repository){
		"a tree comes back as it was put":           treeComesBack,
		"names may hold anything":                   namesMayHoldAnything,
		"a promise about the size is kept":          sizePromise,
		"an error of the reader adds nothing":       readerError,
		"a path is taken once":                      pathTakenOnce,
		"several put at once":                       concurrentPuts,
		"files and directories are reused":          reuse,
		"parts are concatenated":                    concat,
		"files are seekable":                        seek,
		"equal bytes are stored once":               deduplication,
		"what is finished is invisible":             finishedIsInvisible,
		"points come oldest first":                  pointsInOrder,
		"a point without its content is refused":    publishProves,
		"an expired point is gone":                  expire,
		"an expired component is gone":              expireComponents,
		"an intact repository verifies":             verifyIntact,
		"what is not there is not found":            notFound,
		"a cancelled context starts nothing":        cancelled,
		"a closed session takes nothing":            closedSession,
		"a directory of many entries is one object": manyEntries,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

var source = cofre.SourceID{Installation: "trustlayer", Kind: cofre.KindConfig, Name: "config"}

func begin(t *testing.T, r cofre.Repository) cofre.Session {
	t.Helper()
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close session: %v", err)
		}
	})
	return s
}

func put(t *testing.T, s cofre.Session, path string, b []byte) cofre.Entry {
	t.Helper()
	e, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o640, ModTime: time.Unix(1_790_000_000, 123456789), UID: 1, GID: 2, Size: int64(len(b))}, bytes.NewReader(b))
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return e
}

func finish(t *testing.T, s cofre.Session) cofre.Content {
	t.Helper()
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatalf("finish: %v", err)
	}
	return c
}

func tree(t *testing.T, r cofre.Repository, root cofre.ObjectID) cofre.Tree {
	t.Helper()
	tr, err := r.Tree(t.Context(), root)
	if err != nil {
		t.Fatalf("tree: %v", err)
	}
	return tr
}

func read(t *testing.T, tr cofre.Tree, path string) []byte {
	t.Helper()
	f, err := tr.Open(t.Context(), path)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return b
}

func list(t *testing.T, tr cofre.Tree, dir string) []cofre.Entry {
	t.Helper()
	var found []cofre.Entry
	for e, err := range tr.List(t.Context(), dir) {
		if err != nil {
			t.Fatalf("list %q: %v", dir, err)
		}
		found = append(found, e)
	}
	return found
}

func paths(entries []cofre.Entry) []string {
	var p []string
	for _, e := range entries {
		p = append(p, e.Path)
	}
	return p
}

func points(t *testing.T, r cofre.Repository) []cofre.RecoveryPoint {
	t.Helper()
	var found []cofre.RecoveryPoint
	for p, err := range r.Points(t.Context()) {
		if err != nil {
			t.Fatalf("points: %v", err)
		}
		found = append(found, p)
	}
	return found
}

// point makes a point of one component, not published.
func point(content cofre.Content, at time.Time) cofre.RecoveryPoint {
	return cofre.RecoveryPoint{
		ID: cofre.NewPointID(at), Installation: source.Installation, Host: "host", StartedAt: at.UTC(), PublishedAt: at.Add(time.Minute).UTC(), Version: "test",
		Components: []cofre.Component{{
			Kind: source.Kind, Name: source.Name, StartedAt: at.UTC(), EndedAt: at.Add(time.Second).UTC(), Content: content,
			Facts: json.RawMessage(`{"n":1}`), Warnings: []string{"a warning"},
		}},
		Findings: []cofre.Finding{cofre.Finding{Check: "closure", Kind: cofre.KindStorage, Object: "avatars/a"}.Saying(cofre.Verbatim("the object is missing"))},
	}
}

// noise is bytes that no compressor makes smaller, the same for the same seed.
func noise(seed uint64, n int) []byte {
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(s).Read(b)
	return b
}

func treeComesBack(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	ctx := t.Context()
	at := time.Unix(1_780_000_000, 987654321)
	for _, e := range []cofre.Entry{
		{Path: "etc", Mode: fs.ModeDir | 0o750, ModTime: at, UID: 7, GID: 8},
		{Path: "etc/empty", Mode: fs.ModeDir | fs.ModeSticky | 0o777, ModTime: at},
		{Path: "etc/link", Mode: fs.ModeSymlink | 0o777, ModTime: at, Link: "../other/\xff target"},
	} {
		if err := s.Add(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "etc/a", []byte("um"))
	put(t, s, "etc/none", nil)
	put(t, s, "deep/er/still", noise(1, 3<<20))
	if _, err := s.Put(ctx, cofre.Entry{Path: "etc/tool", Mode: fs.ModeSetuid | fs.ModeSetgid | 0o755, ModTime: at, Size: -1}, strings.NewReader("tool")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, cofre.Entry{Path: "pages", Mode: 0, ModTime: at, Size: -1, Layout: cofre.LayoutPages}, bytes.NewReader(noise(2, 1<<20+5))); err != nil {
		t.Fatal(err)
	}
	c := finish(t, s)
	if want := int64(2 + 0 + 3<<20 + 4 + 1<<20 + 5); c.Bytes != want || c.Entries != 10 {
		t.Errorf("content is %d bytes in %d entries, want %d in 10", c.Bytes, c.Entries, want)
	}
	if c.Stored < 4<<20 {
		t.Errorf("%d new bytes stored, and 4 MiB of noise were put", c.Stored)
	}

	tr := tree(t, r, c.Root)
	if got, want := paths(list(t, tr, "")), []string{"deep", "etc", "pages"}; !slices.Equal(got, want) {
		t.Errorf("root lists %q, want %q", got, want)
	}
	if got, want := paths(list(t, tr, "etc")), []string{"etc/a", "etc/empty", "etc/link", "etc/none", "etc/tool"}; !slices.Equal(got, want) {
		t.Errorf("etc lists %q, want %q", got, want)
	}
	if got := list(t, tr, "etc/empty"); len(got) != 0 {
		t.Errorf("an empty directory lists %v", got)
	}
	for path, want := range map[string]cofre.Entry{
		"etc":       {Mode: fs.ModeDir | 0o750, ModTime: at, UID: 7, GID: 8},
		"etc/empty": {Mode: fs.ModeDir | fs.ModeSticky | 0o777, ModTime: at},
		"etc/link":  {Mode: fs.ModeSymlink | 0o777, ModTime: at, Link: "../other/\xff target"},
		"etc/tool":  {Mode: fs.ModeSetuid | fs.ModeSetgid | 0o755, ModTime: at, Size: 4},
		"etc/a":     {Mode: 0o640, ModTime: time.Unix(1_790_000_000, 123456789), UID: 1, GID: 2, Size: 2},
		"pages":     {Mode: 0, ModTime: at, Size: 1<<20 + 5},
		"deep/er":   {Mode: fs.ModeDir | 0o755},
	} {
		got, err := tr.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Path != path || got.Mode != want.Mode || got.UID != want.UID || got.GID != want.GID || got.Link != want.Link {
			t.Errorf("%s came back as %+v, want %+v", path, got, want)
		}
		if !want.ModTime.IsZero() && !got.ModTime.Equal(want.ModTime) {
			t.Errorf("%s was modified at %v, want %v", path, got.ModTime, want.ModTime)
		}
		if got.Mode.IsRegular() && got.Size != want.Size {
			t.Errorf("%s has %d bytes, want %d", path, got.Size, want.Size)
		}
	}
	for path, want := range map[string][]byte{"etc/a": []byte("um"), "etc/none": nil, "etc/tool": []byte("tool"), "deep/er/still": noise(1, 3<<20), "pages": noise(2, 1<<20+5)} {
		if got := read(t, tr, path); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from the %d that were put", path, len(got), len(want))
		}
	}
}

func namesMayHoldAnything(t *testing.T, r cofre.Repository) {
	names := []string{
		"ação", "a b", "A b", "latin1-\xe3\xff", "new\nline", "quote\"'\\", "%41", "a:b", "\x01", "<&>\u2028", "�", "....", " ", "~", "-rf",
		"%cofre:x", strings.Repeat("n", 255), "d/latin1-\xe7/f",
	}
	s := begin(t, r)
	for _, n := range names {
		put(t, s, n, []byte(n))
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "nul\x00"} {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: bad, Mode: 0o600, Size: -1}, strings.NewReader("x")); err == nil {
			t.Errorf("path %q was taken", bad)
		}
	}
	tr := tree(t, r, finish(t, s).Root)
	for _, n := range names {
		if got := read(t, tr, n); string(got) != n {
			t.Errorf("%q holds %q", n, got)
		}
	}
	got := paths(list(t, tr, ""))
	want := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.Contains(n, "/") })
	want = append(want, "d")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("root lists %q, want in byte order %q", got, want)
	}
}

func sizePromise(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	for _, size := range []int64{0, 3, 5} {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: size}, strings.NewReader("four")); err == nil {
			t.Errorf("%d bytes were promised, 4 came, and that was taken", size)
		}
	}
	e, err := s.Put(t.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: -1}, strings.NewReader("four"))
	if err != nil || e.Size != 4 || e.Object == "" {
		t.Errorf("put returned %+v, %v", e, err)
	}
	if got := list(t, tree(t, r, finish(t, s).Root), ""); len(got) != 1 {
		t.Errorf("root lists %v", got)
	}
}

func readerError(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	torn := errors.New("the source broke off")
	_, err := s.Put(t.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: -1}, io.MultiReader(bytes.NewReader(noise(3, 2<<20)), errorReader{torn}))
	if !errors.Is(err, torn) {
		t.Errorf("put returned %v, want the reader's error", err)
	}
	if _, _, err := s.Store(t.Context(), cofre.LayoutStream, errorReader{torn}); !errors.Is(err, torn) {
		t.Errorf("store returned %v, want the reader's error", err)
	}
	// A source that was cut off says so with an error that readers of full buffers give of themselves.
	for layout := cofre.LayoutStream; layout <= cofre.LayoutFinePages; layout++ {
		cutOff := io.MultiReader(bytes.NewReader(noise(4, 300_000)), errorReader{io.ErrUnexpectedEOF})
		if _, _, err := s.Store(t.Context(), layout, cutOff); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("layout %d: store of what was cut off returned %v", layout, err)
		}
	}
	put(t, s, "g", []byte("g"))
	if got := paths(list(t, tree(t, r, finish(t, s).Root), "")); !slices.Equal(got, []string{"g"}) {
		t.Errorf("root lists %q, want g alone", got)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func pathTakenOnce(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "a/b", []byte("1"))
	again := func(path string) error {
		_, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: -1}, strings.NewReader("2"))
		return err
	}
	for _, path := range []string{"a/b", "a", "a/b/c"} {
		if err := again(path); !errors.Is(err, cofre.ErrExists) {
			t.Errorf("put %q again: %v, want ErrExists", path, err)
		}
	}
	if err := s.Add(t.Context(), cofre.Entry{Path: "a", Mode: fs.ModeDir | 0o700}); err != nil {
		t.Errorf("add a directory that was only implied: %v", err)
	}
	if err := s.Add(t.Context(), cofre.Entry{Path: "a", Mode: fs.ModeDir | 0o700}); !errors.Is(err, cofre.ErrExists) {
		t.Errorf("add it again: %v, want ErrExists", err)
	}
	tr := tree(t, r, finish(t, s).Root)
	if e, err := tr.Stat(t.Context(), "a"); err != nil || e.Mode != fs.ModeDir|0o700 {
		t.Errorf("a is %+v, %v", e, err)
	}
	if got := read(t, tr, "a/b"); string(got) != "1" {
		t.Errorf("a/b holds %q", got)
	}
}

func concurrentPuts(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				path := fmt.Sprintf("d%d/f%d", i%5, w*100+i)
				if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: -1}, bytes.NewReader(noise(uint64(w*100+i), 10_000))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tr := tree(t, r, finish(t, s).Root)
	for w := range 4 {
		for i := range 20 {
			if got := read(t, tr, fmt.Sprintf("d%d/f%d", i%5, w*100+i)); !bytes.Equal(got, noise(uint64(w*100+i), 10_000)) {
				t.Errorf("file %d of writer %d differs", i, w)
			}
		}
	}
}

func reuse(t *testing.T, r cofre.Repository) {
	first := begin(t, r)
	put(t, first, "dir/sub/a", noise(4, 200_000))
	put(t, first, "dir/b", []byte("b"))
	put(t, first, "c", noise(5, 300_000))
	if err := first.Add(t.Context(), cofre.Entry{Path: "l", Mode: fs.ModeSymlink | 0o777, Link: "c"}); err != nil {
		t.Fatal(err)
	}
	old := tree(t, r, finish(t, first).Root)

	s := begin(t, r)
	for path, to := range map[string]string{"dir": "copied/dir", "c": "d", "l": "m"} {
		e, err := old.Stat(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		e.Path = to
		if e.Mode.IsRegular() {
			e.Mode = 0o444
		}
		if err := s.Reuse(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Put(t.Context(), cofre.Entry{Path: "copied/dir/new", Mode: 0o600, Size: -1}, strings.NewReader("n")); !errors.Is(err, cofre.ErrExists) {
		t.Errorf("put below a reused directory: %v, want ErrExists", err)
	}
	if err := s.Reuse(t.Context(), cofre.Entry{Path: "x", Mode: 0o600, Object: "nonsense"}); err == nil {
		t.Error("an object that does not exist was reused")
	}
	put(t, s, "new", []byte("new"))
	c := finish(t, s)
	if want := int64(200_000 + 1 + 300_000 + 3); c.Bytes != want || c.Entries != 8 {
		t.Errorf("content is %d bytes in %d entries, want %d in 8", c.Bytes, c.Entries, want)
	}
	if c.Stored > 100_000 {
		t.Errorf("%d new bytes stored, and everything large was reused", c.Stored)
	}
	tr := tree(t, r, c.Root)
	if got := read(t, tr, "copied/dir/sub/a"); !bytes.Equal(got, noise(4, 200_000)) {
		t.Error("a file of the reused directory differs")
	}
	if e, err := tr.Stat(t.Context(), "d"); err != nil || e.Mode != 0o444 || e.Size != 300_000 {
		t.Errorf("the reused file is %+v, %v", e, err)
	}
	if e, err := tr.Stat(t.Context(), "m"); err != nil || e.Link != "c" {
		t.Errorf("the reused link is %+v, %v", e, err)
	}
	if got := read(t, tr, "d"); !bytes.Equal(got, noise(5, 300_000)) {
		t.Error("the reused file differs")
	}

	whole := begin(t, r)
	if err := whole.Reuse(t.Context(), cofre.Entry{Mode: fs.ModeDir | 0o755, Object: c.Root}); err != nil {
		t.Fatal(err)
	}
	if again := finish(t, whole); again.Root != c.Root || again.Entries != c.Entries || again.Bytes != c.Bytes {
		t.Errorf("a whole tree reused is %+v, want %+v", again, c)
	}
}

func concat(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	var parts []cofre.ObjectID
	var want []byte
	for i, n := range []int{100, 3 << 20, 0, 70_000, 1 << 20, 200_000, 2<<20 + 5, 3<<20 + 5} {
		id, size, err := s.Store(t.Context(), cofre.Layout(i%4), bytes.NewReader(noise(uint64(10+i), n)))
		if err != nil || size != int64(n) {
			t.Fatalf("store returned %d bytes, %v", size, err)
		}
		parts = append(parts, id)
		want = append(want, noise(uint64(10+i), n)...)
	}
	e, err := s.Concat(t.Context(), cofre.Entry{Path: "whole", Mode: 0o600, Size: -1}, parts)
	if err != nil || e.Size != int64(len(want)) || e.Object == "" {
		t.Fatalf("concat returned %+v, %v", e, err)
	}
	if _, err := s.Concat(t.Context(), cofre.Entry{Path: "empty", Mode: 0o600, Size: 0}, nil); err != nil {
		t.Errorf("concatenate nothing: %v", err)
	}
	if _, err := s.Concat(t.Context(), cofre.Entry{Path: "short", Mode: 0o600, Size: 1}, parts); err == nil {
		t.Error("a size that the parts do not have was taken")
	}
	c := finish(t, s)
	tr := tree(t, r, c.Root)
	if got := read(t, tr, "whole"); !bytes.Equal(got, want) {
		t.Error("the concatenation differs from its parts")
	}
	if got := paths(list(t, tr, "")); !slices.Equal(got, []string{"empty", "whole"}) {
		t.Errorf("root lists %q: parts are in no tree", got)
	}
	next := begin(t, r)
	if err := next.Reuse(t.Context(), cofre.Entry{Path: "again", Mode: 0o600, Object: e.Object}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, tree(t, r, finish(t, next).Root), "again"); !bytes.Equal(got, want) {
		t.Error("a concatenation reused differs")
	}
}

func seek(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	want := noise(20, 6<<20)
	if _, err := s.Put(t.Context(), cofre.Entry{Path: "f", Mode: 0o600, Size: -1}, bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	f, err := tree(t, r, finish(t, s).Root).Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{5 << 20, 0, 1<<20 - 1, 3, 6<<20 - 10} {
		if n, err := f.Seek(at, io.SeekStart); n != at || err != nil {
			t.Fatalf("seek to %d: %d, %v", at, n, err)
		}
		b := make([]byte, min(200_000, int64(len(want))-at))
		if _, err := io.ReadFull(f, b); err != nil || !bytes.Equal(b, want[at:at+int64(len(b))]) {
			t.Errorf("read at %d: %v, or other bytes", at, err)
		}
	}
	if n, err := f.Seek(0, io.SeekEnd); n != int64(len(want)) || err != nil {
		t.Errorf("seek to the end: %d, %v", n, err)
	}
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if n, err := f.Seek(-7, io.SeekCurrent); n != int64(len(want))-7 || err != nil {
		t.Errorf("seek back: %d, %v", n, err)
	}
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, want[len(want)-7:]) {
		t.Errorf("read the tail: %v, or other bytes", err)
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("a seek before the beginning was allowed")
	}
}

func deduplication(t *testing.T, r cofre.Repository) {
	for i, most := range []int64{1 << 62, 100_000} {
		s := begin(t, r)
		put(t, s, "f", noise(30, 5<<20))
		if c := finish(t, s); c.Stored > most {
			t.Errorf("capture %d stored %d bytes, at most %d were to be new", i+1, c.Stored, most)
		}
	}
}

func finishedIsInvisible(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	c := finish(t, s)
	if got := points(t, r); len(got) != 0 {
		t.Errorf("%d points before anything was published", len(got))
	}
	read(t, tree(t, r, c.Root), "f")
}

func pointsInOrder(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	c := finish(t, s)
	base := time.Date(2026, 11, 24, 2, 0, 0, 123_000_000, time.UTC)
	want := map[cofre.PointID]cofre.RecoveryPoint{}
	for _, day := range []int{2, 0, 1} {
		p := point(c, base.AddDate(0, 0, day))
		if err := r.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		want[p.ID] = p
	}
	got := points(t, r)
	ids := slices.Sorted(maps.Keys(want))
	if len(got) != len(ids) {
		t.Fatalf("%d points, want %d", len(got), len(ids))
	}
	for i, p := range got {
		if p.ID != ids[i] {
			t.Errorf("point %d is %s, want %s", i, p.ID, ids[i])
		}
		a, _ := json.Marshal(p)
		b, _ := json.Marshal(want[p.ID])
		if !bytes.Equal(a, b) {
			t.Errorf("the point came back as %s, want %s", a, b)
		}
	}
	if err := r.Publish(t.Context(), got[0]); !errors.Is(err, cofre.ErrExists) {
		t.Errorf("publish the same id again: %v, want ErrExists", err)
	}
	for range r.Points(t.Context()) {
		break // leaving early must not hurt
	}
}

func publishProves(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	c := finish(t, s)
	p := point(c, time.Now())
	lost := p.Components[0]
	lost.Root = c.Root[:len(c.Root)-4] + "0000"
	p.Components = append(p.Components, lost)
	if err := r.Publish(t.Context(), p); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("publish without content: %v, want ErrCorrupt", err)
	}
	if got := points(t, r); len(got) != 0 {
		t.Errorf("%d points are visible after a publish that failed", len(got))
	}
}

func expire(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	c := finish(t, s)
	a, b := point(c, time.Unix(1_700_000_000, 0)), point(c, time.Unix(1_700_000_100, 0))
	for _, p := range []cofre.RecoveryPoint{a, b} {
		if err := r.Publish(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: b.ID}, cofre.Expiry{Point: "20200101T000000Z-none"}); !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("expire one that is not there: %v, want ErrNotFound", err)
	}
	if got := points(t, r); len(got) != 2 {
		t.Errorf("%d points after an expiry that was refused, want both", len(got))
	}
	gone, err := r.Expire(t.Context(), cofre.Expiry{Point: a.ID})
	if err != nil {
		t.Fatal(err)
	}
	if len(gone) != 1 || !gone[0].Whole || gone[0].Point.ID != a.ID || len(gone[0].Components) != 1 {
		t.Errorf("expired is %+v, want all of %s", gone, a.ID)
	}
	if got := points(t, r); len(got) != 1 || got[0].ID != b.ID {
		t.Errorf("points are %v, want %s alone", got, b.ID)
	}
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: a.ID}); !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("expire again: %v, want ErrNotFound", err)
	}
	read(t, tree(t, r, b.Components[0].Root), "f")
}

func expireComponents(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	p := point(finish(t, s), time.Unix(1_700_000_000, 0))
	for _, name := range []string{"second", "third"} {
		s := begin(t, r)
		put(t, s, name, []byte(name))
		c := p.Components[0]
		c.Name, c.Content = name, finish(t, s)
		p.Components = append(p.Components, c)
	}
	if err := r.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	of := func(i int) cofre.SourceID {
		return cofre.SourceID{Kind: p.Components[i].Kind, Name: p.Components[i].Name}
	}
	gone, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{of(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(gone) != 1 || gone[0].Whole || len(gone[0].Components) != 1 || gone[0].Components[0].Name != "second" {
		t.Errorf("expired is %+v, want the second component", gone)
	}
	got := points(t, r)
	if len(got) != 1 || len(got[0].Components) != 2 || len(got[0].Expired) != 1 || got[0].Expired[0].Name != "second" || got[0].Expired[0].ExpiredAt.IsZero() {
		t.Fatalf("points are %+v, want one with two components that says which one went", got)
	}
	read(t, tree(t, r, p.Components[0].Root), "f")
	read(t, tree(t, r, p.Components[2].Root), "third")
	for f, err := range r.Verify(t.Context(), got, cofre.Verification{Level: cofre.LevelContent}) {
		t.Errorf("verify what is left: %+v, %v", f, err)
	}
	if _, err := r.Expire(t.Context(), cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{of(0), of(1)}}); !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("expire what went before: %v, want ErrNotFound", err)
	}
	gone, err = r.Expire(t.Context(), cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{of(0)}}, cofre.Expiry{Point: p.ID, Sources: []cofre.SourceID{of(2)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(gone) != 2 || gone[0].Whole || !gone[1].Whole {
		t.Errorf("expired is %+v, want the point to go with its last component", gone)
	}
	if got := points(t, r); len(got) != 0 {
		t.Errorf("points are %+v, want none", got)
	}
}

func verifyIntact(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "dir/f", noise(40, 2<<20))
	put(t, s, "g", nil)
	if err := s.Add(t.Context(), cofre.Entry{Path: "l", Mode: fs.ModeSymlink | 0o777, Link: "g"}); err != nil {
		t.Fatal(err)
	}
	p := point(finish(t, s), time.Now())
	if err := r.Publish(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, level := range []cofre.Level{cofre.LevelStructure, cofre.LevelContent} {
		for f, err := range r.Verify(t.Context(), points(t, r), cofre.Verification{Level: level}) {
			t.Errorf("verify %s: %+v, %v", level, f, err)
		}
	}
	stats, err := r.Stats(t.Context())
	if err != nil || stats.Points != 1 || stats.StoredBytes < 2<<20 || stats.URL == "" || stats.UniqueID == "" {
		t.Errorf("stats are %+v, %v", stats, err)
	}
}

func notFound(t *testing.T, r cofre.Repository) {
	if _, err := r.Tree(t.Context(), "kffffffffffffffffffffffffffffffff"); !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("tree: %v, want ErrNotFound", err)
	}
	s := begin(t, r)
	put(t, s, "dir/f", []byte("f"))
	tr := tree(t, r, finish(t, s).Root)
	for _, path := range []string{"x", "dir/x", "dir/f/x", "di"} {
		if _, err := tr.Stat(t.Context(), path); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("stat %q: %v, want ErrNotFound", path, err)
		}
		if _, err := tr.Open(t.Context(), path); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("open %q: %v, want ErrNotFound", path, err)
		}
	}
	if _, err := tr.Open(t.Context(), "dir"); err == nil {
		t.Error("a directory was opened as a file")
	}
	for _, path := range []string{"x", "dir/f"} {
		for _, err := range tr.List(t.Context(), path) {
			if !errors.Is(err, cofre.ErrNotFound) {
				t.Errorf("list %q: %v, want ErrNotFound", path, err)
			}
		}
	}
}

func cancelled(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	put(t, s, "f", []byte("f"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, cofre.Entry{Path: "g", Mode: 0o600, Size: -1}, strings.NewReader("g")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want context.Canceled", err)
	}
	if _, err := s.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("finish: %v, want context.Canceled", err)
	}
	if err := r.Publish(ctx, point(cofre.Content{}, time.Now())); !errors.Is(err, context.Canceled) {
		t.Errorf("publish: %v, want context.Canceled", err)
	}
}

func closedSession(t *testing.T, r cofre.Repository) {
	s := begin(t, r)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), cofre.Entry{Path: "g", Mode: 0o600, Size: -1}, strings.NewReader("g")); err == nil {
		t.Error("a closed session took a file")
	}
	if _, err := s.Finish(t.Context()); err == nil {
		t.Error("a closed session finished")
	}
}

func manyEntries(t *testing.T, r cofre.Repository) {
	const n = 5000
	s := begin(t, r)
	e := put(t, s, "first", []byte("x"))
	for i := range n {
		if err := s.Reuse(t.Context(), cofre.Entry{Path: fmt.Sprintf("d/%05d", i), Mode: 0o600, Object: e.Object}); err != nil {
			t.Fatal(err)
		}
	}
	tr := tree(t, r, finish(t, s).Root)
	i := 0
	for e, err := range tr.List(t.Context(), "d") {
		if err != nil || e.Path != fmt.Sprintf("d/%05d", i) || e.Size != 1 {
			t.Fatalf("entry %d is %+v, %v", i, e, err)
		}
		i++
	}
	if i != n {
		t.Errorf("%d entries, want %d", i, n)
	}
}
