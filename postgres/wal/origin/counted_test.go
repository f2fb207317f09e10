package origin_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// revokedKey is a key that has signed segments of two timelines and a history, with a gap on the first, and was revoked then.
type revokedKey struct {
	st    cofre.Store
	key   *origin.Key
	known origin.Known
	count int
	older map[string]string
	files []string
	sums  map[string]string
}

func segmentOf(tli, n int) string { return fmt.Sprintf("%08X%08X%08X", tli, n/256, n%256) }

func objectOf(file string) string { return "wal/7/" + file[:8] + "/" + file }

const (
	gap      = 700 // a segment that was never there
	onSecond = 960 // how many segments the second timeline has
)

func revoked(t *testing.T, pinned bool) revokedKey {
	t.Helper()
	r := revokedKey{st: folder(t), key: host(t), count: 1100, sums: map[string]string{}}
	if _, err := origin.Admit(t.Context(), r.st, system, secret, r.key.Public(), "h", "ana"); err != nil {
		t.Fatal(err)
	}
	r.known, _ = r.set(t, nil).Find(r.key.Public().ID())
	for n := range r.count {
		for tli := 1; tli <= 2; tli++ {
			if n == gap && tli == 1 || n >= onSecond && tli == 2 {
				continue
			}
			file := segmentOf(tli, n)
			r.sums[file] = origin.Sum(objectOf(file), "as it was "+file)
		}
	}
	r.older = map[string]string{"00000001": segmentOf(1, r.count-1), "00000002": segmentOf(2, onSecond-1)}
	r.files = []string{"00000002.history"}
	r.sums["00000002.history"] = origin.Sum(objectOf("00000002.history"), "as it was 00000002.history")
	if pinned {
		r.revoke(t, r.sums)
	} else {
		r.revoke(t, nil)
	}
	return r
}

func (r revokedKey) revoke(t *testing.T, sums map[string]string) {
	t.Helper()
	if isNew, err := origin.Revoke(t.Context(), r.st, system, secret, r.known, "ana", r.older, r.files, sums); err != nil || !isNew {
		t.Fatalf("revoke: %v, %v", isNew, err)
	}
}

func (r revokedKey) set(t *testing.T, seen origin.Records) *origin.Set {
	t.Helper()
	now, err := origin.ReadRecords(t.Context(), r.st, system)
	if err != nil {
		t.Fatal(err)
	}
	return withLists(origin.NewSet(system, secret, now, seen), r.st)
}

// judge says what becomes of a file that the revoked key has signed with a statement: known, or the code of the reason.
func (r revokedKey) judge(t *testing.T, s *origin.Set, file, statement string) string {
	t.Helper()
	known, err := s.Judge(t.Context(), objectOf(file), statement, r.key.Sign(objectOf(file), statement))
	var refused *origin.Error
	switch {
	case errors.As(err, &refused):
		if cofre.HintOf(err).IsZero() {
			t.Errorf("%s: nothing is said of what to do", file)
		}
		return refused.Why.Code
	case err != nil:
		return err.Error()
	case known:
		return "known"
	}
	return "unknown"
}

// Whoever has a revoked key and the storage can sign another file for every name that counted: each is named, wherever it is.
func TestWhatARevokedKeyHasReplacedIsNamed(t *testing.T) {
	t.Parallel()
	r := revoked(t, true)
	s := r.set(t, nil)
	want := func(file, statement, want string) {
		t.Helper()
		if got := r.judge(t, s, file, statement); got != want {
			t.Errorf("%s, %s: %s, want %s", file, statement, got, want)
		}
	}
	for file := range r.sums {
		want(file, "as it was "+file, "known")
		want(file, "another", "origin.replaced")
	}
	want(segmentOf(1, gap), "late", "origin.revoked")
	want(segmentOf(1, r.count), "later", "origin.revoked")
	want(segmentOf(3, 1), "elsewhere", "origin.revoked")
	want("00000003.history", "elsewhere", "origin.revoked")
	want(segmentOf(1, 7)+".partial", "a beginning of what was whole", "origin.revoked")
	want(segmentOf(1, 7)+".parts/00000000-00002000", "a part of what was whole", "origin.revoked")
}

// A key that has signed nothing that is there: nothing counts.
func TestRevokedWithoutASegment(t *testing.T) {
	t.Parallel()
	r := revoked(t, true)
	other := revokedKey{st: folder(t), key: r.key, known: r.known}
	other.revoke(t, nil)
	if got := other.judge(t, other.set(t, nil), segmentOf(1, 1), "x"); got != "origin.revoked" {
		t.Error(got)
	}
}

// What is wrong with a list costs only what it lists, and is said.
func TestAListThatIsGoneOrAnother(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(t *testing.T, st cofre.Store, object string){
		"gone": func(t *testing.T, st cofre.Store, object string) {
			if err := st.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		},
		"another":   func(t *testing.T, st cofre.Store, object string) { put(t, st, object, "{}") },
		"too large": func(t *testing.T, st cofre.Store, object string) { put(t, st, object, strings.Repeat(" ", 2<<20)) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := revoked(t, true)
			lists := r.lists(t)
			spoil(t, r.st, lists[0])
			s := r.set(t, nil)
			for file := range r.sums { // a copy of the list is there
				if got := r.judge(t, s, file, "as it was "+file); got != "known" {
					t.Fatalf("%s: %s", file, got)
				}
			}
			if lost, err := s.Lost(t.Context(), r.st); err != nil || !slices.Equal(lost, lists[:1]) {
				t.Errorf("lost %v, %v", lost, err)
			}
			spoil(t, r.st, strings.Replace(lists[0], "/counted/", "/counted.copy/", 1))
			refused := 0
			s = r.set(t, nil)
			for file := range r.sums {
				switch got := r.judge(t, s, file, "as it was "+file); got {
				case "known":
				case "origin.no_list":
					refused++
				default:
					t.Fatalf("%s: %s", file, got)
				}
			}
			if refused == 0 || refused > 1024 {
				t.Errorf("%d of %d are refused", refused, len(r.sums))
			}
		})
	}
}

