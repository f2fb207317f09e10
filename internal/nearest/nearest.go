// Package nearest finds the word that a person probably meant.
package nearest

import "slices"

// far is the distance from which a word is another one, and not mistyped.
const far = 3

// Word returns the word of known that is nearest to what was typed, counted in letters to insert, delete or change, or ""
// if all are three or more away. Of equals the first counts.
func Word(typed string, known []string) string {
	best, nearest := "", far
	for _, k := range known {
		if d := distance(typed, k); d < nearest {
			best, nearest = k, d
		}
	}
	return best
}

// distance is Levenshtein's. Words whose lengths alone tell them apart are not compared.
func distance(a, b string) int {
	if len(a)-len(b) >= far || len(b)-len(a) >= far {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			change := before[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, before[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
