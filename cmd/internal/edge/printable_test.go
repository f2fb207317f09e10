package edge

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

func FuzzPrintable(f *testing.F) {
	f.Add("ação\x1b[0m\u009b", 3)
	f.Fuzz(func(t *testing.T, s string, cut int) {
		if !utf8.ValidString(s) {
			t.Skip() // a broken character at a cut is written once it is known to be broken
		}
		cut = max(0, min(cut, len(s)))
		var b bytes.Buffer
		w := &printable{to: &b}
		for _, part := range []string{s[:cut], s[cut:]} {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if b.String() != cofre.PrintableLines(s) {
			t.Errorf("in two parts %q, whole %q", b.String(), cofre.PrintableLines(s))
		}
		if strings.ContainsAny(b.String(), "\x1b\r\x00\x7f\u009b") {
			t.Errorf("%q acts", b.String())
		}
	})
}
