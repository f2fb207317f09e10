package journaling

import (
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// drilledFacts are what an entry says of a drill for everybody to read.
func drilledFacts(what string, d *cofre.DrillEnded, findings int, began time.Time) journal.DrilledFacts {
	facts := journal.DrilledFacts{
		What: what, BeganAt: began, Kind: d.Source.Kind, Root: d.Root, Drawn: d.Drawn != "", Depth: d.Depth, PostgreSQL: d.Major, Bytes: d.Bytes,
		Compared: d.Compared, Differ: d.Differ, Asked: d.Asked, Wrong: d.Wrong, Findings: findings, Steps: map[cofre.DrillStage]int64{},
	}
	for _, s := range d.Steps {
		facts.Steps[s.Step] = s.Took.Milliseconds()
	}
	return facts
}

// drilledSealed is what is not for everybody's eyes of it.
func drilledSealed(d *cofre.DrillEnded, findings []cofre.Finding, why Why) any {
	sealed := map[string]any{"source": d.Source}
	if d.Drawn != "" {
		sealed["drawn_by"] = d.Drawn
	}
	if len(findings) > 0 {
		sealed["findings"] = findings[:min(len(findings), maxFindings)]
	}
	if why.Message != "" {
		sealed["error"] = why
	}
	return sealed
}