// lists are those of the key, as they lie in the store.
func (r revokedKey) lists(t *testing.T) (objects []string) {
	t.Helper()
	for o, err := range r.st.List(t.Context(), origin.CountedFolder(system)) {
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o.Name)
	}
	if len(objects) != 3 {
		t.Fatalf("%d lists of %d files", len(objects), len(r.sums))
	}
	return objects
}

// A host that has kept a list which the repository has lost says so, goes by it, and stores it again.
func TestAListIsStoredAgain(t *testing.T) {
	t.Parallel()
	r := revoked(t, true)
	lists := r.lists(t)
	kept := map[string][]byte{}
	for _, object := range lists {
		b, err := origin.ReadList(t.Context(), r.st, system, path.Base(object))
		if err != nil {
			t.Fatal(err)
		}
		kept[path.Base(object)] = b
	}
	if err := r.st.Delete(t.Context(), lists[1]); err != nil {
		t.Fatal(err)
	}
	put(t, r.st, lists[2], "{}")
	s := r.set(t, nil)
	s.Lists = func(_ context.Context, hash string) ([]byte, error) { return kept[hash], nil }
	if lost, err := s.Lost(t.Context(), r.st); err != nil || strings.Join(lost, " ") != strings.Join(lists[1:3], " ") {
		t.Errorf("lost %v, %v", lost, err)
	}
	known, _ := s.Find(r.key.Public().ID())
	stored, err := s.KeepLists(t.Context(), r.st, known)
	if err != nil || strings.Join(stored, " ") != strings.Join(lists[1:3], " ") {
		t.Errorf("stored %v, %v", stored, err)
	}
	s = r.set(t, nil)
	for file := range r.sums {
		if got := r.judge(t, s, file, "as it was "+file); got != "known" {
			t.Fatalf("%s: %s", file, got)
		}
	}
}

// A record of before says names alone. It gets sums when the key is revoked again; one that is put back in its place is not what this host has seen.
func TestARevocationOfBefore(t *testing.T) {
	t.Parallel()
	r := revoked(t, false)
	file := segmentOf(1, 7)
	if got := r.judge(t, r.set(t, nil), file, "another"); got != "known" {
		t.Errorf("by a record of before: %s", got)
	}
	before, err := origin.ReadRecords(t.Context(), r.st, system)
	if err != nil {
		t.Fatal(err)
	}
	before = maps.Clone(before)
	r.revoke(t, r.sums)
	if isNew, err := origin.Revoke(t.Context(), r.st, system, secret, r.known, "ana", r.older, r.files, map[string]string{}); isNew || err != nil {
		t.Errorf("revoked a third time: %v, %v", isNew, err)
	}
	s := r.set(t, before)
	for statement, want := range map[string]string{"another": "origin.replaced", "as it was " + file: "known"} {
		if got := r.judge(t, s, file, statement); got != want {
			t.Errorf("with sums, %s: %s", statement, got)
		}
	}
	if len(s.Gone) != 0 {
		t.Errorf("gone %v", s.Gone)
	}
	name := r.known.ID + ".revoked"
	put(t, r.st, origin.Folder(system)+name, string(before[name]))
	back := r.set(t, s.Seen)
	if got := r.judge(t, back, file, "another"); got != "origin.replaced" || len(back.Gone) != 1 {
		t.Errorf("the record of before is back: %s, gone %v", got, back.Gone)
	}
}

// An error of the store is none of the file.
func TestAListThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	r := revoked(t, true)
	s := r.set(t, nil)
	s.Lists = func(context.Context, string) ([]byte, error) { return nil, cofre.ErrUnreachable }
	file := segmentOf(1, 7)
	_, err := s.Judge(t.Context(), objectOf(file), "as it was "+file, r.key.Sign(objectOf(file), "as it was "+file))
	if !errors.Is(err, cofre.ErrUnreachable) || origin.IsRefusal(err) {
		t.Error(err)
	}
}

// How large what counts is, and that it is read in pieces.
func TestListsOfAHundredThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 files")
	}
	t.Parallel()
	r := revoked(t, true)
	sums := map[string]string{}
	for n := range 100_000 {
		file := segmentOf(1, n)
		sums[file] = origin.Sum(objectOf(file), "as it was "+file)
	}
	other := revokedKey{st: folder(t), key: r.key, known: r.known, older: map[string]string{"00000001": segmentOf(1, 99_999)}}
	other.revoke(t, sums)
	var lists, bytes, largest int64
	for o, err := range other.st.List(t.Context(), origin.CountedFolder(system)) {
		if err != nil {
			t.Fatal(err)
		}
		lists, bytes, largest = lists+1, bytes+o.Size, max(largest, o.Size)
	}
	record, err := other.st.Stat(t.Context(), origin.Folder(system)+r.known.ID+".revoked")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lists of %d bytes, the largest %d; the record has %d", lists, bytes, largest, record.Size)
	if lists > 100 || largest > 100<<10 || record.Size > 16<<10 {
		t.Errorf("%d lists, the largest of %d bytes; the record has %d", lists, largest, record.Size)
	}
}
