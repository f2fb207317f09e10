// Package count says numbers of things.
package count

import "strconv"

// Of returns "1 object" and "3 objects" for the noun "object".
func Of[N int | int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun
}
