package screen

import (
	"context"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/restore"
)

// restoreDocument is the JSON document of a restore.
type restoreDocument struct {
	Point cofre.PointID `json:"point"`
	*restore.Result
	Seconds   float64             `json:"took_seconds,omitempty"`
	Recovered *recovering.Result  `json:"recovered,omitempty"`
	Warnings  []string            `json:"warnings,omitempty"`
	Error     *edge.ErrorDocument `json:"error,omitempty"`
}

// ShowRestored shows what was restored and proven, what differs, what is kept of what gave way, and what to do next: also if what
// followed has failed, for it says what was replaced, and where that is now. err is how the restore ended, and is returned.
func (s *Screen) ShowRestored(ctx context.Context, r *installation.Restored, err error) error {
	if s.JSON && r.Plan == nil {
		return err // its document is that of the error
	}
	doc := restoreDocument{r.Point, r.Result, r.Took.Seconds(), r.Recovered, r.Warnings, edge.DocumentOf(edge.Interrupted(ctx, err))}
	return s.answer(doc, err, func() {
		if r.Outcome != nil {
			s.showRestored(r.Result, r.Recovered, s.Text(cofre.HintOf(err)))
		}
	})
}

// showRestored leaves out of what is to be done next what the hint of the error says after it.
func (s *Screen) showRestored(res *restore.Result, recovered *recovering.Result, hint string) {
	accepted := res.Proof.Accepted()
	if o := res.Outcome; s.Quiet && len(accepted)+len(o.Left)+len(o.Kept) == 0 && (recovered == nil || recovered.Paused == nil && len(recovered.Unusable) == 0) {
		return
	}
	s.Line(s.Out, cofre.Say("restored.done", "restored {{.what}} in {{.time}}", "what", whatWasDone(res.Outcome), "time", words.Took(res.Took)))
	switch compared := cofre.SayN("restored.comparisons", len(res.Proof.Checks), "1 comparison", "{{.n}} comparisons"); {
	case len(accepted) > 0:
		s.Line(s.Out, cofre.Say("restored.accepted", "compared with what was captured: {{.compared}}, {{.accepted}} of them different and accepted", "compared", compared, "accepted", len(accepted)))
	case res.Proof.Counted:
		s.Line(s.Out, cofre.Say("restored.counted", "row counts equal, rows not compared: {{.compared}}", "compared", compared))
	case len(res.Outcome.Left) > 0:
		s.Line(s.Out, cofre.Say("restored.equal_apart", "proven equal to what was captured, apart from what is named below: {{.compared}}", "compared", compared))
	case res.Proof.Part:
		s.Line(s.Out, cofre.Say("restored.equal_part", "equal in what was compared: {{.compared}}", "compared", compared))
	case res.Proof.Of != "":
		s.Line(s.Out, cofre.Say("restored.equal_of", "proven equal to what was captured of {{.part}}: {{.compared}}", "part", res.Proof.Messages.Of(res.Proof.Of), "compared", compared))
	default:
		s.Line(s.Out, cofre.Say("restored.equal", "proven equal to what was captured: {{.compared}}", "compared", compared))
	}
	if res.Proof.Unkeyed {
		s.Line(s.Out, withoutKey())
	}
	for _, n := range res.Proof.NotCompared {
		edge.Say(s.Out, s.Word(cofre.Say("word.not_compared", "not compared")), s.Beside(n, res.Proof.Messages))
	}
	for _, c := range accepted {
		s.Line(s.Out, cofre.Say("restored.differs", "differs: {{.what}} ({{.accepted}}): captured {{.want}}, restored {{.got}}",
			"what", c.Messages.Of(c.What), "accepted", c.Messages.Of(c.Accepted), "want", shortOf(c, c.Want), "got", shortOf(c, c.Got)))
	}
	if recovered != nil {
		s.showRecovered(recovered)
	}
	for _, l := range res.Outcome.Left {
		s.Line(s.Out, cofre.Say("restored.left", "not as captured: {{.what}}: {{.got}}", "what", l.Messages.Of(l.What), "got", l.Messages.Of(l.Got)))
	}
	for _, k := range res.Outcome.Kept {
		edge.Say(s.Out, s.Word(cofre.Say("word.kept", "kept")), s.Text(k.Said))
	}
	for _, n := range res.Outcome.Next {
		if s.Text(n.Said) != hint {
			s.Next(n.Said)
		}
	}
}

func withoutKey() cofre.Message {
	return cofre.Say("restored.without_key", "compared by sums without a key, as the point was made by a version that had none: whoever chooses rows can make others with the same sum")
}

func whatWasDone(o *cofre.Outcome) cofre.Message {
	if o.Done.IsZero() {
		return cofre.Verbatim(o.Restored)
	}
	return o.Done
}

// shortOf is one side of a comparison: its message, or as much of a value as a line has room for.
func shortOf(c cofre.Checked, side string) cofre.Message {
	if m := c.Messages.Of(side); m.Code != "" {
		return m
	}
	return cofre.Verbatim(restore.Short(side))
}

// showRecovered says where a recovery has stopped.
func (s *Screen) showRecovered(r *recovering.Result) {
	s.Line(s.Out, cofre.Say("recovered.to", "recovered to LSN {{.lsn}} on timeline {{.timeline}} in {{.time}}", "lsn", r.LSN, "timeline", r.Timeline, "time", words.Took(r.Took)))
	if !r.CommitAt.IsZero() {
		s.Line(s.Out, cofre.Say("recovered.last", "the last transaction in it: {{.at}}{{.local}}", "at", r.CommitAt.UTC().Format(time.RFC3339Nano), "local", s.Echo(r.CommitAt)))
	}
	if r.Stopped != "" {
		edge.Say(s.Out, "", s.Text(cofre.Say("recovered.server_says", "the server says: {{.words}}", "words", r.Stopped)))
	}
	for _, setting := range r.Raised {
		s.Line(s.Out, cofre.Say("recovered.raised", "raised, as the WAL demands: {{.setting}}", "setting", setting))
	}
	for _, u := range r.Unusable {
		edge.Say(s.Out, "", s.Text(cofre.Say("recovered.as_then", "as in the original at that moment: {{.what}}", "what", u)))
	}
	switch {
	case r.Paused != nil:
		s.Line(s.Out, cofre.Say("recovered.paused", "paused at the target, running read-only as process {{.pid}}, log in {{.log}}", "pid", r.Paused.PID, "log", r.Paused.Log))
	case r.Promoted:
		s.Line(s.Out, cofre.Say("recovered.promoted", "promoted, and shut down"))
	default:
		s.Line(s.Out, cofre.Say("recovered.not_promoted", "not promoted, and shut down"))
	}
}
