// Package pattern compiles regular expressions when they are first used. A package variable that compiles one is
// paid for by every start of the program, and PostgreSQL starts cofre for each segment of WAL.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy returns a function that returns the compiled expression, always the same. It panics at the first use of an
// expression that does not compile.
func Lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
