package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// listed are the objects of a listing, without what a memory does not have.
func listed(t *testing.T, s cofre.Store) []string {
	t.Helper()
	var all []string
	for o, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s %d %d", o.Name, o.Size, o.ModifiedAt.UnixNano()))
	}
	return all
}

// Whatever is made and removed between listings, one that remembers sizes says what one says that does not.
func TestRememberedSizesAreThoseThatAreThere(t *testing.T) {
	t.Parallel()
	s := openStore(t, store.Config{URL: t.TempDir()})
	file := filepath.Join(t.TempDir(), "state", "sizes")
	random := rand.New(rand.NewPCG(1, 2))
	var names []string
	for round := range 200 {
		for range random.IntN(4) {
			if random.IntN(3) == 0 && len(names) > 0 {
				i := random.IntN(len(names))
				if err := s.Delete(t.Context(), names[i]); err != nil {
					t.Fatal(err)
				}
				names = slices.Delete(names, i, i+1)
				continue
			}
			names = append(names, fmt.Sprintf("%s%d-%d", []string{"", "p/", "p.", "wal/7/1/", "wal/7.1/"}[random.IntN(5)], random.IntN(100), round*4+len(names)))
			if err := storetest.Put(t.Context(), s, names[len(names)-1], strings.Repeat("x", random.IntN(1000))); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := listed(t, store.Remembering(s, file)), listed(t, s); !slices.Equal(got, want) {
			t.Fatalf("round %d: %q, want %q", round, got, want)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("nothing was remembered:", err)
	}
}

// An object that is made again under its name may get the inode of the one before. Its size is then found out in the course of some listings.
func TestASizeThatIsRememberedWronglyIsFoundOut(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "sizes")
	s := openStore(t, store.Config{URL: dir})
	if err := storetest.Put(t.Context(), s, "a", "text"); err != nil {
		t.Fatal(err)
	}
	listed(t, store.Remembering(s, file))
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("longer text"), 0o600); err != nil { // with the same inode
		t.Fatal(err)
	}
	right := 0
	for range 3000 { // that all of them miss it has a probability of 10^-20
		if slices.Equal(listed(t, store.Remembering(s, file)), listed(t, s)) {
			right++
		}
		if right == 2 { // the first forgets, the second has learned
			return
		}
	}
	t.Error("it never was")
}

// What is remembered is not asked for again; a file that was damaged is none, and another folder in the place of the first is not taken for it.
func TestWhatIsRememberedOfAFolder(t *testing.T) {
	t.Parallel()
	dir, file := filepath.Join(t.TempDir(), "repo"), filepath.Join(t.TempDir(), "sizes")
	s := openStore(t, store.Config{URL: dir, Create: true})
	const objects = 500
	for i := range objects {
		if err := storetest.Put(t.Context(), s, fmt.Sprintf("o/%03d", i), "text"); err != nil {
			t.Fatal(err)
		}
	}
	remembering := store.Remembering(s, file)
	first := listed(t, remembering)
	// A time that was set behind its back shows what is asked for: no program of ours sets one.
	set := func(at time.Time) {
		for i := range objects {
			if err := os.Chtimes(filepath.Join(dir, fmt.Sprintf("o/%03d", i)), at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	differ := func(a, b []string) (n int) {
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		return n
	}
	set(time.Unix(1_700_000_000, 0))
	if n := differ(first, listed(t, remembering)); n == 0 || n > objects/4 {
		t.Errorf("%d of %d objects were looked at anew, want one of 64", n, objects)
	}
	// That was wrong, so that nothing of it is believed any more.
	if n := differ(listed(t, s), listed(t, remembering)); n != 0 {
		t.Errorf("%d objects are as they were remembered, though the memory was wrong", n)
	}

	t.Run("damaged", func(t *testing.T) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		set(time.Unix(1_700_000_001, 0))
		for _, damaged := range [][]byte{nil, b[:len(b)/2], append(slices.Clone(b[:len(b)-5]), b[len(b)-5]^1, b[len(b)-4], b[len(b)-3], b[len(b)-2], b[len(b)-1])} {
			if err := os.WriteFile(file, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if n := differ(listed(t, s), listed(t, remembering)); n != 0 {
				t.Errorf("%d objects come from a damaged memory", n)
			}
		}
	})
	t.Run("another folder", func(t *testing.T) {
		listed(t, remembering)
		if err := os.Rename(dir, dir+".old"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir+".old", "o"), filepath.Join(dir, "o")); err != nil { // with the same inodes
			t.Fatal(err)
		}
		set(time.Unix(1_700_000_002, 0))
		if n := differ(listed(t, s), listed(t, remembering)); n != 0 {
			t.Errorf("%d objects come from the memory of another folder", n)
		}
	})
}

// A listing that ended early, or of a part, leaves what is remembered as it is.
func TestAPartOfAListingIsNotRemembered(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sizes")
	s := openStore(t, store.Config{URL: t.TempDir()})
	for _, name := range []string{"a", "b", "c"} {
		if err := storetest.Put(t.Context(), s, name, "text"); err != nil {
			t.Fatal(err)
		}
	}
	for range store.Remembering(s, file).List(t.Context(), "") {
		break
	}
	for range store.Remembering(s, file).List(t.Context(), "a") {
		continue
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it was remembered")
	}
}
