package pgarchive

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

// ParseName reads a name as PostgreSQL reads one: parts joined by dots, each folded to lower case unless it
// stands in double quotes, in which a quote is doubled: answers, public.answers, "My Schema"."a.b".
//
// Errors: one that quotes the text.
func ParseName(s string) ([]string, error) {
	parts, rest, err := SplitName(s)
	if err == nil && rest != "" {
		err = fmt.Errorf("unexpected %q", rest)
	}
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", s, err)
	}
	return parts, nil
}

// SplitName reads the name that s begins with, as ParseName does, and returns what follows it.
//
// Errors: that s begins with none.
func SplitName(s string) (parts []string, rest string, err error) {
	for {
		part, after, err := splitIdentifier(s)
		if err != nil {
			return nil, s, err
		}
		parts = append(parts, part)
		if !strings.HasPrefix(after, ".") {
			return parts, after, nil
		}
		s = after[1:]
	}
}

func splitIdentifier(s string) (ident, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for s = s[1:]; ; {
			i := strings.IndexByte(s, '"')
			if i < 0 {
				return "", "", errors.New("a quoted identifier does not end")
			}
			b.WriteString(s[:i])
			s = s[i+1:]
			if !strings.HasPrefix(s, `"`) {
				break
			}
			b.WriteByte('"')
			s = s[1:]
		}
		if b.Len() == 0 {
			return "", "", errors.New("an identifier is empty")
		}
		return b.String(), s, nil
	}
	end := 0
	for end < len(s) && isIdentByte(s[end]) {
		end++
	}
	if end == 0 {
		return "", "", errors.New("an identifier is empty or needs double quotes")
	}
	return lowerASCII(s[:end]), s[end:], nil
}

func isIdentByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

// lowerASCII folds as the server does in a multi-byte encoding: ASCII letters alone.
//
// Source: PostgreSQL, src/backend/parser/scansup.c, downcase_identifier.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// Quote joins names as SQL, each in double quotes.
func Quote(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(p, `"`, `""`))
		b.WriteByte('"')
	}
	return b.String()
}

// Typed is Quote for a statement that is shown, to be pasted into psql: a name that a terminal would act on, or that has a line of its own, is written with the escapes that
// the server reads.
//
// Source: PostgreSQL, https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS, "Unicode escapes".
func Typed(parts ...string) string {
	typed := make([]string, len(parts))
	for i, p := range parts {
		if typed[i] = Quote(p); cofre.Printable(p) == p || !utf8.ValidString(p) {
			continue
		}
		var b strings.Builder
		for _, r := range p {
			switch {
			case r == '\\' || r == '"':
				b.WriteString(strings.Repeat(string(r), 2))
			case cofre.Printable(string(r)) != string(r):
				fmt.Fprintf(&b, `\%04X`, r)
			default:
				b.WriteRune(r)
			}
		}
		typed[i] = `U&"` + b.String() + `"`
	}
	return strings.Join(typed, ".")
}
