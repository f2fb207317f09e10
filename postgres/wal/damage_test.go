package wal_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/store"
)

// TestArchiveOverDamage archives a segment of which the repository holds a damaged object, in every way in which one can be
// damaged: the server has the only good copy, and gives it up once the call has succeeded.
func TestArchiveOverDamage(t *testing.T) {
	t.Parallel()
	flip := func(at func(b []byte) int) func([]byte) []byte {
		return func(b []byte) []byte { b[at(b)] ^= 1; return b }
	}
	inHeader := func(text string, by int) func([]byte) []byte {
		return flip(func(b []byte) int { return bytes.Index(b, []byte(text)) + by })
	}
	for _, c := range []struct {
		what   string
		damage func([]byte) []byte
		healed bool
	}{
		{"whole", func(b []byte) []byte { return b }, false},
		{"a bit of the body", flip(func(b []byte) int { return len(b) / 2 }), true},
		{"the last bit", flip(func(b []byte) int { return len(b) - 1 }), true},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, true},
		{"one byte more", func(b []byte) []byte { return append(b, 0) }, true},
		{"the end is zeros", func(b []byte) []byte { return append(b[:len(b)/2], make([]byte, len(b)-len(b)/2)...) }, true},
		{"cut off within the header", func(b []byte) []byte { return b[:100] }, true},
		{"empty", func([]byte) []byte { return nil }, true},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, true},
		{"the key of the file", inHeader("X25519 ", 10), true},
		{"the digest", inHeader("cofre-digest ", 20), true},
		{"the name of the digest", inHeader("cofre-digest ", 2), true},
		{"the chain", inHeader("remaining=", 2), true},
		{"the sum of the header", inHeader("cofre-sum ", 12), true},
		{"the sum of the body", inHeader("cofre-sum ", 60), true},
		{"the name of the sums", inHeader("cofre-sum ", 2), true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, st, id := repository(t)
			dir, system, segments := dataDir(t)
			a := &wal.Archiver{Archives: []wal.Archive{{Store: st}}}
			for _, s := range segments[:3] {
				must(a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)))(t)
			}
			at := object(t, system, segments[1])
			good := readObject(t, st, at)
			bad := c.damage(bytes.Clone(good))
			replaceObject(t, st, at, bad)

			out, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[1]))
			if err != nil || out.Stored != 0 || (len(out.Healed) == 1) != c.healed {
				t.Fatalf("%+v, %v", out, err)
			}
			want := mustRead(t, filepath.Join(dir, "pg_wal", segments[1]))
			if got, err := wal.Read(t.Context(), st, id, system, must(pgdata.ParseWALName(segments[1]))(t)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("what is archived: %v", err)
			}
			var kept, notes int
			for o, err := range st.List(t.Context(), at+".damage/") {
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case strings.Contains(o.Name, "/object-"):
					kept++
					if !bytes.Equal(readObject(t, st, o.Name), bad) {
						t.Error("what was there is not kept as it was")
					}
				case strings.Contains(o.Name, "/healed-"):
					notes++
				}
			}
			if wantKept := c.healed && len(bad) > 0; (notes == 1) != c.healed || (kept == 1) != wantKept {
				t.Errorf("%d kept, %d notes", kept, notes)
			}
			if !c.healed && !bytes.Equal(readObject(t, st, at), good) {
				t.Error("a good object was replaced")
			}
			if again, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[1])); err != nil || len(again.Healed) > 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// TestDamageGivesNoWay offers another segment of the same name: it takes the place of nothing, whole or damaged.
func TestDamageGivesNoWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		damage func([]byte) []byte
	}{
		{"whole", func(b []byte) []byte { return b }},
		{"its body is damaged, and its header says that it was another", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		{"only the segment after it says that it was another", func([]byte) []byte { return nil }},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, st, _ := repository(t)
			dir, system, segments := dataDir(t)
			a := &wal.Archiver{Archives: []wal.Archive{{Store: st}}}
			for _, s := range segments[:3] {
				must(a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)))(t)
			}
			at := object(t, system, segments[1])
			bad := c.damage(readObject(t, st, at))
			replaceObject(t, st, at, bad)
			path := filepath.Join(dir, "pg_wal", segments[1])
			b := mustRead(t, path)
			b[len(b)-100] ^= 0x55
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := a.Archive(t.Context(), path)
			if !errors.Is(err, cofre.ErrExists) || len(out.Healed) > 0 {
				t.Errorf("%+v, %v", out, err)
			}
			if cofre.Hint(err) == "" {
				t.Errorf("no hint: %v", err)
			}
			if !bytes.Equal(readObject(t, st, at), bad) {
				t.Error("what was there was replaced")
			}
		})
	}
}

// unreplacing is a store that may be added to, and in which nothing may be replaced.
type unreplacing struct{ cofre.Store }

func (unreplacing) Replace(context.Context, string, io.Reader, int64) error { return cofre.ErrDenied }

// TestDamageThatMayNotBeReplaced is not archived: the server keeps its copy.
func TestDamageThatMayNotBeReplaced(t *testing.T) {
	t.Parallel()
	_, st, _ := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: unreplacing{st}}}}
	path := filepath.Join(dir, "pg_wal", segments[0])
	must(a.Archive(t.Context(), path))(t)
	if out, err := a.Archive(t.Context(), path); err != nil || len(out.Healed) > 0 {
		t.Fatalf("whole: %+v, %v", out, err)
	}
	damage(t, st, object(t, system, segments[0]))
	if _, err := a.Archive(t.Context(), path); !errors.Is(err, cofre.ErrDenied) || cofre.Hint(err) == "" {
		t.Errorf("damaged: %v", err)
	}
}

