package journal_test

import (
	"bytes"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// FuzzBundle: a bundle that is read is, text by text, the one that is written of these.
func FuzzBundle(f *testing.F) {
	journal.SetWidth(f, 2)
	f.Add(journal.EncodeBundle([][]byte{[]byte("one"), []byte("two")}))
	f.Add([]byte{0, 0, 0, 1, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		texts, err := journal.DecodeBundle(b)
		if err == nil && (len(texts) != 2 || !bytes.Equal(journal.EncodeBundle(texts), b)) {
			t.Errorf("%x came back as %x", b, journal.EncodeBundle(texts))
		}
	})
}

// FuzzEntry: what is an entry can be asked everything.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"_type":"` + journal.StatementType + `","subject":[{"name":"cofre/seals/a","digest":{"sha256":"00"}}],"predicateType":"x/published/v1","predicate":{"event":"published","at":"2026-11-27T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := journal.ParseEntry(b)
		if err == nil && e.Type != journal.StatementType || err != nil && cofre.CodeOf(err) == "" {
			t.Errorf("%+v, %v", e, err)
		}
	})
}
