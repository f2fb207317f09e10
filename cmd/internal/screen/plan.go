package screen

import (
	"context"
	"fmt"
	"io"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/internal/words"
)

// PrintPlan prints what a command is about to do, on stdout because the plan is the answer, and why it is refused, if it is.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) PrintPlan(p *cofre.Plan, refused error) error {
	if s.JSON {
		return s.Document(struct {
			Plan  *cofre.Plan         `json:"plan"`
			Error *edge.ErrorDocument `json:"error,omitempty"`
		}{p, edge.DocumentOf(refused)})
	}
	s.WritePlan(s.Out, p)
	s.saidAlready(p)
	return nil
}

// saidAlready has the error of a refused plan that is on the screen say no more than that it is refused: each problem stands there
// with its hint.
func (s *Screen) saidAlready(p *cofre.Plan) {
	if len(p.Problems) > 0 {
		s.Refused = cofre.Fail(p.Messages.Of(p.Title), cofre.ErrPreflight)
	}
}

// WritePlan writes a plan for a person: to Out if it was asked for, to Err if a question follows.
func (s *Screen) WritePlan(w io.Writer, p *cofre.Plan) {
	edge.Say(w, "", s.Beside(p.Title, p.Messages))
	if p.Point != "" {
		fmt.Fprintln(w, "  "+s.Text(cofre.Say("plan.point", "from recovery point {{.point}}", "point", p.Point)))
	}
	var rows [][]string
	for i, step := range p.Steps {
		rows = append(rows, []string{fmt.Sprintf("  %d.", i+1), s.Beside(step.Verb, step.Messages), s.Beside(step.Object, step.Messages), s.Beside(step.Detail, step.Messages)})
	}
	if len(rows) > 0 {
		Columns(w, nil, rows)
	}
	if p.Bytes > 0 {
		fmt.Fprintln(w, "  "+s.Text(cofre.Say("plan.bytes", "about {{.size}}", "size", words.Size(p.Bytes))))
	}
	for _, n := range p.Notes {
		edge.Say(w, s.Word(note()), s.Beside(n, p.Messages))
	}
	for _, problem := range p.Problems {
		edge.Say(w, s.Word(cofre.Say("word.problem", "problem")), s.Beside(problem.What, problem.Messages))
		if problem.Hint != "" {
			edge.Say(w, "  "+s.Word(edge.HintWord()), s.Beside(problem.Hint, problem.Messages))
		}
	}
}

// The words before a sentence that say what it is.
func note() cofre.Message    { return cofre.Say("word.note", "note") }
func warning() cofre.Message { return edge.WarningWord() }
func finding() cofre.Message { return cofre.Say("word.finding", "finding") }

// NextWord is what stands before the next thing to do.
func NextWord() cofre.Message { return cofre.Say("word.next", "next") }

// Next says what to do next.
func (s *Screen) Next(m cofre.Message) {
	if m.Code == "" {
		edge.SayCommand(s.Out, s.Text(NextWord()), s.Pasted(m.Text))
		return
	}
	edge.Say(s.Out, s.Word(NextWord()), s.Text(m))
}

// Word is one of them, as it stands before the sentence.
func (s *Screen) Word(m cofre.Message) string { return s.Text(m) + ": " }

// Say prints a sentence on lines of its own.
func (s *Screen) Say(m cofre.Message) { edge.Say(s.Out, "", s.Text(m)) }

// ConfirmPlan shows a plan, and asks before something gives way. A plan with problems is shown and not asked about.
//
// Errors: those of Confirm.
func (s *Screen) ConfirmPlan(ctx context.Context, plan *cofre.Plan, replaces cofre.Message, yes bool) error {
	if !s.JSON && !s.Quiet || len(plan.Problems) > 0 {
		s.WritePlan(s.Err, plan)
	}
	if !s.JSON {
		s.saidAlready(plan)
	}
	if len(plan.Problems) > 0 || replaces.IsZero() {
		return nil
	}
	return s.Confirm(ctx, yes, replaces)
}
