package backup

import (
	"context"
	"fmt"
	"iter"

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
	plan := cofre.NewPlan(cofre.Say("backup.plan", "back up {{.installation}}", "installation", req.Installation))
	for _, s := range sources {
		if _, ok := s.(cofre.Preparer); ok {
			plan.Do(cofre.Say("backup.do_prepare", "prepare"), cofre.Verbatim(name(s)), cofre.Say("backup.before_capture", "before anything is captured"))
		}
	}
	for _, s := range sources {
		detail := cofre.Say("backup.first_time", "for the first time")
		if p, comp, ok := past.Newest(s.ID(), takesPartialBase(s)); ok {
			detail = cofre.Say("backup.after", "after {{.point}} of {{.at}}", "point", p.ID, "at", comp.StartedAt.UTC())
			plan.Bytes += comp.Bytes
		}
		plan.Do(cofre.Say("backup.do_capture", "capture"), cofre.Verbatim(name(s)), detail)
		if err := ask(ctx, s, plan); err != nil {
			return nil, err
		}
	}
	for _, c := range req.Checks {
		if len(sources) > 1 { // a check is between components
			plan.Do(cofre.Say("backup.do_check", "check"), cofre.Verbatim(c.Name()), cofre.Say("backup.if_allowed", "if the components allow it"))
		}
	}
	plan.Do(cofre.Say("backup.do_publish", "publish"), cofre.Say("backup.one_point", "one recovery point"), cofre.Message{})
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
		plan.Refuse(cofre.Say("backup.source_error", "{{.source}}: {{.cause}}", "source", name(s), "cause", err), cofre.HintOf(err))
	}
	for _, d := range looked {
		if !d.OK {
			plan.Refuse(cofre.Say("backup.source_problem", "{{.source}}: {{.subject}}: {{.detail}}", "source", name(s), "subject", d.Messages.Of(d.Subject), "detail", d.Messages.Of(d.Detail)), d.Messages.Of(d.Hint))
		}
	}
	return nil
}
