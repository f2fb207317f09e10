// Package drills says what drills have established, from what the journal says of them: which of them were red and are not made good, and how long a recovery
// takes. It is pure.
//
// Read Drill, then Open and Predict.
package drills

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Drill is one, as the journal has it.
type Drill struct {
	At      time.Time // when it ended
	BeganAt time.Time
	Run     cofre.RunID
	Point   cofre.PointID
	journal.DrilledFacts
}

// Of reads an entry; false if it is of no drill, or of one that cannot be read.
func Of(b journal.Body) (Drill, bool) {
	if b.Event != journal.EventDrilled {
		return Drill{}, false
	}
	d := Drill{At: b.At, Run: b.Run, Point: b.Point}
	if json.Unmarshal(b.Facts, &d.DrilledFacts) != nil || d.Kind == "" {
		return Drill{}, false
	}
	if d.BeganAt = d.DrilledFacts.BeganAt; d.BeganAt.IsZero() || d.BeganAt.After(d.At) {
		d.BeganAt = d.At
	}
	return d, true
}

// Red reports whether it found something.
func (d Drill) Red() bool { return d.Findings > 0 || d.Differ > 0 || d.Wrong > 0 }

// Stored reports whether a red drill says something of what is stored, and not only that a question had another answer than the right one.
func (d Drill) Stored() bool { return d.Differ > 0 || d.Findings > d.Wrong }

// Took is how long it took.
func (d Drill) Took() time.Duration { return d.At.Sub(d.BeganAt) }

// Recovery is how long a recovery of what it restored takes: its steps without what only looks at it.
func (d Drill) Recovery() time.Duration { return d.fixed() + d.byBytes() }

// fixed is what does not grow with what is restored.
func (d Drill) fixed() time.Duration { return step(d.Steps[cofre.DrillServer]) }

func (d Drill) byBytes() (sum time.Duration) {
	for stage, ms := range d.Steps {
		switch stage {
		case cofre.DrillServer, cofre.DrillPages, cofre.DrillStructure, cofre.DrillAsk:
		default: // what a later version has as well is part of a recovery: it is rather said to be long
			sum += step(ms)
		}
	}
	return sum
}

func step(ms int64) time.Duration { return time.Duration(max(ms, 0)) * time.Millisecond }

// Open are the red drills of one source that nothing has made good, from all of its drills in the order of the journal. now are those that no drill of the same
// point or a newer one has made good: what is red may be of every backup since. older are those of which a newer point is known to be well, and that say that their own
// point is not.
func Open(all []Drill) (now, older []Drill) {
	var red []Drill
	good := map[cofre.PointID]bool{} // of points that are red, whether a newer one is not
	for _, d := range all {
		red = slices.DeleteFunc(red, func(r Drill) bool { return r.Point == d.Point })
		delete(good, d.Point)
		if d.Red() {
			red = append(red, d)
			continue
		}
		for _, r := range red {
			if r.Point < d.Point { // their names sort by time
				good[r.Point] = true
			}
		}
		red = slices.DeleteFunc(red, func(r Drill) bool { return good[r.Point] && !r.Stored() })
	}
	for _, r := range red {
		if good[r.Point] {
			older = append(older, r)
		} else {
			now = append(now, r)
		}
	}
	return now, older
}

// InOrder are its steps, in the order in which they are done.
func (d Drill) InOrder() (all []cofre.DrillStep) {
	for _, stage := range []cofre.DrillStage{cofre.DrillServer, cofre.DrillRestore, cofre.DrillCompare, cofre.DrillRecover, cofre.DrillPages, cofre.DrillStructure, cofre.DrillAsk} {
		if ms, ok := d.Steps[stage]; ok {
			all = append(all, cofre.DrillStep{Step: stage, Took: step(ms)})
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(d.Steps)) { // of a later version
		if !slices.ContainsFunc(all, func(s cofre.DrillStep) bool { return s.Step == stage }) {
			all = append(all, cofre.DrillStep{Step: stage, Took: step(d.Steps[stage])})
		}
	}
	return all
}
