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
	writePlan(a.Stdio, p, true)
	return nil
}

// writePlan writes a plan for a person: to Out where it was asked for, to Err where a question follows.
func writePlan(std edge.Stdio, p *cofre.Plan, answer bool) {
	w := std.Err
	if answer {
		w = std.Out
	}
	fmt.Fprintf(w, "%s\n", p.Title)
	if p.Point != "" {
		fmt.Fprintf(w, "  from recovery point %s\n", p.Point)
	}
	var rows [][]string
	for i, s := range p.Steps {
		rows = append(rows, []string{fmt.Sprintf("  %d.", i+1), s.Verb, s.Object, s.Detail})
	}
	if len(rows) > 0 {
		columns(w, nil, rows)
	}
	if p.Bytes > 0 {
		fmt.Fprintf(w, "  about %s\n", size(p.Bytes))
	}
	for _, n := range p.Notes {
		edge.Say(w, "note: ", n)
	}
	for _, problem := range p.Problems {
		edge.Say(w, "problem: ", problem.What)
		if problem.Hint != "" {
			edge.Say(w, "  hint: ", problem.Hint)
		}
	}
}
