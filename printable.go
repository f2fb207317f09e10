package cofre

import (
	"fmt"
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

// acts reports whether a terminal does something for r besides drawing it: C0, DEL and C1 (ECMA-48), line and paragraph separators, and
// the marks that turn the direction of text (Unicode Standard Annex 9).
func acts(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
