package epochs

import (
	"strconv"
	"strings"

	"github.com/kopia/kopia/repo/blob"
)

// The first letters of names: of the marker of an epoch, an index of a flush, one in the place of those of an epoch, one in the place of those of many, and
// of what cofre never writes.
const (
	Prefix          = "x"
	MarkerPrefix    = "xe"
	NewPrefix       = "xn"
	SinglePrefix    = "xs"
	RangePrefix     = "xr"
	watermarkPrefix = "xw"
)

// last is more than any repository ever has: pruning begins two epochs at most, after sixteen writes. longest are more epochs than are ever in one index.
const (
	last    = 1 << 16
	longest = 1 << 12
)

// Replaces are the epochs whose indexes one is read in the place of; ok is false if it is one of a flush, and no index at all.
func Replaces(id blob.ID) (first, last int, ok bool) {
	switch s := string(id); {
	case strings.HasPrefix(s, SinglePrefix):
		return Number(id), Number(id), true
	case strings.HasPrefix(s, RangePrefix):
		first, last = Range(id)
		return first, last, true
	}
	return 0, 0, false
}

// Epoch is that of an index of a flush, or of one that is read in the place of those of one epoch; -1 if it is neither.
func Epoch(id blob.ID) int {
	if s := string(id); strings.HasPrefix(s, NewPrefix) || strings.HasPrefix(s, SinglePrefix) {
		return Number(id)
	}
	return -1
}

// Range are the epochs in the name of an index of many, or -1.
func Range(id blob.ID) (first, last int) {
	_, rest, _ := strings.Cut(string(id), "_")
	return Number(id), Number(blob.ID("xx" + rest))
}

// Number is the first number in a name, or -1 if it has none that is written as the library writes it.
func Number(id blob.ID) int {
	if len(id) < 3 {
		return -1
	}
	text, _, _ := strings.Cut(string(id)[2:], "_")
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > last || strconv.Itoa(n) != text {
		return -1
	}
	return n
}

// MarkerText is what is in the marker of an epoch, of this program and of stock Kopia.
const MarkerText = "epoch-marker"

// IsMarker reports whether the name of a file says something, and the file nothing.
func IsMarker(id blob.ID) bool {
	return strings.HasPrefix(string(id), MarkerPrefix) || strings.HasPrefix(string(id), watermarkPrefix)
}
