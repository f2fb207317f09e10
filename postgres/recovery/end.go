package recovery

import "github.com/trustlayer/cofre"

// endsInWhole reports whether the records of c end within a segment that is archived whole. A server hands over a segment when it is
// full, or ended by a record that says so: what ends before that was damaged, or put there by somebody, and is not the end of the WAL.
// The beginning of a segment that is being streamed ends wherever it does.
func (p *planner) endsInWhole(c candidate, last Found) bool {
	if last.End == 0 || last.End >= c.way.end {
		return false
	}
	for _, s := range c.way.segments {
		if s.Start(p.wal.SegmentSize) <= last.End && last.End < s.End(p.wal.SegmentSize) && !p.wal.Segments[s] {
			return false
		}
	}
	return true
}

// begun refuses the end of a timeline of which nothing is there but its history, if nobody asked for it and the timeline that it left goes
// on: a history alone does not say that anybody wrote on it. last is the last record on the way.
//
// Errors: *cofre.UnreachableError with both ends.
func (p *planner) begun(c candidate, last cofre.LSN) error {
	n := len(c.history.Forks)
	if n == 0 || p.target.Timeline != 0 || last >= c.history.Forks[n-1].At {
		return nil
	}
	left := c.history.Forks[n-1]
	parent, ok := p.wal.History(left.Parent)
	if !ok {
		return nil
	}
	goesOn := p.lastBefore(candidate{c.backup, parent, p.wal.along(parent, c.backup.Start)})
	if goesOn < left.At {
		return nil
	}
	e := &cofre.UnreachableError{Target: p.target.Message(), Why: cofre.Say("recovery.only_a_history",
		"of timeline {{.timeline}} nothing is archived but its history, which leaves timeline {{.parent}} at {{.at}}; timeline {{.parent}} goes on to {{.end}}",
		"timeline", c.history.Timeline, "parent", left.Parent, "at", left.At, "end", goesOn)}
	if p.trial {
		return e
	}
	for _, tli := range []cofre.Timeline{left.Parent, c.history.Timeline} {
		other := *p
		other.trial, other.inside, other.older, other.target.Timeline = true, nil, false, tli
		if _, err := other.plan(); err == nil {
			e.Nearest = append(e.Nearest, cofre.Say("recovery.end_of_timeline", "the end of timeline {{.timeline}}: --timeline {{.timeline}}", "timeline", tli))
		}
	}
	return e
}
