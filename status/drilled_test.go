package status_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/status"
)

// drilled takes a drill of the database into a history: so long ago, of a point.
func drilled(h *status.History, ago time.Duration, of cofre.PointID, facts journal.DrilledFacts) {
	at := now.Add(-ago)
	facts.Kind, facts.Root, facts.BeganAt = cofre.KindDatabase, cofre.ObjectID(of), at.Add(-time.Minute)
	text, _ := json.Marshal(facts)
	h.Take(journal.Numbered{Entry: journal.New(journal.Body{Event: journal.EventDrilled, Installation: "tl", Run: cofre.RunID("run-" + of), Point: of, At: at, Facts: text})})
}

var (
	green   = journal.DrilledFacts{Depth: cofre.DrilledEverything, Compared: 40, Bytes: 9 << 30, Steps: map[cofre.DrillStage]int64{"server": 1000, "restore": 40_000, "compare": 19_000, "ask": 5000}}
	differs = journal.DrilledFacts{Depth: cofre.DrilledEverything, Compared: 40, Differ: 1, Findings: 1}
	wrong   = journal.DrilledFacts{Depth: cofre.DrilledEverything, Compared: 40, Asked: 2, Wrong: 1, Findings: 1}
	lost    = journal.DrilledFacts{Findings: 3}
)

