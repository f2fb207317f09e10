// Package rawtext writes bytes that are no UTF-8 as text that is, and reads them back: JSON would change them, and with them
// what is meant.
package rawtext

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// Prefix marks such a text; what follows is percent-encoded. A text that begins like this by itself is encoded too.
const Prefix = "%cofre:"

// Encode is s, or what stands for it in UTF-8.
func Encode(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, Prefix) {
		return s
	}
	return Prefix + url.PathEscape(s)
}

// Decode is the text of which Encode made s. What has the prefix and is none of Encode's is as it is.
func Decode(s string) string {
	if escaped, ok := strings.CutPrefix(s, Prefix); ok {
		if plain, err := url.PathUnescape(escaped); err == nil {
			return plain
		}
	}
	return s
}
