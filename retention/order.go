package retention

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// astray is how far a time may be out of the order of publication before it is not believed: captures that run beside each other are published in
// another order than they began.
const astray = 24 * time.Hour

// believed are the components of all sources, each with the time that is believed of it beside what was published of other sources: a clock
// that was wrong when a source was captured for the first time shows by these. A publication counts once, however many sources it has.
func believed(in Input) []dated {
	all := make([]dated, 0, len(in.Components)+len(in.Gone))
	for _, c := range in.Components {
		all = append(all, dated{c, c.At, false})
	}
	for _, c := range in.Gone {
		all = append(all, dated{c, c.At, true})
	}
	limit := in.now().Add(Skew)
	latest := map[int64]time.Time{} // by the order of publication
	for _, c := range all {
		if c.Order > 0 && !c.At.After(limit) && c.At.After(latest[c.Order]) {
			latest[c.Order] = c.At
		}
	}
	published := make([]dated, 0, len(latest))
	for order, at := range latest {
		published = append(published, dated{Component{Order: order, At: at}, at, false})
	}
	settle(published)
	for _, p := range published {
		latest[p.Order] = p.at
	}
	for i, c := range all {
		if at := latest[c.Order]; !c.At.After(limit) && at.Sub(c.At) > astray {
			all[i].at = at
		}
	}
	return all
}

// settle orders components, and gives each the time that is believed of it. Of components whose order of publication is known, the
// times of the longest row that rises are believed. One that is more than a day before that row was made by a clock that was behind, and
// is taken to be as young as what was published after it. One that is ahead of the row stays as it says: that only keeps it longer.
func settle(all []dated) {
	slices.SortFunc(all, func(a, b dated) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), a.At.Compare(b.At), cmp.Compare(a.Point, b.Point))
	})
	correct(all)
	slices.SortStableFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
}

// dated is a component with the time that is believed of it.
type dated struct {
	Component
	at   time.Time
	gone bool // it has expired before
}

// correct replaces the times that are not believed.
func correct(all []dated) {
	rising := longestRising(all)
	var before time.Time
	for i := range all {
		if len(rising) > 0 && rising[0] == i {
			before = all[i].at
			rising = rising[1:]
			continue
		}
		if before.Sub(all[i].at) <= astray {
			continue
		}
		all[i].at = before
		if len(rising) > 0 {
			all[i].at = all[rising[0]].at
		}
	}
}

// longestRising returns the indexes of the longest row whose times do not fall. Of several as long it is the one with the latest times: what it passes
// over is then before it, and taken to be younger than it says. Nobody can say which of two times was wrong, and a doubt keeps.
func longestRising(all []dated) []int {
	var tails []int    // the last index of the best row of each length
	var levels [][]int // the indexes at which a row of each length can end, in order: their times fall
	for i := range all {
		n := sort.Search(len(tails), func(k int) bool { return all[tails[k]].at.After(all[i].at) })
		if n == len(tails) {
			tails, levels = append(tails, i), append(levels, nil)
		}
		tails[n] = i
		levels[n] = append(levels[n], i)
	}
	row := make([]int, len(levels))
	for k := len(levels) - 1; k >= 0; k-- {
		at := 0 // the first has the latest time
		if k+1 < len(row) {
			next := all[row[k+1]]
			at = sort.Search(len(levels[k]), func(n int) bool { return !all[levels[k][n]].at.After(next.at) })
		}
		row[k] = levels[k][at]
	}
	return row
}
