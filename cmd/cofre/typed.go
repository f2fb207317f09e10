package main

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/trustlayer/cofre/internal/pattern"
)

var plainName = pattern.Lazy(`^[a-z_][a-z0-9_]*$`)

// typed is the name of a table as it is typed into a shell.
func typed(schema, table string) string {
	quoted := func(s string, plain *regexp.Regexp) string {
		if plain.MatchString(s) {
			return s
		}
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return shellQuote(quoted(schema, plainName()) + "." + quoted(table, plainName()))
}

// withoutPassword is a URL that can be printed.
func withoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}