// Each case is some drills, and what a status says of them: what the newest was, and what is found.
func TestDrills(t *testing.T) {
	type drill struct {
		ago   time.Duration
		of    cofre.PointID
		facts journal.DrilledFacts
	}
	for name, c := range map[string]struct {
		drills []drill
		code   string // of the finding; "" for none
		level  cofre.Level
	}{
		"none":                             {nil, "", cofre.LevelStructure},
		"green":                            {[]drill{{time.Hour, "b", green}}, "", cofre.LevelDrill},
		"green, of an older point":         {[]drill{{time.Hour, "a", green}}, "", cofre.LevelStructure},
		"red":                              {[]drill{{time.Hour, "b", differs}}, "status.drill_red", cofre.LevelStructure},
		"red, by a question":               {[]drill{{time.Hour, "b", wrong}}, "status.drill_red", cofre.LevelStructure},
		"red, nothing came back":           {[]drill{{time.Hour, "b", lost}}, "status.drill_red", cofre.LevelStructure},
		"red after it was green":           {[]drill{{2 * time.Hour, "b", green}, {time.Hour, "b", differs}}, "status.drill_red", cofre.LevelStructure},
		"green after it was red":           {[]drill{{2 * time.Hour, "b", differs}, {time.Hour, "b", green}}, "", cofre.LevelDrill},
		"red, and an older point is green": {[]drill{{2 * time.Hour, "b", differs}, {time.Hour, "a", green}}, "status.drill_red", cofre.LevelStructure},
		"an older point is red, a newer one green": {[]drill{{2 * time.Hour, "a", differs}, {time.Hour, "b", green}}, "status.drill_red_older", cofre.LevelDrill},
		"an older one that is gone":                {[]drill{{2 * time.Hour, "0", differs}, {time.Hour, "b", green}}, "", cofre.LevelDrill},
		"a question to an older one":               {[]drill{{2 * time.Hour, "a", wrong}, {time.Hour, "b", green}}, "", cofre.LevelDrill},
		"a newer one green, then an older one red": {[]drill{{2 * time.Hour, "b", green}, {time.Hour, "a", differs}}, "status.drill_red", cofre.LevelDrill},
		"red, of a point that has expired":         {[]drill{{time.Hour, "0", differs}}, "status.drill_red", cofre.LevelStructure},
		"both red, the newer one mended":           {[]drill{{3 * time.Hour, "a", lost}, {2 * time.Hour, "b", wrong}, {time.Hour, "b", green}}, "status.drill_red_older", cofre.LevelDrill},
	} {
		in := well()
		in.History = &status.History{Installation: "tl"}
		for _, d := range c.drills {
			drilled(in.History, d.ago, d.of, d.facts)
		}
		s := status.Of(in)
		of := s.Sources[0]
		found := ""
		for _, f := range s.Findings {
			if found = string(f.Messages[0].Code); f.Condition != status.ConditionDrill || f.Source != database {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if found != c.code || len(s.Findings) > 1 || of.Level != c.level || (of.LevelDepth != "") != (c.level == cofre.LevelDrill) {
			t.Errorf("%s: found %q, level %s %s: %+v", name, found, of.Level, of.LevelDepth, s.Findings)
		}
		if n := len(c.drills); n > 0 {
			last := c.drills[n-1]
			if d := of.Drill; d == nil || d.Point != last.of || !d.At.Equal(now.Add(-last.ago)) || d.Took != time.Minute || d.Red != (last.facts.Findings > 0) {
				t.Errorf("%s: %+v", name, of.Drill)
			}
		}
		if (of.DrillRed != nil) != (c.code != "") {
			t.Errorf("%s: red %+v", name, of.DrillRed)
		}
	}
}

// Whose drill it was is known by the component: the journal does not name it.
func TestADrillOfAnotherSourceIsNotOfThis(t *testing.T) {
	in := well()
	other := database
	other.Name = "other"
	in.Points = append(in.Points, point("c", time.Hour, other))
	in.History = &status.History{Installation: "tl"}
	drilled(in.History, time.Minute, "c", differs)
	if s := status.Of(in); len(s.Findings) > 0 || s.Sources[0].Drill != nil {
		t.Errorf("%+v", s.Findings)
	}
}

// A drill is late by the schedule of drills, whatever the one before it found; without a schedule nobody expects one.
func TestADrillIsLate(t *testing.T) {
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		first time.Duration // how old the first backup is
		ago   time.Duration // how old the last drill is; 0 is none
		facts journal.DrilledFacts
		code  string
		since time.Time
	}{
		"in time":            {99 * time.Hour, 9 * time.Hour, green, "", time.Time{}},
		"late":               {99 * time.Hour, 40 * time.Hour, green, "status.drill_overdue", daily(at(40 * time.Hour))},
		"never":              {99 * time.Hour, 0, green, "status.never_drilled", daily(at(99 * time.Hour))},
		"not yet":            {9 * time.Hour, 0, green, "", time.Time{}},
		"late, and was red":  {99 * time.Hour, 40 * time.Hour, differs, "status.drill_overdue", daily(at(40 * time.Hour))},
		"in time, it is red": {99 * time.Hour, 9 * time.Hour, differs, "", time.Time{}},
	} {
		in := well()
		in.Points = []cofre.RecoveryPoint{point("a", c.first, database), point("b", min(c.first, 8*time.Hour), database)}
		in.Sources[0].NextDrill = daily
		in.History = &status.History{Installation: "tl"}
		if c.ago > 0 {
			drilled(in.History, c.ago, "b", c.facts)
		}
		s := status.Of(in)
		found := slices.ContainsFunc(s.Findings, func(f status.Finding) bool {
			return string(f.Messages[0].Code) == c.code && f.Verdict == status.Attention && f.Next == "cofre drill database"
		})
		of := s.Sources[0]
		if found != (c.code != "") || !of.DrillNext.Equal(daily(now)) || of.DrillInterval != 24*time.Hour || (c.code != "") != (of.DrillOverdue > 0) {
			t.Errorf("%s: %+v, %+v", name, s.Findings, of)
		}
		if c.code != "" && of.DrillOverdue != now.Sub(c.since) {
			t.Errorf("%s: late by %s", name, of.DrillOverdue)
		}
		in.Sources[0].NextDrill = nil
		if of := status.Of(in).Sources[0]; of.DrillOverdue != 0 || !of.DrillNext.IsZero() {
			t.Errorf("%s: without a schedule: %+v", name, of)
		}
	}
}

// What cannot be read says nothing: neither that nothing was drilled, nor that all is well.
func TestADrillIsNotLateIfTheJournalCannotBeRead(t *testing.T) {
	in := well()
	in.Sources[0].NextDrill = daily
	in.Unknown = unread(status.AreaJournal, cofre.ErrUnreachable)
	if s := status.Of(in); len(s.Findings) != 1 || s.Sources[0].DrillOverdue != 0 {
		t.Errorf("%+v", s.Findings)
	}
}

func TestHowLongARecoveryTakes(t *testing.T) {
	in := well()
	in.History, in.RTO = &status.History{Installation: "tl"}, 2*time.Minute
	if of := status.Of(in).Sources[0]; of.Recovery != nil {
		t.Errorf("%+v", of.Recovery)
	}
	drilled(in.History, 30*time.Hour, "a", green)
	half := green
	half.Bytes, half.Steps = half.Bytes/2, map[cofre.DrillStage]int64{"server": 1000, "restore": 20_000, "compare": 9500, "ask": 90_000}
	drilled(in.History, time.Hour, "b", half)
	s := status.Of(in)
	r := s.Sources[0].Recovery
	if r == nil || r.Predicted < 55*time.Second || r.Predicted > 65*time.Second || r.Drills != 2 || !r.Met || r.Error == nil || math.Abs(*r.Error) > 0.1 || len(s.Findings) > 0 {
		t.Errorf("%+v, %+v", r, s.Findings)
	}
	in.RTO = 50 * time.Second
	if s := status.Of(in); s.Sources[0].Recovery.Met || len(s.Findings) != 1 || s.Findings[0].Condition != status.ConditionRTO || s.Findings[0].Verdict != status.Attention {
		t.Errorf("%+v", s.Findings)
	}
}
