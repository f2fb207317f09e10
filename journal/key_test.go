package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// vault seals by a prefix: what is sealed is not looked at here.
type vault string

func (v vault) Seal(purpose string, text []byte) ([]byte, error) {
	return append([]byte(string(v)+purpose), text...), nil
}

func (v vault) Unseal(purpose string, sealed []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte(string(v)+purpose))
	if !ok {
		return nil, cofre.ErrCorrupt
	}
	return text, nil
}

// putOnly is a store of which credentials may read and create, and nothing else.
type putOnly struct{ cofre.Store }

func (putOnly) Replace(context.Context, string, io.Reader, int64) error { return cofre.ErrDenied }
func (putOnly) Delete(context.Context, string) error                    { return cofre.ErrDenied }

// Machines that race end with one key, and what each appends is signed by it. They need no more than to read and to create.
func TestMachinesThatRaceHaveOneKey(t *testing.T) {
	journal.SetWidth(t, 8)
	for range 20 {
		s := putOnly{newMemory()}
		var all sync.WaitGroup
		var mu sync.Mutex
		keys, made := map[string]bool{}, 0
		for range 4 {
			all.Go(func() {
				k, first, err := journal.CreateKey(t.Context(), s, vault("v"), "trustlayer/1")
				if err != nil {
					t.Error(err)
					return
				}
				log := k.Open(s)
				for range 5 {
					if _, _, err := log.Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed})); err != nil {
						t.Error(err)
					}
				}
				if err := log.Bundle(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				keys[k.Public()] = true
				if first {
					made++
				}
			})
		}
		all.Wait()
		public, err := journal.PublicKey(t.Context(), s)
		if err != nil || len(keys) != 1 || !keys[public] || made != 1 {
			t.Fatal(keys, public, made, err)
		}
		log, err := journal.OpenPublic(s, public)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := log.Verify(t.Context(), journal.VerifyOptions{}); err != nil || len(v.Findings) > 0 || v.Entries != 20 {
			t.Fatalf("%+v %v", v, err)
		}
	}
}

func TestAKeyThatIsDamaged(t *testing.T) {
	s := newMemory()
	h := &host{store: s}
	if _, err := journal.LoadKey(t.Context(), s, vault("v")); !errors.Is(err, cofre.ErrNotFound) {
		t.Fatal(err)
	}
	k, made, err := journal.CreateKey(t.Context(), s, vault("v"), "trustlayer/1")
	if err != nil || !made {
		t.Fatal(made, err)
	}
	for _, text := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s", k, k, k, k)} {
		if strings.Contains(text, "PRIVATE") || !strings.Contains(text, k.Public()) {
			t.Error(text)
		}
	}
	same := func() {
		t.Helper()
		if again, err := journal.LoadKey(t.Context(), s, vault("v")); err != nil || again.Public() != k.Public() {
			t.Error(again, err)
		}
	}
	same()
	h.remove(t, journal.SecondObject)
	same() // which puts it back
	h.set(t, journal.SecretObject, []byte("junk"))
	same()
	h.remove(t, journal.SecretObject, journal.PublicObject)
	same()
	if _, err := journal.LoadKey(t.Context(), s, vault("another password")); !errors.Is(err, cofre.ErrCorrupt) {
		t.Error(err)
	}
	h.set(t, journal.PublicObject, []byte("trustlayer/1+00000000+x\n"))
	if _, err := journal.LoadKey(t.Context(), s, vault("v")); !errors.Is(err, cofre.ErrCorrupt) {
		t.Error(err)
	}
	h.remove(t, journal.SecondObject)
	_, _, err = journal.CreateKey(t.Context(), s, vault("v"), "trustlayer/1")
	if _, statErr := s.Stat(t.Context(), journal.SecretObject); !errors.Is(err, cofre.ErrCorrupt) || !errors.Is(statErr, cofre.ErrNotFound) {
		t.Error("a public half without its secret one was given another:", err, statErr)
	}
}

