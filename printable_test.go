package cofre_test

import (
	"testing"

	"github.com/trustlayer/cofre"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"relatório – 2026.pdf":             "relatório – 2026.pdf",
		"a\x1b[2K\rlevel reached: content": `a\x1b[2K\rlevel reached: content`,
		"two\nlines\tand a tab":            `two\nlines\tand a tab`,
		"\u009b31m":                        `\u009b31m`,
		"\x9b31m":                          `\x9b31m`,
		"fdp.\u202egpj":                    `fdp.\u202egpj`,
		"\x7f\x00":                         `\x7f\x00`,
		"日本\u2028語":                        `日本\u2028語`,
	} {
		if got := cofre.Printable(s); got != want {
			t.Errorf("%q is written %q, want %q", s, got, want)
		}
	}
	if got := cofre.PrintableLines("a\n\tb\x1bc\r\n"); got != "a\n\tb\\x1bc\\r\n" {
		t.Errorf("%q", got)
	}
}
