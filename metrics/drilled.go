package metrics

import (
	"github.com/trustlayer/cofre/status"
)

// drilled says what was drilled of one source, and how long a recovery takes by that.
func drilled(s *status.Status, of status.Source, each func(metric, help string, value float64, labels ...string)) {
	if !known(s, status.AreaJournal) {
		return
	}
	if !of.DrilledWell.IsZero() {
		each("cofre_drill_last_success_timestamp_seconds", "When the newest drill ended that found nothing.", unix(of.DrilledWell))
	}
	if d := of.Drill; d != nil {
		each("cofre_drill_last_timestamp_seconds", "When the newest drill ended.", unix(d.At))
		each("cofre_drill_last_red", "1 if the newest drill found something.", is(d.Red))
		each("cofre_drill_last_findings", "What the newest drill found.", float64(d.Findings))
		each("cofre_drill_duration_seconds", "How long the newest drill took.", d.Took.Seconds())
		for _, step := range d.Steps {
			each("cofre_drill_step_seconds", "How long each step of the newest drill took.", step.Took.Seconds(), "step", string(step.Step))
		}
		if !d.Red {
			each("cofre_rto_measured_seconds", "How long a recovery takes by the newest drill, if it found nothing: its steps without the questions.", d.Recovery.Seconds())
		}
	}
	if known(s, status.AreaPoints) {
		each("cofre_drill_red", "1 if a drill was red, and no later one of its point or of a newer one found nothing.", is(of.DrillRed != nil && !of.DrillRed.Older))
	}
	if of.DrillInterval > 0 {
		each("cofre_drill_expected_interval_seconds", "From one moment at which a drill is due to the next.", of.DrillInterval.Seconds())
		each("cofre_drill_overdue_seconds", "Since when a drill is due and has not come; 0 if none is.", of.DrillOverdue.Seconds())
	}
	if r := of.Recovery; r != nil {
		each("cofre_rto_seconds", "How long it would take to bring the newest whole backup back, by what its drills took.", r.Predicted.Seconds())
		if r.Error != nil {
			each("cofre_rto_error_ratio", "By which part of what the newest drill took it was predicted wrong: 0.1 is ten percent too long.", *r.Error)
		}
	}
}
