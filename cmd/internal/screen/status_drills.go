package screen

import (
	"math"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/status"
)

// drills are lines for what was drilled, and for how long a recovery takes by that.
func (s *Screen) drills(st *status.Status) (rows [][]string) {
	label := cofre.Say("status.drills_label", "drills")
	for _, of := range st.Sources {
		if of.Drill != nil {
			rows = append(rows, s.about(label, lastDrill(of)))
			label = cofre.Message{}
		}
	}
	if len(rows) == 0 && len(st.Sources) > 0 {
		rows = append(rows, s.about(label, cofre.Say("status.no_drills", "none: nobody has restored anything: cofre drill")))
	}
	label = cofre.Say("status.recovery_label", "recovery")
	for _, of := range st.Sources {
		if of.Recovery != nil {
			rows = append(rows, s.about(label, recoveryTime(of)))
			label = cofre.Message{}
		}
	}
	return rows
}

// lastDrill says of the newest drill of a source when it was, of which point, what it found, how deep it looked, and how long it took.
func lastDrill(of status.Source) cofre.Message {
	d := of.Drill
	found := cofre.Say("status.drill_well", "without findings")
	if d.Red {
		found = cofre.SayN("status.drill_found", d.Findings, "RED, 1 finding", "RED, {{.n}} findings")
	}
	if d.Depth == "" { // nothing was restored
		return cofre.Say("status.drill_nothing", "{{.source}} at {{.at}}, {{.point}}, {{.found}}", "source", of.ID.Label(), "at", d.At, "point", d.Point, "found", found)
	}
	return cofre.Say("status.last_drill", "{{.source}} at {{.at}}, {{.point}}, {{.found}}, in {{.time}}; compared: {{.depth}}",
		"source", of.ID.Label(), "at", d.At, "point", d.Point, "found", found, "time", words.Took(d.Took), "depth", depthWord(of.ID.Kind, d.Depth))
}

// recoveryTime says how long it takes to bring a source back.
func recoveryTime(of status.Source) cofre.Message {
	r := of.Recovery
	m := cofre.SayN("status.recovery", r.Drills, "{{.source}} in about {{.time}}, by 1 drill", "{{.source}} in about {{.time}}, by {{.n}} drills", "source", of.ID.Label(), "time", words.Took(r.Predicted))
	if r.Error == nil {
		return m
	}
	return cofre.Say("status.recovery_error", "{{.recovery}}; {{.error}}", "recovery", m, "error", predictionError(*r.Error, of.Drill.Recovery))
}

// predictionError says by which part of what a drill took it was predicted wrong. Of what takes no time a part says nothing.
func predictionError(part float64, took time.Duration) cofre.Message {
	n := int(math.Round(math.Abs(part) * 100))
	switch {
	case math.Abs(part)*took.Seconds() < 1:
		return cofre.Say("status.predicted_well", "the last one took what was predicted, within a second")
	case part < 0:
		return cofre.Say("status.predicted_short", "the last one was predicted {{.n}} % too short", "n", n)
	}
	return cofre.Say("status.predicted_long", "the last one was predicted {{.n}} % too long", "n", n)
}
