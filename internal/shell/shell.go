// Package shell writes words so that a command that is shown can be pasted.
package shell

import (
	"net/url"
	"strings"

	"github.com/trustlayer/cofre"
)

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-%"

// Quote quotes a word for a POSIX shell if it needs it. Control characters are written as escapes, on one line, in the form of POSIX 2024
// (XCU 2.2.4) that bash, zsh and ksh have long read.
func Quote(s string) string {
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	if shown := cofre.Printable(s); shown != s {
		return "$'" + strings.ReplaceAll(cofre.Printable(strings.ReplaceAll(s, `\`, `\\`)), "'", `\'`) + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// WithoutPassword is a URL that can be printed; anything else stays as it is.
func WithoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}
