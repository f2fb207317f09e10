package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/internal/words"
)

// ShowRuns shows runs, one a line; err is why these may not be all of them, and is returned.
func (s *Screen) ShowRuns(all []runs.Run, err error) error {
	doc := struct {
		Runs  []runs.Run          `json:"runs"`
		Error *edge.ErrorDocument `json:"error,omitempty"`
	}{all, edge.DocumentOf(err)}
	return s.answer(doc, err, func() {
		if len(all) > 0 || err == nil {
			s.showRuns(all)
		}
	})
}

func (s *Screen) showRuns(all []runs.Run) {
	if len(all) == 0 {
		if !s.Quiet {
			s.Line(s.Out, cofre.Say("runs.none", "no such run"))
		}
		return
	}
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{short(r.ID), s.minute(r.BeganAt), doing(r), s.lasted(r), s.Text(result(r))})
	}
	Columns(s.Out, []string{
		s.Text(cofre.Say("heading.run", "RUN")), s.Text(cofre.Say("heading.began", "BEGAN")), s.Text(cofre.Say("heading.kind", "KIND")),
		s.Text(cofre.Say("heading.took", "TOOK")), s.Text(cofre.Say("heading.result", "RESULT")),
	}, rows, 3)
}

// short is the end of a run's id, by which it is found, too: its beginning says when it began.
func short(id cofre.RunID) string { return string(id[strings.LastIndexByte(string(id), '-')+1:]) }

// doing is what a run does, as a person types it.
func doing(r runs.Run) string {
	kind := strings.ReplaceAll(string(r.Kind), "_", " ")
	return strings.TrimSpace(kind + " " + r.What)
}

func (s *Screen) lasted(r runs.Run) string {
	if r.EndedAt.IsZero() || r.EndedAt.Before(r.BeganAt) {
		return "-"
	}
	return s.Took(r.EndedAt.Sub(r.BeganAt).Round(time.Second))
}

// tookOf is how long a run took, exactly if it has a log.
func (s *Screen) tookOf(d *journaling.Detail) string {
	if d.Steps != nil {
		return s.Took(d.Steps.Took)
	}
	return s.lasted(d.Run)
}

func result(r runs.Run) cofre.Message {
	switch r.State {
	case runs.StateDone:
		return cofre.Say("runs.done", "done")
	case runs.StateRunning:
		return cofre.Say("runs.running", "running")
	case runs.StateKilled:
		return cofre.Say("runs.killed", "killed")
	}
	if r.Code == cofre.CodeDeclined {
		return cofre.Say("runs.declined", "not confirmed")
	}
	return cofre.Say("runs.failed", "failed: {{.code}}", "code", r.Code)
}

// ShowRun shows all that is known of a run, and returns why something of it could not be read.
//
// Errors: why something could not be read; with --json, those of edge.App.Document.
func (s *Screen) ShowRun(d *journaling.Detail) error {
	return s.answer(d, d.Unread, func() { s.showRun(d) })
}

func (s *Screen) showRun(d *journaling.Detail) {
	s.Line(s.Out, cofre.Say("runs.title", "run {{.run}}", "run", d.ID))
	rows := [][]string{
		s.labelled(cofre.Say("label.kind", "kind"), doing(d.Run)),
		s.labelled(cofre.Say("label.by", "by"), actor(d.By)),
		s.labelled(cofre.Say("label.began", "began"), s.Clocks(d.BeganAt)),
	}
	if !d.EndedAt.IsZero() {
		rows = append(rows, s.labelled(cofre.Say("label.ended", "ended"), s.Text(cofre.Say("runs.ended", "{{.at}}, after {{.time}}", "at", s.Clock(d.EndedAt), "time", s.tookOf(d)))))
	}
	rows = append(rows, s.labelled(cofre.Say("label.result", "result"), s.Text(result(d.Run))))
	if w := d.Why; w != nil && w.Message != "" {
		rows = append(rows, s.labelled(cofre.Say("label.error", "error"), s.Beside(w.Message, w.Messages)))
		if w.Hint != "" {
			rows = append(rows, s.labelled(edge.HintWord(), s.Beside(w.Hint, w.Messages)))
		}
	}
	for _, p := range d.Points {
		rows = append(rows, s.labelled(cofre.Say("label.point", "point"), string(p)))
	}
	if len(d.Entries) > 0 {
		rows = append(rows, s.labelled(cofre.Say("label.entries", "journal"), strings.Trim(fmt.Sprint(d.Entries), "[]")))
	}
	Columns(s.Out, nil, rows)
	switch {
	case d.Steps != nil:
		s.showLog(d.Steps)
	case d.Unread == nil && d.State != runs.StateRunning:
		s.Say(noLog(d))
	}
}

