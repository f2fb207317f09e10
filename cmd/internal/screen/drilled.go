package screen

import (
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation/drilling"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/internal/words"
)

// drillDocument is the JSON document of a drill.
type drillDocument struct {
	*drilling.Result
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

// ShowDrill shows what a drill has found, how deep it looked, and how long each step took. err is how it ended, and is returned.
func (s *Screen) ShowDrill(ctx context.Context, r *drilling.Result, err error) error {
	return s.answer(drillDocument{r, edge.DocumentOf(edge.Interrupted(ctx, err))}, err, func() {
		s.showFindings(r)
		if err == nil || errors.Is(err, cofre.ErrFindings) {
			s.showDrill(r)
		}
	})
}

func (s *Screen) showFindings(r *drilling.Result) {
	var rows [][]string
	for _, f := range r.Findings {
		rows = append(rows, []string{f.Check, f.Object, s.Beside(f.What, f.Messages)})
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.check", "CHECK")), s.Text(cofre.Say("heading.object", "OBJECT")), s.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
	}
}

func (s *Screen) showDrill(r *drilling.Result) {
	if s.Quiet && !r.Red() && r.Kept == nil {
		return
	}
	if r.Recovery != nil {
		s.showRecovery(r)
	}
	if r.Proof != nil && r.Recovery == nil {
		compared := cofre.SayN("restored.comparisons", len(r.Proof.Checks), "1 comparison", "{{.n}} comparisons")
		if n := len(r.Proof.Differing().Checks); n > 0 {
			s.Line(s.Out, cofre.SayN("drill.done_differs", n, "{{.source}} of {{.point}} ({{.taken}}) was restored and differs in 1 of {{.compared}}; compared: {{.depth}}", "{{.source}} of {{.point}} ({{.taken}}) was restored and differs in {{.n}} of {{.compared}}; compared: {{.depth}}",
				"source", r.Source.Label(), "point", r.Point, "taken", s.Clocks(r.TakenAt), "compared", compared, "depth", depthWord(r.Source.Kind, r.Depth)))
		} else {
			s.Line(s.Out, cofre.Say("drill.done_equal", "{{.source}} of {{.point}} ({{.taken}}) was restored and equals what was captured in {{.compared}}; compared: {{.depth}}",
				"source", r.Source.Label(), "point", r.Point, "taken", s.Clocks(r.TakenAt), "compared", compared, "depth", depthWord(r.Source.Kind, r.Depth)))
		}
	}
	if r.Proof != nil {
		for _, n := range r.Proof.NotCompared {
			edge.Say(s.Out, s.Word(cofre.Say("word.not_compared", "not compared")), s.Beside(n, r.Proof.Messages))
		}
	}
	if n := len(r.Answers); n > 0 {
		right := 0
		for _, a := range r.Answers {
			if a.OK {
				right++
			}
		}
		s.Line(s.Out, cofre.SayN("drill.answered", n, "asked: 1 question, {{.right}} answered right", "asked: {{.n}} questions, {{.right}} answered right", "right", right))
	}
	var steps []cofre.Message
	for _, step := range r.Steps {
		steps = append(steps, cofre.Say("drill.step_took", "{{.step}} {{.time}}", "step", stepWord(step.Step), "time", words.Took(step.Took)))
	}
	if len(steps) > 0 {
		s.Line(s.Out, cofre.Say("drill.took", "took {{.time}}: {{.steps}}", "time", words.Took(r.Took()), "steps", cofre.List(steps...)))
	}
	if k := r.Kept; k != nil {
		s.Line(s.Out, cofre.Say("drill.kept", "kept until {{.until}}, in {{.folder}}", "until", s.Clocks(k.Until), "folder", k.Folder))
		if k.URL != "" {
			s.Next(cofre.Say("drill.connect", "psql {{.url}}", "url", shell.Quote(k.URL)))
		}
		s.Next(cofre.Say("drill.clean", "cofre drill clean"))
	}
}

// showRecovery says where a cluster was recovered to, how that was drawn, and what was looked at.
func (s *Screen) showRecovery(r *drilling.Result) {
	at := r.Recovery
	if m := at.Drawn; m != nil {
		by := cofre.Say("drill.drawn_chance", "by chance, as there is no journal")
		if r.Drawn != "" {
			by = cofre.Say("drill.drawn_hash", "by the hash of the newest checkpoint of the journal")
		}
		s.Line(s.Out, cofre.Say("drill.drawn", "drawn: LSN {{.lsn}}, between {{.from}} and {{.to}}, {{.by}}", "lsn", m.LSN, "from", m.From, "to", m.To, "by", by))
	}
	if at.LSN == 0 || r.Proof == nil {
		return
	}
	looked := make([]cofre.Message, 0, len(r.Proof.Checks))
	for _, c := range r.Proof.Checks {
		looked = append(looked, c.Messages.Of(c.What))
	}
	said := cofre.Say("drill.done_recovered", "{{.source}} of {{.point}} was recovered to LSN {{.lsn}} ({{.taken}}), as planned; looked at: {{.looked}}",
		"source", r.Source.Label(), "point", r.Point, "lsn", at.LSN, "taken", s.Clocks(r.TakenAt), "looked", cofre.List(looked...))
	s.Line(s.Out, said)
}

func depthWord(kind cofre.Kind, depth cofre.DrillDepth) cofre.Message {
	switch {
	case depth == cofre.DrilledEverything && kind == cofre.KindConfig:
		return cofre.Say("drill.depth_files", "every file with its attributes")
	case depth == cofre.DrilledEverything && kind == cofre.KindStorage:
		return cofre.Say("drill.depth_objects", "every object with its metadata")
	case depth == cofre.DrilledEverything && kind == cofre.KindCluster:
		return cofre.Say("drill.depth_cluster", "every page, table and index")
	case depth == cofre.DrilledEverything:
		return cofre.Say("drill.depth_everything", "every row and every object")
	case depth == cofre.DrilledCounted:
		return cofre.Say("drill.depth_counted", "how many rows there are, and nothing of them")
	}
	return cofre.Say("drill.depth_part", "a part of it")
}

func stepWord(step cofre.DrillStage) cofre.Message {
	switch step {
	case cofre.DrillServer:
		return cofre.Say("drill.word_server", "server")
	case cofre.DrillRestore:
		return cofre.Say("drill.word_restore", "restore")
	case cofre.DrillCompare:
		return cofre.Say("drill.word_compare", "comparison")
	case cofre.DrillRecover:
		return cofre.Say("drill.word_recover", "recovery")
	case cofre.DrillPages:
		return cofre.Say("drill.word_pages", "pages")
	case cofre.DrillStructure:
		return cofre.Say("drill.word_structure", "tables and indexes")
	}
	return cofre.Say("drill.word_ask", "questions")
}

// ShowDrillsRemoved shows what was left of drills and is removed. err is why something could not be, and is returned.
func (s *Screen) ShowDrillsRemoved(removed []drilling.Record, err error) error {
	doc := struct {
		Removed []drilling.Record   `json:"removed"`
		Error   *edge.ErrorDocument `json:"error,omitempty"`
	}{append([]drilling.Record{}, removed...), edge.DocumentOf(err)}
	return s.answer(doc, err, func() {
		for _, r := range removed {
			s.Line(s.Out, cofre.Say("drill.removed", "removed: {{.folder}}, a drill of {{.kind}} that began {{.began}}", "folder", r.Folder, "kind", r.What, "began", s.Clocks(r.BeganAt)))
		}
		if len(removed) == 0 && err == nil && !s.Quiet {
			s.Say(cofre.Say("drill.nothing_left", "no drill has left anything"))
		}
	})
}
