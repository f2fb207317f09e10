package wal

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/trustlayer/cofre"

	"github.com/trustlayer/cofre/postgres/pgdata"
)

// FuzzNames: what is left beside segments is of the file that its name says.
func FuzzNames(f *testing.F) {
	for _, name := range []string{
		"000000010000000000000003" + partsDir + "00000000-00001000", "000000010000000000000003" + partsDir + "-0000001-00001000", "00000002.history" + found + "0011", "000000010000000000000003" + damageDir + "healed-00",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if file, ok := parseNote(name); ok && file == (pgdata.WALName{}) {
			t.Errorf("a note of nothing: %q", name)
		}
		if file, p, ok := parsePart(name); ok && (p.from < 0 || p.to > MaxSegment || partName(1, file, p.from, p.to) != ObjectName(1, file)+strings.TrimPrefix(name, file.String())) {
			t.Errorf("%q is part %+v of %s", name, p, file)
		}
		if file, kind, _, ok := parseDamage(name); ok && (kind == "" || !strings.Contains(name, file.String())) {
			t.Errorf("%q is damage of %s", name, file)
		}
	})
}

// FuzzRecipient: a recipient is written as it was read.
func FuzzRecipient(f *testing.F) {
	f.Add("age1rdsre2nmpfcp2lgsmy906ze3kfxe4h9xn2aafxapcp7u4m9fhveskn0vce\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecipient(text)
		if err != nil {
			return
		}
		again, err := ParseRecipient(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%s came back as %s, %v", r, again, err)
		}
	})
}

// text is a store that has a text under every name.
type text struct {
	cofre.Store

	of string
}

func (s text) URL() string { return "memory" }

func (s text) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(s.of)), nil
}

// FuzzNotes: what lies in the place of a note, an acknowledgement or what was found of a segment is one, or is damaged. Nobody acknowledges anything without the password.
func FuzzNotes(f *testing.F) {
	f.Add(`{"timeline":1,"from":"000000010000000000000002","to":"000000010000000000000009","by":"ana","at":"2026-11-01T00:00:00Z","why":"known","code":"eA=="}`)
	f.Add(`{"name":"000000010000000000000003","what":"its bytes are not those that were stored","reader":"age1","kept":"x"}`)
	f.Add(`{"name":"\u001b[2K","host":"h\nx","dir":"/","at":"0001-01-01T00:00:00Z"}`)
	f.Add(`null`)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	id := Identity{i: key}
	f.Fuzz(func(t *testing.T, of string) {
		st := text{of: of}
		a, err := readAcknowledgement(t.Context(), st, "a")
		if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("acknowledgement: %v", err)
		}
		if err == nil && a.authentic(id, 7) {
			t.Error("nobody has said it")
		}
		n, err := readNote(t.Context(), st, "n")
		if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("note: %v", err)
		}
		_ = n.Offered()
		if d, err := readDamage(t.Context(), st, "d"); err == nil && d.What == "" {
			t.Error("damage without what was found")
		}
		if acknowledged(t.Context(), st, 7, "000000010000000000000003", nil) {
			t.Error("nobody has acknowledged it")
		}
	})
}
