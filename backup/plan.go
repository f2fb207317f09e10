package backup

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// history is what a plan needs of a repository.
type history interface {
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
}

// Plan says what Run would do, and touches nothing. What the sources themselves know to stand in the way is in
// Plan.Problems; Bytes is what the previous captures read, the best estimate there is before reading.
//
// Errors: ErrConfig as Run; those of reading the catalog. That a source cannot be asked is a problem of the plan.
func Plan(ctx context.Context, repo history, req Request) (*cofre.Plan, error) {
	sources, err := order(req.Sources)
	if err != nil {
		return nil, err
	}
	past, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	plan := &cofre.Plan{Title: "back up " + req.Installation}
	for _, s := range sources {
		if _, ok := s.(cofre.Preparer); ok {
			plan.Steps = append(plan.Steps, cofre.Step{Verb: "prepare", Object: name(s), Detail: "before anything is captured"})
		}
	}
	for _, s := range sources {
		detail := "for the first time"
		if p, comp, ok := past.Newest(s.ID(), takesPartialBase(s)); ok {
			detail = fmt.Sprintf("after %s of %s", p.ID, comp.StartedAt.UTC().Format(time.RFC3339))
			plan.Bytes += comp.Bytes
		}
		plan.Steps = append(plan.Steps, cofre.Step{Verb: "capture", Object: name(s), Detail: detail})
		if err := ask(ctx, s, plan); err != nil {
			return nil, err
		}
	}
	for _, c := range req.Checks {
		if len(sources) > 1 { // a check is between components
			plan.Steps = append(plan.Steps, cofre.Step{Verb: "check", Object: c.Name(), Detail: "where the components allow it"})
		}
	}
	plan.Steps = append(plan.Steps, cofre.Step{Verb: "publish", Object: "one recovery point"})
	return plan, nil
}

func ask(ctx context.Context, s cofre.Source, plan *cofre.Plan) error {
	c, ok := s.(cofre.Checker)
	if !ok {
		return nil
	}
	looked, err := c.Doctor(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("look at %s: %w", name(s), err)
	}
	if err != nil {
		plan.Problems = append(plan.Problems, cofre.Problem{What: fmt.Sprintf("%s: %s", name(s), cofre.OneLine(err)), Hint: cofre.Hint(err)})
	}
	for _, d := range looked {
		if !d.OK {
			plan.Problems = append(plan.Problems, cofre.Problem{What: fmt.Sprintf("%s: %s: %s", name(s), d.Subject, d.Detail), Hint: d.Hint})
		}
	}
	return nil
}
