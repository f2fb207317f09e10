// Package words writes numbers as sentences have them, the same everywhere.
package words

import (
	"time"

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

// Took writes how long something took: 12ms, 3.4s.
func Took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
