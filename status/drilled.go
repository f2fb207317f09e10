package status

import (
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/drills"
)

// Drilled is a drill of a source.
type Drilled struct {
	At    time.Time     `json:"at"` // when it ended
	Run   cofre.RunID   `json:"run"`
	Point cofre.PointID `json:"point"`
	Drawn bool          `json:"drawn,omitempty"` // nobody chose the point
	Red   bool          `json:"red"`
	// Older says of one that is red that a drill of a newer point has found nothing since.
	Older    bool             `json:"older,omitempty"`
	Findings int              `json:"findings"`
	Depth    cofre.DrillDepth `json:"depth,omitempty"` // "" if nothing could be restored
	Bytes    int64            `json:"bytes"`
	Took     time.Duration    `json:"took_ns"`
	// Recovery is how long a recovery takes by it: its steps without the questions that were asked.
	Recovery time.Duration     `json:"recovery_ns"`
	Steps    []cofre.DrillStep `json:"steps"`
}

func drilledOf(d drills.Drill) *Drilled {
	return &Drilled{
		At: d.At, Run: d.Run, Point: d.Point, Drawn: d.Drawn, Red: d.Red(), Findings: max(d.Findings, d.Differ+d.Wrong), Depth: d.Depth, Bytes: d.Bytes, Took: d.Took(),
		Recovery: d.Recovery(), Steps: append([]cofre.DrillStep{}, d.InOrder()...),
	}
}

// Recovery is how long it takes to bring a source back.
type Recovery struct {
	// Predicted is of the newest backup that is whole, which holds Bytes, by so many Drills.
	Predicted time.Duration `json:"predicted_ns"`
	Bytes     int64         `json:"bytes"`
	Drills    int           `json:"drills"`
	Met       bool          `json:"objective_met"` // also without one
	// Error is by which part of what the newest drill took it was predicted wrong, from those before it; nil if it was not predicted.
	Error *float64 `json:"last_error,omitempty"`
}

// drills says what was drilled, what of that is red, and when the next drill is due.
func (j *judged) drills() {
	if j.in.unknown(AreaJournal) {
		return
	}
	all := j.in.drillsOf(j.conf.ID)
	if len(all) > 0 {
		j.out.Drill = drilledOf(all[len(all)-1])
	}
	for i := len(all) - 1; i >= 0; i-- {
		if !all[i].Red() {
			j.out.DrilledWell = all[i].At
			break
		}
	}
	j.red(all)
	j.drillDue(all)
	j.recovery(all)
}

// red finds the drills that are red and that nothing has made good.
func (j *judged) red(all []drills.Drill) {
	now, older := drills.Open(all)
	look := func(d drills.Drill) cofre.Message {
		return cofre.Say("status.drill_look", "see what it found: cofre runs show {{.run}}; when that is mended: cofre drill {{.kind}}", "run", d.Run, "kind", string(d.Kind))
	}
	if n := len(now); n > 0 {
		d := now[n-1]
		j.out.DrillRed = drilledOf(d)
		j.find(AtRisk, ConditionDrill, cofre.SayN("status.drill_red", j.out.DrillRed.Findings,
			"the drill of {{.at}} is red, with 1 finding: what came back of {{.point}} is not what was captured, or does not answer as it should",
			"the drill of {{.at}} is red, with {{.n}} findings: what came back of {{.point}} is not what was captured, or does not answer as it should", "at", d.At, "point", d.Point), look(d))
		return
	}
	for _, d := range older {
		if !j.in.has(d.Point, d.Root) {
			continue // it expired
		}
		j.out.DrillRed = drilledOf(d)
		j.out.DrillRed.Older = true
		j.find(Attention, ConditionDrill, cofre.Say("status.drill_red_older", "the drill of {{.at}} is red: {{.point}} is not what was captured; a drill of a newer point found nothing", "at", d.At, "point", d.Point),
			cofre.Say("status.drill_look_older", "see what it found: cofre runs show {{.run}}; whether it still is so: cofre drill {{.kind}} --point {{.point}}", "run", d.Run, "kind", string(d.Kind), "point", d.Point))
		return
	}
}

// drillDue says when the next drill is due, and since when one is late.
func (j *judged) drillDue(all []drills.Drill) {
	next := j.conf.NextDrill
	if next == nil {
		return
	}
	if j.out.DrillNext = next(j.in.Now); !j.out.DrillNext.IsZero() {
		j.out.DrillInterval = max(next(j.out.DrillNext).Sub(j.out.DrillNext), 0)
	}
	since, took := j.out.first, time.Duration(0)
	if n := len(all); n > 0 {
		since, took = all[n-1].BeganAt, all[n-1].Took()
	}
	if since.IsZero() || since.After(j.in.Now) {
		return // there is nothing to drill
	}
	was := next(since)
	if was.IsZero() || !j.in.Now.After(was.Add(late+took)) {
		return
	}
	j.out.DrillOverdue = j.in.Now.Sub(was)
	drill := cofre.Verbatim("cofre drill " + string(j.conf.ID.Kind))
	if len(all) == 0 {
		j.find(Attention, ConditionDrill, cofre.Say("status.never_drilled", "it was never drilled, and by the schedule a drill was due at {{.due}}", "due", was), drill)
		return
	}
	j.find(Attention, ConditionDrill, cofre.Say("status.drill_overdue", "its last drill is of {{.at}}, and the next one was due at {{.due}}", "at", all[len(all)-1].At, "due", was), drill)
}

// recovery says how long it takes to bring the source back, by what its drills took.
func (j *judged) recovery(all []drills.Drill) {
	if j.out.Success == nil {
		return
	}
	p, ok := drills.Predict(all, j.out.Success.Bytes)
	if !ok {
		return
	}
	j.out.Recovery = &Recovery{Predicted: p.Took, Bytes: p.Bytes, Drills: p.Of, Met: j.in.RTO == 0 || p.Took <= j.in.RTO}
	if wrong, _, ok := drills.Error(all); ok {
		j.out.Recovery.Error = &wrong
	}
	if !j.out.Recovery.Met {
		j.find(Attention, ConditionRTO, cofre.Say("status.rto", "to bring it back would take about {{.time}}, by what its drills took, and {{.objective}} is the objective", "time", Span(p.Took), "objective", Span(j.in.RTO)),
			cofre.Say("status.rto_next", "see what each step of a drill takes: cofre status --json; raise objectives.rto if more time is there"))
	}
}

// drillsOf are the drills of a source, in the order of the journal. The journal does not say the name of what was drilled: that is looked up by the component, and a
// component that is gone is taken for the source's.
func (in *Input) drillsOf(id cofre.SourceID) (of []drills.Drill) {
	for _, d := range in.History.drills {
		if d.Kind != id.Kind {
			continue
		}
		if c, ok := in.component(d.Point, d.Root); ok && c.Name != id.Name {
			continue
		}
		of = append(of, d)
	}
	return of
}

func (in *Input) has(point cofre.PointID, root cofre.ObjectID) bool {
	_, ok := in.component(point, root)
	return ok
}

func (in *Input) component(point cofre.PointID, root cofre.ObjectID) (cofre.Component, bool) {
	i, ok := in.byName[point]
	if !ok {
		return cofre.Component{}, false
	}
	for _, c := range in.Points[i].Components {
		if c.Root == root {
			return c, true
		}
	}
	return cofre.Component{}, false
}
