package drills

import (
	"math"
	"slices"
	"time"
)

// Prediction is how long a recovery would take.
type Prediction struct {
	Took  time.Duration
	Bytes int64 // of what is recovered
	Of    int   // drills that it is made of
}

// recent is how many drills a prediction is made of, at most: the machine, and what is stored, are others after years.
const recent = 5

// What is expected before anything is measured: which part of a recovery does not grow with what is recovered, how far from that it may be, and by which part two
// recoveries of the same size differ. Two drills of nearly one size say little of what grows, and their noise would be taken for it.
const (
	expected = 0.1
	spread   = 0.3
	noise    = 0.05
)

// Predict says how long the recovery of so many bytes would take, from the newest drills of one source, in their order. A drill that is red says nothing: it may have
// restored less. It is false if there is none.
//
// The time is fixed + rate·bytes. What the start of a server took is fixed, the median. Of the rest both are those by which the drills, each with its noise, and what was
// expected are most likely; neither is below zero.
func Predict(all []Drill, bytes int64) (Prediction, bool) {
	var of []Drill
	for _, d := range slices.Backward(all) {
		if !d.Red() && d.Depth != "" && d.Recovery() > 0 && len(of) < recent {
			of = append(of, d)
		}
	}
	if len(of) == 0 {
		return Prediction{}, false
	}
	var starts []float64
	for _, d := range of {
		starts = append(starts, d.fixed().Seconds())
	}
	fixed, rate := fit(of)
	seconds := median(starts) + fixed + rate*float64(max(bytes, 0))
	return Prediction{Took: time.Duration(math.Min(seconds*float64(time.Second), math.MaxInt64/2)), Bytes: bytes, Of: len(of)}, true
}

// fit is what the steps that grow take at least, and for each byte.
func fit(of []Drill) (fixed, rate float64) {
	var times []float64
	for _, d := range of {
		times = append(times, math.Max(d.byBytes().Seconds(), 1e-3))
	}
	usual := median(times)
	// Least squares of fixed + rate·bytes − time, relative to the time, and of fixed − what is expected.
	w := 1 / (spread * usual * spread * usual)
	s, sy := w, w*expected*usual
	var sx, sxx, sxy float64
	for i, d := range of {
		x, w := float64(max(d.Bytes, 0)), 1/(noise*times[i]*noise*times[i])
		s, sx, sxx, sy, sxy = s+w, sx+w*x, sxx+w*x*x, sy+w*times[i], sxy+w*x*times[i]
	}
	if sxx == 0 { // of nothing no rate can be said
		return usual, 0
	}
	rate = (s*sxy - sx*sy) / (s*sxx - sx*sx)
	fixed = (sy - rate*sx) / s
	switch {
	case rate < 0:
		return usual, 0
	case fixed < 0:
		return 0, sxy / sxx
	}
	return fixed, rate
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	n := len(of)
	if n%2 == 1 {
		return of[n/2]
	}
	return (of[n/2-1] + of[n/2]) / 2
}

// Error is by which part of what the last of these drills took the prediction from those before it was wrong: 0.1 is ten percent too long. It is false if there was no
// prediction, or the drill is red.
func Error(all []Drill) (part float64, predicted Prediction, ok bool) {
	if len(all) == 0 {
		return 0, Prediction{}, false
	}
	last := all[len(all)-1]
	if last.Red() || last.Depth == "" || last.Recovery() <= 0 {
		return 0, Prediction{}, false
	}
	if predicted, ok = Predict(all[:len(all)-1], last.Bytes); !ok {
		return 0, Prediction{}, false
	}
	return (predicted.Took - last.Recovery()).Seconds() / last.Recovery().Seconds(), predicted, true
}
