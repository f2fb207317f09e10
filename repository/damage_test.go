package repository_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/seal"
)

// files lists every file of a folder, by its name relative to it.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// smallRepository has two points, files that are cut into pieces, and an object that others keep beside it.
func smallRepository(t testing.TB) (repository.Config, *repository.Repository, []cofre.RecoveryPoint) {
	t.Helper()
	c := folderConfig(t)
	r := create(t, c)
	rng := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 3<<20)
	_, _ = rng.Read(noise)
	publish(t, r, capture(t, r, map[string][]byte{"a/noise": noise, "a/small": []byte("small"), "empty": nil}))
	publish(t, r, capture(t, r, map[string][]byte{"a/noise": noise[1<<20:], "b/other": bytes.Repeat([]byte("text "), 1000)}))
	if err := os.MkdirAll(filepath.Join(c.URL, "wal/7/1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.URL, "wal/7/1/segment"), []byte("not ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, r, points(t, r)
}

func ours(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "wal/") })
}

func names(found []cofre.Finding) []string {
	var n []string
	for _, f := range found {
		n = append(n, f.Object)
	}
	return n
}

// damaged changes a file of a repository, looks what names it, and puts it back.
func damaged(t *testing.T, path string, change func(b []byte) []byte, look func()) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := change(bytes.Clone(b))
	if changed == nil {
		err = os.Remove(path)
	} else {
		err = os.WriteFile(path, changed, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	look()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryChangedByteIsNamed(t *testing.T) {
	c, r, p := smallRepository(t)
	if found := findings(t, r, p, cofre.LevelContent); len(found) != 0 {
		t.Fatalf("an intact repository has findings: %+v", found)
	}
	for _, name := range ours(files(t, c.URL)) {
		path := filepath.Join(c.URL, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// The first and the last byte, the padding before the index of a pack, and any two others.
		offsets := []int64{0, info.Size() - 1, max(0, info.Size()-600), rand.Int64N(info.Size()), rand.Int64N(info.Size())}
		for _, at := range offsets {
			damaged(t, path, func(b []byte) []byte { b[at] ^= 1 << rand.IntN(8); return b }, func() {
				if found := findings(t, r, p, cofre.LevelContent); !slices.Contains(names(found), name) {
					t.Errorf("byte %d of %s was changed, and content verification found %+v", at, name, found)
				}
			})
		}
	}
	if found := findings(t, r, p, cofre.LevelContent); len(found) != 0 {
		t.Errorf("a repository put right has findings: %+v", found)
	}
}

// told are the notes of a verification.
type told []string

func (w *told) Observe(e cofre.Event) {
	if e.Type == cofre.TypeNote {
		*w = append(*w, e.Text)
	}
}

// TestEveryLostOrCutFileIsNamed: as a finding, unless all that it says is said by another, which is whole.
func TestEveryLostOrCutFileIsNamed(t *testing.T) {
	c, r, p := smallRepository(t)
	for _, name := range ours(files(t, c.URL)) {
		path := filepath.Join(c.URL, name)
		for what, change := range map[string]func([]byte) []byte{
			"lost": func([]byte) []byte { return nil },
			"cut":  func(b []byte) []byte { return b[:len(b)-1] },
		} {
			if what == "lost" && strings.HasPrefix(name, "cofre/spare/") {
				continue // a second copy that is missing is made by the next backup
			}
			for _, level := range []cofre.Level{cofre.LevelStructure, cofre.LevelContent} {
				damaged(t, path, change, func() {
					var notes told
					found := verified(t, r, p, cofre.Verification{Level: level, Observer: &notes})
					if what == "lost" && strings.HasPrefix(name, seal.Prefix) && strings.HasSuffix(name, "-b") {
						if len(found) != 0 || len(notes) != 1 || !strings.HasPrefix(notes[0], name+" is not there; what it confirms is whole") {
							t.Errorf("%s was lost, and %s verification found %+v and says %q", name, level, found, notes)
						}
					} else if !slices.Contains(names(found), name) {
						t.Errorf("%s was %s, and %s verification found %+v", name, what, level, found)
					}
				})
			}
		}
	}
}

func TestADamagedPackNamesWhatItBreaks(t *testing.T) {
	c, r, p := smallRepository(t)
	for _, name := range files(t, c.URL) {
		if !strings.HasPrefix(name, "p/") {
			continue
		}
		damaged(t, filepath.Join(c.URL, name), func(b []byte) []byte {
			for i := range b {
				b[i] ^= 0xff
			}
			return b
		}, func() {
			broken := 0
			for _, f := range findings(t, r, p, cofre.LevelContent) {
				if f.Kind == cofre.KindConfig && f.Object != "" && strings.Contains(f.What, string(p[0].ID)) || strings.Contains(f.What, string(p[1].ID)) {
					broken++
				}
			}
			if broken == 0 {
				t.Errorf("%s was destroyed, and no entry of a point is said to be broken", name)
			}
			tr, err := r.Tree(t.Context(), p[0].Components[0].Root)
			if err != nil {
				t.Fatal(err)
			}
			f, err := tr.Open(t.Context(), "a/noise")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var b bytes.Buffer
			if _, err := b.ReadFrom(f); err != nil && !errors.Is(err, cofre.ErrCorrupt) {
				t.Errorf("read: %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestOpenNamesTheDamagedFile(t *testing.T) {
	c, r, _ := smallRepository(t)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.URL, "cofre/spare")); err != nil {
		t.Fatal(err)
	}
	c.ReadOnly = true // to write, it would make the second copies that are missing
	for _, name := range ours(files(t, c.URL)) {
		if !strings.HasPrefix(name, "x/") && !strings.HasPrefix(name, "q/") && name != "kopia.repository.f" {
			continue
		}
		damaged(t, filepath.Join(c.URL, name), func(b []byte) []byte { b[len(b)/2] ^= 4; return b }, func() {
			opened, err := repository.Open(t.Context(), c)
			if err == nil {
				err = opened.Unread(t.Context())
				for _, pointsErr := range opened.Points(t.Context()) {
					err = errors.Join(err, pointsErr)
				}
				err = errors.Join(err, opened.Close(t.Context()))
			}
			// A pack of directories is not read to list points, and its padding not at all.
			if err == nil && strings.HasPrefix(name, "q/") {
				return
			}
			if !errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrWrongKey) || !strings.Contains(fmt.Sprint(err), name) {
				t.Errorf("%s was changed, and opening said: %v; want ErrCorrupt with its name", name, err)
			}
		})
	}
}
