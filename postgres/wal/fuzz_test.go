package wal

import (
	"strings"
	"testing"

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