// TestDamageIsRemembered finds damage as a verification does; the inventory then has it, until the segment is stored afresh, or
// read well after all.
func TestDamageIsRemembered(t *testing.T) {
	t.Parallel()
	url, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st}}}
	for _, s := range segments[:4] {
		must(a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)))(t)
	}
	unreadable := func() []string {
		t.Helper()
		inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t)
		return inv.Unreadable()
	}
	at := object(t, system, segments[1])
	good := readObject(t, st, at)
	damage(t, st, at)
	found := must(check.Segments(t.Context(), st, id, check.Options{}))(t)
	if len(found) == 0 || found[0].Object != at {
		t.Fatalf("found %+v", found)
	}
	if names := unreadable(); len(names) != 1 || names[0] != segments[1] {
		t.Errorf("remembered: %v", names)
	}
	known := must(wal.KnownDamage(t.Context(), st, system, nil))(t)
	if len(known) != 1 || known[0].Name.String() != segments[1] || known[0].What == "" {
		t.Errorf("known: %+v", known)
	}
	// It was the reading that went wrong.
	replaceObject(t, st, at, good)
	if found := must(check.Segments(t.Context(), st, id, check.Options{}))(t); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
	if names := unreadable(); len(names) != 0 {
		t.Errorf("remembered after all: %v", names)
	}
	// Stored afresh.
	damage(t, st, at)
	must(check.Segments(t.Context(), st, id, check.Options{}))(t)
	name := must(pgdata.ParseWALName(segments[1]))(t)
	if healed, err := wal.Restore(t.Context(), wal.Archive{Store: st}, system, name, mustRead(t, filepath.Join(dir, "pg_wal", segments[1]))); err != nil || healed == "" {
		t.Fatalf("healed %q, %v", healed, err)
	}
	if names := unreadable(); len(names) != 0 {
		t.Errorf("still remembered: %v", names)
	}
	inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t)
	if err := inv.ReadChain(t.Context(), st); err != nil || len(inv.Breaks) > 0 {
		t.Errorf("the chain after healing: %+v, %v", inv.Breaks, err)
	}
	// A verification that may only read says what it finds.
	damage(t, st, at)
	ro := must(store.Open(t.Context(), store.Config{URL: filepath.Join(url, "repository"), ReadOnly: true}))(t)
	if found, err := check.Segments(t.Context(), ro, id, check.Options{}); err != nil || len(found) == 0 {
		t.Errorf("read only: %+v, %v", found, err)
	}
}

// TestAnotherKeyDamagesNothing puts the key of another repository in the place of the key, as whoever keeps the storage can: nothing can be read then, and
// all of it is there as soon as the key is back.
func TestAnotherKeyDamagesNothing(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st}}}
	for _, s := range segments[:3] {
		must(a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)))(t)
	}
	other := must(store.Open(t.Context(), store.Config{URL: t.TempDir(), Create: true}))(t)
	must(wal.CreateKeys(t.Context(), other, password))(t)
	keys := map[string][]byte{}
	for _, name := range []string{wal.RecipientObject, wal.IdentityObject} {
		keys[name] = readObject(t, st, name)
		replaceObject(t, st, name, readObject(t, other, name))
	}
	unreadable := func() []string {
		t.Helper()
		return must(wal.ReadInventory(t.Context(), st, system, 1<<20, nil))(t).Unreadable()
	}
	if found := must(check.Segments(t.Context(), st, must(wal.Unlock(t.Context(), st, password))(t), check.Options{}))(t); len(found) != 3 {
		t.Errorf("with another key: %+v", found)
	}
	if names := unreadable(); len(names) != 3 {
		t.Errorf("remembered as long as the key is another: %v", names)
	}
	for name, was := range keys {
		replaceObject(t, st, name, was)
	}
	if names, known := unreadable(), must(wal.KnownDamage(t.Context(), st, system, nil))(t); len(names)+len(known) != 0 {
		t.Errorf("with the key: %v, %+v", names, known)
	}
	// What is found with the key counts, whatever was found with another.
	at := object(t, system, segments[1])
	if err := wal.RememberDamage(t.Context(), st, at, errors.New("a bit")); err != nil {
		t.Fatal(err)
	}
	if names := unreadable(); len(names) != 1 || names[0] != segments[1] {
		t.Errorf("found with the key: %v", names)
	}
	if found := must(check.Segments(t.Context(), st, id, check.Options{}))(t); len(found) > 0 {
		t.Errorf("read with the key: %+v", found)
	}
	if names := unreadable(); len(names) != 0 {
		t.Errorf("remembered after all: %v", names)
	}
}

// TestLargeNote makes a note larger than a note can be, as whoever keeps the storage can: the segment is taken for damaged, and archiving and listing go on.
func TestLargeNote(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st}}}
	path := filepath.Join(dir, "pg_wal", segments[0])
	must(a.Archive(t.Context(), path))(t)
	at := object(t, system, segments[0])
	if err := wal.RememberDamage(t.Context(), st, at, errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	for o, err := range st.List(t.Context(), at+".damage/") {
		if err != nil {
			t.Fatal(err)
		}
		replaceObject(t, st, o.Name, bytes.Repeat([]byte("x"), 1<<17))
	}
	inv, err := wal.ReadInventory(t.Context(), st, system, 0, func() (wal.Identity, error) { return id, nil })
	if err != nil || len(inv.Breaks) != 1 {
		t.Errorf("breaks %v, %v", inv, err)
	}
	if out, err := a.Archive(t.Context(), path); err != nil || len(out.Healed) != 1 {
		t.Errorf("archived again: %+v, %v", out, err)
	}
}
