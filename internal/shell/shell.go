// Package shell writes words so that a command that is shown can be pasted.
package shell

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-%"

// Quote quotes a word for a POSIX shell if it needs it. Control characters are written as escapes, on one line, in the form of POSIX 2024
// (XCU 2.2.4) that bash, zsh and ksh have long read; those beyond ASCII byte by byte, since \u is read by the locale of whoever pastes.
func Quote(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	if cofre.Printable(s) == s {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		c := s[i : i+n]
		i += n
		switch shown := cofre.Printable(c); {
		case c == `\` || c == "'":
			b.WriteString(`\` + c)
		case strings.HasPrefix(shown, `\u`), strings.HasPrefix(shown, `\x`): // of \x shells read two digits, or more
			for _, octet := range []byte(c) {
				fmt.Fprintf(&b, `\%03o`, octet)
			}
		default:
			b.WriteString(shown)
		}
	}
	return "$'" + b.String() + "'"
}

// WithoutPassword is a URL that can be printed; anything else stays as it is.
func WithoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}
