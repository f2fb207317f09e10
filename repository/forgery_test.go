package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// forger holds the storage and knows the formats, and not the password.
type forger struct {
	t  testing.TB
	st cofre.Store
}

func (f forger) names(prefix string) (names []string) {
	f.t.Helper()
	for o, err := range f.st.List(f.t.Context(), prefix) {
		if err != nil {
			f.t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

func (f forger) read(name string) []byte {
	f.t.Helper()
	in, err := f.st.Open(f.t.Context(), name, 0, -1)
	if err != nil {
		f.t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

func (f forger) write(name string, b []byte) {
	f.t.Helper()
	if err := f.st.Replace(f.t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
		f.t.Fatal(err)
	}
}

// isPack reports whether a file of a folder is a pack of contents of files.
func isPack(name string) bool { return strings.HasPrefix(name, "p/") && strings.HasSuffix(name, ".f") }

// destroy overwrites every pack of files' contents with as many other bytes, and writes a newer pair of seals that says so.
func (f forger) destroy() (destroyed int) {
	f.t.Helper()
	var records []seal.Record
	for i, name := range slices.DeleteFunc(f.names("p/"), func(n string) bool { return !isPack(n) }) {
		junk := bytes.Repeat([]byte{byte(i + 1)}, len(f.read(name)))
		f.write(name, junk)
		records = append(records, seal.Record{State: seal.Stored, Size: int64(len(junk)), Hash: blake3.Sum256(junk), Name: name})
	}
	f.seal(records)
	return len(records)
}

// seal writes a pair of seals that is newer than all others.
func (f forger) seal(records []seal.Record) {
	f.t.Helper()
	at := time.Now().Add(time.Second)
	first, second := seal.Names(at)
	f.write(first, seal.Seal{At: at, Records: records}.Encode())
	f.write(second, seal.Seal{At: at}.Encode())
}

func reopened(t testing.TB, c repository.Config) *repository.Repository {
	t.Helper()
	r, err := repository.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) })
	return r
}

func found(t testing.TB, r *repository.Repository, level cofre.Level) (findings []cofre.Finding) {
	t.Helper()
	for f, err := range r.Verify(t.Context(), points(t, r), cofre.Verification{Level: level}) {
		if err != nil {
			t.Fatal(err)
		}
		findings = append(findings, f)
	}
	return findings
}

func mentions(findings []cofre.Finding, what string) bool {
	return slices.ContainsFunc(findings, func(f cofre.Finding) bool { return strings.Contains(f.What, what) })
}

// before is a repository as versions made it that knew no key, with some points.
func before(t testing.TB) (*history, cofre.Store) {
	t.Helper()
	c := folderConfig(t)
	if err := repository.InitBefore(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r := reopened(t, c)
	repository.WithoutKey(r)
	h := &history{config: c, want: map[cofre.PointID]map[string][]byte{}}
	var err error
	if h.store, err = store.Open(t.Context(), store.Config{URL: c.URL}); err != nil {
		t.Fatal(err)
	}
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<20), "b": []byte("b")})
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<20), "c": noise(2, 1<<19)})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, h.store
}

// TestForgedSealsProveNothing: whoever destroys the packs and seals what is left of them does not reach the level content, in a repository of
// today and of before.
func TestForgedSealsProveNothing(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) *history{
		"of today":  func(t *testing.T) *history { return newHistory(t, folderConfig(t)) },
		"of before": func(t *testing.T) *history { h, _ := before(t); return h },
	} {
		t.Run(name, func(t *testing.T) {
			h := make(t)
			r := reopened(t, h.config)
			if clean := found(t, r, cofre.LevelContent); len(clean) > 0 {
				t.Fatalf("before anything was forged: %v", clean)
			}
			f := forger{t, h.store}
			if f.destroy() == 0 {
				t.Fatal("there are no packs")
			}
			all := found(t, r, cofre.LevelContent)
			for _, want := range f.names("p/") {
				if isPack(want) && !mentions(all, want) {
					t.Errorf("nothing names %s: %v", want, all)
				}
			}
		})
	}
}