// noLog says why there are no steps to show.
func noLog(d *journaling.Detail) cofre.Message {
	if d.EndedAt.IsZero() {
		return cofre.Say("runs.no_log", "it has no log: it was killed, or ran before there were logs")
	}
	return cofre.Say("runs.entries_alone", "it has no log of steps; what it did is in the journal: cofre journal")
}

func actor(by cofre.Actor) string {
	text := by.User + "@" + by.Host
	if by.Version != "" {
		text += ", cofre " + by.Version
	}
	return text
}

func (s *Screen) showLog(l *runs.Log) {
	if len(l.Steps) > 0 {
		fmt.Fprintln(s.Out)
		var rows [][]string
		for _, step := range l.Steps {
			rows = append(rows, s.step(step))
		}
		Columns(s.Out, []string{
			s.Text(cofre.Say("heading.step", "STEP")), s.Text(cofre.Say("heading.source", "SOURCE")), s.Text(cofre.Say("heading.took", "TOOK")), s.Text(cofre.Say("heading.done", "DONE")),
			s.Text(cofre.Say("heading.speed", "SPEED")), s.Text(cofre.Say("heading.result", "RESULT")),
		}, rows, 2, 3, 4)
	}
	if len(l.Components) > 0 {
		fmt.Fprintln(s.Out)
		var rows [][]string
		for _, c := range l.Components {
			rows = append(rows, []string{cofre.SourceID{Kind: c.Kind, Name: c.Name}.Label(), s.Size(c.Bytes), s.Size(c.Stored), s.Took(c.Took)})
		}
		Columns(s.Out, []string{
			s.Text(cofre.Say("heading.captured", "CAPTURED")), s.Text(cofre.Say("heading.size", "SIZE")), s.Text(cofre.Say("heading.new", "NEW")), s.Text(cofre.Say("heading.took", "TOOK")),
		}, rows, 1, 2, 3)
	}
	if len(l.Warnings)+len(l.Findings)+len(l.Notes)+len(l.Hooks) > 0 {
		fmt.Fprintln(s.Out)
	}
	for _, w := range l.Warnings {
		edge.Say(s.Out, s.Word(warning()), s.Text(w))
	}
	for _, f := range l.Findings {
		edge.Say(s.Out, s.Word(finding()), f.Object+": "+s.Beside(f.What, f.Messages))
	}
	for _, n := range l.Notes {
		edge.Say(s.Out, "", s.Text(n))
	}
	for _, h := range l.Hooks {
		s.Line(s.Out, cofre.Say("runs.hook", "hook {{.hook}}: {{.code}}, after {{.time}}", "hook", fmt.Sprintf("%s[%d]", h.When, h.N), "code", h.Code, "time", words.Took(h.Took)))
		for line := range strings.Lines(h.Said) {
			s.Line(s.Out, cofre.Verbatim("  "+strings.TrimRight(line, "\r\n")))
		}
	}
	if l.LeftOut > 0 {
		s.Line(s.Out, cofre.SayN("runs.left_out", l.LeftOut, "1 further line did not fit into the log", "{{.n}} further lines did not fit into the log"))
	}
}

func (s *Screen) step(of runs.Step) []string {
	done, speed := s.Count(of.Done), ""
	if of.Unit == cofre.UnitBytes {
		done = s.Size(of.Done)
	}
	if n := of.Speed(); n > 0 {
		speed = s.Size(n) + "/s"
	}
	end := s.Text(cofre.Say("runs.done", "done"))
	if !of.Ended {
		end = s.Text(cofre.Say("runs.cut_off", "cut off"))
	}
	if of.Error != "" {
		end = of.Error
	}
	return []string{s.Text(of.Task), of.Source.Label(), s.Took(of.Took), done, speed, end}
}
