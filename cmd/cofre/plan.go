package main

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// printPlan prints what a command is about to do: on stdout where the plan is the answer.
func (a *app) printPlan(p *cofre.Plan) error {
	if a.JSON {
		return a.Document(struct {
			Plan *cofre.Plan `json:"plan"`
		}{p})
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
		fmt.Fprintf(w, "note: %s\n", n)
	}
	for _, problem := range p.Problems {
		fmt.Fprintf(w, "problem: %s\n", problem.What)
		if problem.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", problem.Hint)
		}
	}
}