// TestSealing proves a repository of before, seals it, and refuses from then on what is not sealed, also on a machine that has seen nothing.
func TestSealing(t *testing.T) {
	h, st := before(t)
	r := reopened(t, h.config)
	if is, err := r.Vouched(t.Context()); is || err != nil {
		t.Fatalf("a repository of before is sealed: %v, %v", is, err)
	}
	unkeyed := len(forger{t, st}.names(seal.Prefix))
	done, err := r.Vouch(t.Context(), cofre.Discard)
	if err != nil {
		t.Fatalf("%v: %+v", err, done)
	}
	if done.Before || done.Packs == 0 || done.Contents < 3 || done.Others < 3 || done.Replaced != unkeyed || len(done.Findings)+len(done.Missing) > 0 {
		t.Errorf("what was sealed: %+v, of %d seals", done, unkeyed)
	}
	other := h.config
	other.StateDir = t.TempDir()
	for _, c := range []repository.Config{h.config, other} {
		r := reopened(t, c)
		if is, err := r.Vouched(t.Context()); !is || err != nil {
			t.Errorf("it is not sealed: %v, %v", is, err)
		}
		if all := found(t, r, cofre.LevelContent); len(all) > 0 {
			t.Errorf("after it was sealed: %v", all)
		}
	}
	again, err := r.Vouch(t.Context(), cofre.Discard)
	if err != nil || !again.Before || again.Packs+again.Contents+again.Replaced > 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	h.add(t, reopened(t, h.config), map[string][]byte{"a": noise(1, 1<<20), "d": noise(3, 1<<18)})
	r = reopened(t, h.config)
	if all := found(t, r, cofre.LevelContent); len(all) > 0 {
		t.Errorf("after another backup: %v", all)
	}
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// TestSealingRefusesWhatWasForgedBefore: what cannot be decrypted is named, and nothing is sealed.
func TestSealingRefusesWhatWasForgedBefore(t *testing.T) {
	h, st := before(t)
	f := forger{t, st}
	f.destroy()
	r := reopened(t, h.config)
	done, err := r.Vouch(t.Context(), cofre.Discard)
	if !errors.Is(err, cofre.ErrFindings) || done == nil || len(done.Findings) == 0 {
		t.Fatalf("%+v, %v: want findings", done, err)
	}
	if is, err := r.Vouched(t.Context()); is || err != nil {
		t.Errorf("it is sealed: %v, %v", is, err)
	}
}

// TestSealedIsNotUndone: whoever takes the seals with the key away, and writes others, is named by a machine that has seen them, and proves nothing to
// one that has not.
func TestSealedIsNotUndone(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	if all := found(t, reopened(t, h.config), cofre.LevelStructure); len(all) > 0 {
		t.Fatal(all)
	}
	f := forger{t, h.store}
	var records []seal.Record
	for _, name := range f.names("") {
		if strings.HasPrefix(name, "cofre/") {
			continue
		}
		b := f.read(name)
		records = append(records, seal.Record{State: seal.Stored, Size: int64(len(b)), Hash: blake3.Sum256(b), Name: name})
	}
	for _, name := range f.names(seal.Prefix) {
		if err := h.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	f.seal(records)
	seen := found(t, reopened(t, h.config), cofre.LevelStructure)
	if !mentions(seen, "this machine has seen them") || !mentions(seen, "is not believed") {
		t.Errorf("on a machine that has seen the seals: %v", seen)
	}
	other := h.config
	other.StateDir = t.TempDir()
	if all := found(t, reopened(t, other), cofre.LevelContent); len(all) > 0 {
		t.Errorf("everything is as it was, and decrypts: %v", all)
	}
	f.destroy()
	if all := found(t, reopened(t, other), cofre.LevelContent); len(all) == 0 {
		t.Error("what was destroyed reaches the level content")
	}
}

// TestSealsOfTheStorageChangeNothing: what a forger writes, copies or renames beside the seals is named, and changes nothing of what they say.
func TestSealsOfTheStorageChangeNothing(t *testing.T) {
	for name, forge := range map[string]func(f forger){
		"says that an index is gone": func(f forger) {
			f.seal([]seal.Record{{State: seal.Removed, Name: f.names("x")[0]}})
		},
		"an old seal under a newer name": func(f forger) {
			first, second := seal.Names(time.Now().Add(time.Hour))
			old := f.names(seal.Prefix)[:2]
			f.write(first, f.read(old[0]))
			f.write(second, f.read(old[1]))
		},
		"junk": func(f forger) { f.write(seal.Prefix+"junk", []byte("junk")) },
		"a line added": func(f forger) {
			name := f.names(seal.Prefix)[0]
			text := strings.Split(string(f.read(name)), "\n")
			body := strings.Join(append([]string{text[0], text[1], fmt.Sprintf("- 0 %x %s", seal.Hash{}, f.names("x")[0])}, text[2:len(text)-2]...), "\n") + "\n"
			f.write(name, fmt.Appendf([]byte(body), "end %x\n", blake3.Sum256([]byte(body))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, folderConfig(t))
			forge(forger{t, h.store})
			all := found(t, reopened(t, h.config), cofre.LevelContent)
			if len(all) == 0 || slices.ContainsFunc(all, func(f cofre.Finding) bool { return strings.HasPrefix(f.Object, "p/") }) {
				t.Errorf("found: %v", all)
			}
		})
	}
}

// TestPruningTrustsNoIndexOfOthers: an index that the storage has copied under a name which takes the place of all others has nothing deleted, and nothing hidden.
func TestPruningTrustsNoIndexOfOthers(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	indexes := slices.DeleteFunc(f.names("x"), func(n string) bool { return !strings.HasPrefix(n, "x/n0_") })
	if len(indexes) == 0 {
		t.Fatalf("no indexes of epoch 0: %v", f.names("x"))
	}
	hash, _, _ := strings.Cut(filepath.Base(indexes[0]), "-")
	f.write("x/s0_/"+hash+"-s0123456789abcdef0123456789abcdef-c1.f", f.read(indexes[0]))
	f.write("xe2.f", []byte("epoch-marker"))
	r := reopened(t, h.config)
	for range 2 {
		if wrong := h.restores(t, r); len(wrong) > 0 {
			t.Error(wrong)
		}
		if _, err := r.Prune(t.Context(), false); err != nil {
			t.Errorf("prune: %v", err)
		}
	}
	for _, name := range indexes {
		if _, err := os.Stat(filepath.Join(h.config.URL, name)); err != nil {
			t.Error(err)
		}
	}
	if all := found(t, r, cofre.LevelStructure); !mentions(all, "x/s0_/"+hash) {
		t.Errorf("nothing names the index: %v", all)
	}
	if done, err := r.Vouch(t.Context(), cofre.Discard); !errors.Is(err, cofre.ErrFindings) || !mentions(done.Findings, "x/s0_/"+hash) {
		t.Errorf("it is sealed: %+v, %v", done, err)
	}
}

// later is a store whose packs were written an hour after they were sealed.
type later struct{ cofre.Store }

func (l later) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		for o, err := range l.Store.List(ctx, prefix) {
			if isPack(o.Name) {
				o.ChangedAt = o.ChangedAt.Add(time.Hour)
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// TestABackupBuildsOnNoForgedPack: what is stored already counts as stored if it is what was sealed. A backup that would take over packs which were
// destroyed, whose seals were forged, and that nobody has verified since, stores them afresh; older points then restore again.
func TestABackupBuildsOnNoForgedPack(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	f.destroy()
	r := reopened(t, h.config)
	repository.WithStore(r, func(s cofre.Store) cofre.Store { return later{s} })
	h.add(t, r, h.latest)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = reopened(t, h.config)
	if _, err := readPath(t, r, points(t, r)[3].Components[0].Root, "a/noise"); err != nil {
		t.Errorf("the newest point: %v", err)
	}
	for _, wrong := range h.restores(t, r) {
		t.Error(wrong)
	}
}

// TestARepositoryThatWasCopiedIsReadOnce: every file was written again since it was sealed, and is what it was.
func TestARepositoryThatWasCopiedIsReadOnce(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	for i, want := range []bool{true, false} {
		r := reopened(t, h.config)
		var read []string
		repository.WithStore(r, func(s cofre.Store) cofre.Store {
			return later{storetest.Before(s, func(verb storetest.Verb, name string) error {
				if verb == storetest.Open && isPack(name) {
					read = append(read, name)
				}
				return nil
			})}
		})
		h.add(t, r, h.latest)
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if (len(read) > 0) != want {
			t.Errorf("backup %d has read %v", i+1, read)
		}
	}
}

// sparse makes an object of 20 GB that takes no room.
func (h *history) sparse(t testing.TB, name string) {
	t.Helper()
	path := filepath.Join(h.config.URL, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 20<<30); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsFarTooLargeIsNamed: objects that anybody who may write to the storage could have made are not read whole, stop no backup, and are named.
func TestWhatIsFarTooLargeIsNamed(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	large := []string{
		seal.Prefix + "20260101T000000.000000000Z-aaaaaaaa-a", seal.Prefix + "junk",
		"p/000/00000000000000000000000000000-s0123456789abcdef0.f",
		"cofre/damage/20260101T000000.000000000Z-aaaaaaaa", "cofre/prune/announced/20260101T000000.000000000Z-aaaaaaaa",
	}
	for _, name := range large {
		h.sparse(t, name)
	}
	r := reopened(t, h.config)
	h.add(t, r, map[string][]byte{"a": []byte("a")})
	all := found(t, r, cofre.LevelContent)
	for _, name := range large[:2] {
		if !mentions(all, name) {
			t.Errorf("nothing names %s: %v", name, all)
		}
	}
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// TestJunkNotesStopNothing: an announcement and a note of a capture that nobody can read have nothing deleted, and stop neither backups nor pruning.
func TestJunkNotesStopNothing(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	f.write("cofre/prune/announced/20260101T000000.000000000Z-aaaaaaaa", []byte("junk"))
	f.write("cofre/capturing/junk/junk", nil)
	f.write("cofre/damage/junk", []byte("junk"))
	f.write("cofre/proven/read/junk", []byte("junk"))
	r := reopened(t, h.config)
	h.add(t, r, map[string][]byte{"a": []byte("a")})
	if _, err := r.Prune(t.Context(), false); err != nil {
		t.Error(err)
	}
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(wrong)
	}
}
