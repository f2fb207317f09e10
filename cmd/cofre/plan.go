package main

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// printPlan prints what a command is about to do, on stdout because the plan is the answer, and why it is refused, if it is.
func (a *app) printPlan(p *cofre.Plan, refused error) error {
	if a.JSON {
		return a.Document(struct {
			Plan  *cofre.Plan         `json:"plan"`
			Error *edge.ErrorDocument `json:"error,omitempty"`
		}{p, edge.DocumentOf(refused)})
	}
	a.writePlan(p, true)
	return nil
}

// writePlan writes a plan for a person: to Out where it was asked for, to Err where a question follows.
func (a *app) writePlan(p *cofre.Plan, answer bool) {
	w := a.Err
	if answer {
		w = a.Out
	}
	fmt.Fprintln(w, a.Beside(p.Title, p.Messages))
	if p.Point != "" {
		fmt.Fprintln(w, "  "+a.Text(cofre.Say("plan.point", "from recovery point {{.point}}", "point", p.Point)))
	}
	var rows [][]string
	for i, s := range p.Steps {
		rows = append(rows, []string{fmt.Sprintf("  %d.", i+1), a.Beside(s.Verb, s.Messages), a.Beside(s.Object, s.Messages), a.Beside(s.Detail, s.Messages)})
	}
	if len(rows) > 0 {
		columns(w, nil, rows)
	}
	if p.Bytes > 0 {
		fmt.Fprintln(w, "  "+a.Text(cofre.Say("plan.bytes", "about {{.size}}", "size", size(p.Bytes))))
	}
	for _, n := range p.Notes {
		edge.Say(w, a.word(note()), a.Beside(n, p.Messages))
	}
	for _, problem := range p.Problems {
		edge.Say(w, a.word(cofre.Say("word.problem", "problem")), a.Beside(problem.What, problem.Messages))
		if problem.Hint != "" {
			edge.Say(w, "  "+a.word(edge.HintWord()), a.Beside(problem.Hint, problem.Messages))
		}
	}
}

// The words before a sentence that say what it is.
func note() cofre.Message    { return cofre.Say("word.note", "note") }
func warning() cofre.Message { return edge.WarningWord() }
func finding() cofre.Message { return cofre.Say("word.finding", "finding") }

func nextWord() cofre.Message { return cofre.Say("word.next", "next") }

// next says what to do next.
func (a *app) next(m cofre.Message) { edge.Say(a.Out, a.word(nextWord()), a.Text(m)) }

// word is one of them, as it stands before the sentence.
func (a *app) word(m cofre.Message) string { return a.Text(m) + ": " }