func TestSealed(t *testing.T) {
	s := newMemory()
	h := newHost(t)
	h.store, h.log = s, journal.Open(s, h.keys, h.sign)
	name, err := h.log.Seal(t.Context(), vault("v"), map[string]string{"message": "relation secret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.log.Append(t.Context(), journal.New(journal.Body{Event: journal.EventFailed, Sealed: name})); err != nil {
		t.Fatal(err)
	}
	var read map[string]string
	if err := h.log.Unseal(t.Context(), vault("v"), name, &read); err != nil || read["message"] != "relation secret" {
		t.Error(read, err)
	}
	sealed := func() []cofre.Finding {
		v, err := h.log.Verify(t.Context(), journal.VerifyOptions{Sealed: true})
		if err != nil {
			t.Fatal(err)
		}
		return v.Findings
	}
	if found := sealed(); len(found) > 0 {
		t.Error(found)
	}
	h.set(t, "journal/sealed/"+name, []byte("other"))
	if found := sealed(); len(found) != 1 || found[0].Object != "journal/sealed/"+name {
		t.Error(found)
	}
	if err := h.log.Unseal(t.Context(), vault("v"), name, &read); !errors.Is(err, cofre.ErrCorrupt) {
		t.Error(err)
	}
	h.remove(t, "journal/sealed/"+name)
	if found := h.verify(t); len(found) != 1 || found[0] != entry(0)+": the encrypted object that it names was removed" {
		t.Error(found)
	}
}

func TestMemory(t *testing.T) {
	file := journal.MemoryFile(t.TempDir(), "s3://bucket/cofre")
	if m, err := journal.Recall(file); err != nil || m.Seen().Size != 0 {
		t.Fatal(m, err)
	}
	h := newHost(t)
	h.store = newMemory()
	h.log = journal.Open(h.store, h.keys, h.sign)
	h.append(t, 3)
	older, newer := journal.Memory{Key: "k", Checkpoint: h.lines[0].String()}, journal.Memory{Key: "k", Checkpoint: h.lines[2].String()}
	for _, m := range []journal.Memory{newer, older} {
		if err := m.Keep(file); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := journal.Recall(file); err != nil || m.Seen() != h.lines[2] {
		t.Error("an older checkpoint was remembered in place of a newer one:", m, err)
	}
	if m, err := journal.Recall(file); err != nil || !m.UnknownBefore().IsZero() {
		t.Error("a memory that does not say how it was begun is taken for one that is not known:", m, err)
	}
	if aside, err := journal.SetAside(file); err != nil || !aside {
		t.Error(aside, err)
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	if aside, err := journal.SetAside(file); err != nil || aside {
		t.Error(aside, err)
	}
}

// Processes that read and write a memory at once, in any order, neither lose what a person has vouched for nor forget when it was begun.
func TestMemoryOfThePast(t *testing.T) {
	h := newHost(t)
	h.store = newMemory()
	h.log = journal.Open(h.store, h.keys, h.sign)
	h.append(t, 3)
	keep := func(file string, line int, change func(*journal.Memory)) {
		t.Helper()
		m, err := journal.Recall(file)
		if err != nil {
			t.Fatal(err)
		}
		change(&m)
		m.Key, m.Checkpoint = "k", h.lines[line].String()
		if err := m.Keep(file); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(m *journal.Memory) { m.Begin() }
	nothing := func(*journal.Memory) {}
	unknown := func(file string) bool {
		t.Helper()
		m, err := journal.Recall(file)
		if err != nil {
			t.Fatal(err)
		}
		return !m.UnknownBefore().IsZero()
	}
	for _, c := range []struct {
		name  string
		write func(file string)
		want  bool
	}{
		{"a machine that made the journal", func(f string) { keep(f, 0, nothing); keep(f, 1, begin) }, false},
		{"one that found it", func(f string) { keep(f, 0, begin); keep(f, 1, begin) }, true},
		{"a line is vouched for", func(f string) {
			keep(f, 0, begin)
			keep(f, 1, func(m *journal.Memory) { m.Vouch(h.lines[0]) })
			keep(f, 2, begin)
		}, false},
		{"… while another process has written more", func(f string) {
			keep(f, 0, begin)
			keep(f, 1, func(m *journal.Memory) { keep(f, 2, begin); m.Vouch(h.lines[0]) })
		}, false},
		{"… and another one, which has read before, writes more", func(f string) {
			keep(f, 0, begin)
			keep(f, 2, func(*journal.Memory) { keep(f, 1, func(m *journal.Memory) { m.Vouch(h.lines[0]) }) })
		}, false},
		{"a line of nothing vouches for nothing", func(f string) { keep(f, 0, func(m *journal.Memory) { m.Begin(); m.Vouch(journal.Checkpoint{}) }) }, true},
	} {
		file := journal.MemoryFile(t.TempDir(), "s3://bucket/cofre")
		c.write(file)
		if got := unknown(file); got != c.want {
			t.Errorf("%s: the past is unknown: %v, want %v", c.name, got, c.want)
		}
	}
}
