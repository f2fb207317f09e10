// Package words writes numbers as sentences have them, the same everywhere.
package words

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size writes a number of bytes: 1.5 MiB; ? if it is negative, which is to say unknown.
func Size(bytes int64) string {
	if bytes < 0 {
		return "?"
	}
	return humanize.IBytes(uint64(bytes))
}

// Count writes a number with its thousands apart: 200,000.
func Count(n int64) string { return humanize.Comma(n) }

// Plural writes how many there are of something: 1 object, 2 objects.
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
