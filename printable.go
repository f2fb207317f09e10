package cofre

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Printable writes what came from outside (names of tables, objects and files, what a server or a hook said) on one line, so that a
// terminal shows it and obeys none of it: a name may hold an escape sequence that draws a false line, or a line of its own. Control characters, what turns the direction of text, and bytes that are no UTF-8 are written as \n, \x1b, \u202e.
func Printable(s string) string { return escaped(s, "") }

// PrintableLines is Printable for a text that may have lines and tabs.
func PrintableLines(s string) string { return escaped(s, "\n\t") }

func escaped(s, but string) string {
	if !strings.ContainsFunc(s, acts) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !acts(r) || strings.ContainsRune(but, r):
			b.WriteString(s[i : i+n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}

// PrintableJSON is a writer of JSON documents, each in one Write, that a terminal only shows: what would act in a string, and JSON lets stand as it
// is, is written as \u202e, which means the same.
func PrintableJSON(to io.Writer) io.Writer { return printableJSON{to} }

type printableJSON struct{ to io.Writer }

func (p printableJSON) Write(document []byte) (int, error) {
	n := len(document)
	if text := string(document); strings.ContainsFunc(text, actsInString) {
		var b strings.Builder
		for _, r := range text {
			if actsInString(r) {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		document = []byte(b.String())
	}
	if _, err := p.to.Write(document); err != nil {
		return 0, err
	}
	return n, nil
}

func actsInString(r rune) bool { return r >= 0x7f && acts(r) }

// acts reports whether a terminal does something for r besides drawing it: C0, DEL and C1 (ECMA-48), line and paragraph separators, and
// the marks that turn the direction of text (Unicode Standard Annex 9, section 2).
func acts(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
