package edits_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre/repository/seal"
)

// objects are the objects of a repository in a folder.
type objects struct {
	dir   string
	names []string
}

func objectsOf(t testing.TB, dir string) objects {
	t.Helper()
	o := objects{dir: dir}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			o.names = append(o.names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

var (
	number16 = regexp.MustCompile(`[0-9a-fA-F]{2,}|[0-9]`)
	random   = regexp.MustCompile(`-[a-z2-7]{4,}\b`)
)

// kind is the form of an object's name: what names of one kind have in common.
func kind(name string) string {
	return number16.ReplaceAllString(random.ReplaceAllString(name, "-R"), "N")
}

// kinds are the objects by their kind.
func (o objects) kinds() map[string][]string {
	all := map[string][]string{}
	for _, name := range o.names {
		all[kind(name)] = append(all[kind(name)], name)
	}
	return all
}

func (o objects) read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (o objects) write(t testing.TB, name string, b []byte) {
	t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Skipf("a file is in the way of %s: %v", name, err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (o objects) remove(t testing.TB, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(o.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// forger holds the storage: the objects as they are, as they were at earlier times, and those of another installation.
type forger struct {
	now, other objects
	earlier    []objects
}

// pick chooses a kind first, so that the one object of a kind is as likely as the hundredth of another.
func pick(o objects, rng *rand.Rand) (name string, same []string) {
	kinds := o.kinds()
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	slices.Sort(names)
	same = kinds[names[rng.IntN(len(names))]]
	return same[rng.IntN(len(same))], same
}

// like is a name of the form of another: some of its numbers are others.
func like(name string, rng *rand.Rand) string {
	at := number16.FindAllStringIndex(name, -1)
	if len(at) == 0 {
		return name + "0"
	}
	b := []byte(name)
	for range 1 + rng.IntN(2) {
		span := at[len(at)-1-rng.IntN(min(2, len(at)))]
		i := span[1] - 1 - rng.IntN(min(2, span[1]-span[0]))
		digits := "0123456789"
		if strings.ContainsAny(name[span[0]:span[1]], "abcdef") {
			digits = "0123456789abcdef"
		} else if strings.ContainsAny(name[span[0]:span[1]], "ABCDEF") || strings.HasPrefix(name, "wal/") {
			digits = "0123456789ABCDEF"
		}
		b[i] = digits[rng.IntN(len(digits))]
	}
	return string(b)
}

// edit changes one thing, and says what.
func (f *forger) edit(t testing.TB, dir string, rng *rand.Rand) string {
	t.Helper()
	w := objects{dir: dir, names: f.now.names}
	name, same := pick(w, rng)
	b := w.read(t, name)
	peer := same[rng.IntN(len(same))]
	switch rng.IntN(18) {
	case 0:
		w.remove(t, name)
		return "delete " + name
	case 1:
		w.write(t, name, b[:rng.IntN(len(b)+1)])
		return "cut " + name
	case 2:
		w.write(t, name, nil)
		return "empty " + name
	case 3:
		for range 1 + rng.IntN(3) {
			if len(b) > 0 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
		}
		w.write(t, name, b)
		return "flip bits of " + name
	case 4:
		w.write(t, name, append(b, b[:rng.IntN(len(b)+1)]...))
		return "extend " + name
	case 5:
		w.write(t, name, w.read(t, peer))
		w.write(t, peer, b)
		return "swap " + name + " and " + peer
	case 6:
		w.write(t, name, w.read(t, peer))
		return "put " + peer + " into " + name
	case 7:
		to := like(name, rng)
		w.write(t, to, b)
		return "copy " + name + " to " + to
	case 8:
		to := like(name, rng)
		if to == name {
			to += "0"
		}
		w.write(t, to, b)
		w.remove(t, name)
		return "rename " + name + " to " + to
	case 9:
		to := like(name, rng)
		junk := make([]byte, rng.IntN(1<<12))
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		w.write(t, to, junk)
		return "junk in " + to
	case 10, 11:
		other, _ := pick(f.other, rng)
		for range 200 {
			if kind(other) == kind(name) {
				break
			}
			other, _ = pick(f.other, rng)
		}
		content := f.other.read(t, other)
		if rng.IntN(2) == 0 {
			w.write(t, name, content)
			return "put " + other + " of another installation into " + name
		}
		w.write(t, other, content)
		return "add " + other + " of another installation"
	case 12:
		old := f.earlier[rng.IntN(len(f.earlier))]
		// Everything of one folder goes back to what it was.
		top := strings.SplitAfter(name, "/")
		folder := strings.Join(top[:1+rng.IntN(max(len(top)-1, 1))], "")
		n := 0
		for _, x := range w.names {
			if strings.HasPrefix(x, folder) && !slices.Contains(old.names, x) {
				w.remove(t, x)
				n++
			}
		}
		for _, x := range old.names {
			if strings.HasPrefix(x, folder) && (!slices.Contains(w.names, x) || !bytes.Equal(old.read(t, x), w.read(t, x))) {
				w.write(t, x, old.read(t, x))
				n++
			}
		}
		return fmt.Sprintf("take %d objects of %s back to what they were", n, folder)
	case 13:
		path := filepath.Join(dir, name)
		if err := os.Truncate(path, 20<<30); err != nil {
			t.Fatal(err)
		}
		return "make 20 GB of " + name
	case 14:
		to := like(name, rng)
		w.write(t, to, b)
		if err := os.Truncate(filepath.Join(dir, to), 20<<30); err != nil {
			t.Fatal(err)
		}
		return "make 20 GB in " + to
	case 15:
		w.write(t, name, b[:len(b)/2])
		f.seal(t, w, seal.Record{State: seal.Stored, Size: int64(len(b) / 2), Hash: blake3.Sum256(b[:len(b)/2]), Name: name})
		return "cut and seal " + name
	case 16:
		w.remove(t, name)
		f.seal(t, w, seal.Record{State: seal.Removed, Name: name})
		return "delete and seal as removed " + name
	default:
		for _, x := range same {
			w.remove(t, x)
		}
		return fmt.Sprintf("delete all %d of %s", len(same), kind(name))
	}
}

// seal writes a newer pair of seals, without the key that the password opens.
func (f *forger) seal(t testing.TB, w objects, r seal.Record) {
	t.Helper()
	at := time.Now().Add(time.Second)
	first, second := seal.Names(at)
	w.write(t, first, seal.Seal{At: at, Records: []seal.Record{r}}.Encode())
	w.write(t, second, seal.Seal{At: at}.Encode())
}
