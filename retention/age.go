package retention

import (
	"slices"
	"time"
)

// Age is how old a component is.
type Age struct {
	Calendar time.Duration // from its capture to that of the newest whole component of its source
	// Counted leaves out of it the time in which nothing was captured: two captures that are further apart than twice the
	// usual distance count as being that far apart. Rules go by it.
	Counted time.Duration
}

// silence is the least distance of two captures that can be left out: a source that is captured every minute is not silent after three.
const silence = 48 * time.Hour

// ages counts the age of each component, which are ordered oldest first. The newest whole component is the one from which is counted, not
// the clock: a source that is no longer captured does not age. What is newer has the age 0.
func ages(components []dated, every time.Duration) []Age {
	limit := max(2*usual(components, every), silence)
	all := make([]Age, len(components))
	from := newestWhole(components)
	if from < 0 {
		return all
	}
	// A doubt keeps: if another time than its own is believed of that component, the earlier one makes nothing older than it is.
	newest := components[from].at
	if own := components[from].At; own.Before(newest) {
		newest = own
	}
	var counted time.Duration
	last := newest
	for i := from - 1; i >= 0; i-- {
		if at := components[i].at; at.Before(last) {
			counted += min(last.Sub(at), limit)
			last = at
		}
		all[i] = Age{max(0, newest.Sub(components[i].at)), counted}
	}
	return all
}

// newestWhole is the newest whole component that is there: one that has expired may be newer, if what was newer still was found to be damaged.
func newestWhole(components []dated) int {
	for i := len(components) - 1; i >= 0; i-- {
		if components[i].Whole && !components[i].gone {
			return i
		}
	}
	return -1
}

// usual is how far apart captures usually are: by the schedule, or else the middle one of all distances, the shorter of two. Of a single
// distance nobody can say whether it is usual.
func usual(components []dated, every time.Duration) time.Duration {
	if every > 0 || len(components) < 3 {
		return every
	}
	apart := make([]time.Duration, 0, len(components)-1)
	for i := 1; i < len(components); i++ {
		apart = append(apart, components[i].at.Sub(components[i-1].at))
	}
	slices.Sort(apart)
	return apart[(len(apart)-1)/2]
}
