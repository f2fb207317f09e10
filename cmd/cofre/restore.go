package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/restore"
)

func newRestoreCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring back a database, a table, a cluster, objects or files",
		Long: `Bring back one component of a recovery point.

A copy is made, compared with what was captured, and only then taken into use. A database, a table, files and a cluster are
made in a new place, and take their name by a rename. Objects are brought into their buckets, and restore cluster --delta
rewrites a directory where it is. The plan says what is touched before the copy is proven, what is replaced, and where
that is kept; --dry-run prints it and stops.

POINT is an id, an unambiguous prefix of one, or latest: the newest point that holds what is asked for whole. Where newer
points do not, each is named with the reason before anything is done.`,
	}
	cmd.AddCommand(newRestoreDatabaseCommand(a), newRestoreTableCommand(a), newRestoreClusterCommand(a), newRestoreConfigCommand(a), newRestoreStorageCommand(a))
	return cmd
}

// restoreOptions are the flags of every restore.
type restoreOptions struct {
	installation.RestoreOptions
	dryRun bool
	yes    bool
	// again is the command that accepts these differences as well; nil if a copy that differs is not kept.
	again func(accept []string) string
}

func (o *restoreOptions) addFlags(cmd *cobra.Command) {
	o.Command = func(point cofre.PointID) string { return commandLine(cmd, []string{string(point)}, "", nil) }
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan, and do nothing")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask before something is replaced")
	cmd.Flags().StringVar(&o.Source, "source", "", "`NAME` of the component, where the point has several of the kind")
}

// restoreDocument is the JSON document of a restore.
type restoreDocument struct {
	Point cofre.PointID `json:"point"`
	*restore.Result
	Seconds   float64             `json:"took_seconds,omitempty"`
	Recovered *recovering.Result  `json:"recovered,omitempty"`
	Warnings  []string            `json:"warnings,omitempty"`
	Error     *edge.ErrorDocument `json:"error,omitempty"`
}

// restorer is one way to restore: of a component, or of a cluster until a moment.
type restorer struct {
	plan func(context.Context, *installation.Installation, installation.RestoreOptions) (*cofre.Plan, error)
	run  func(context.Context, *installation.Installation, installation.RestoreOptions) (*installation.Restored, error)
}

func restored(what installation.Restorable) restorer {
	return restorer{
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*cofre.Plan, error) {
			return in.PlanRestore(ctx, what, o)
		},
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*installation.Restored, error) {
			return in.Restore(ctx, what, o)
		},
	}
}

func untilMoment(c installation.Cluster) restorer {
	return restorer{
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*cofre.Plan, error) {
			return in.PlanRecovery(ctx, c, o)
		},
		func(ctx context.Context, in *installation.Installation, o installation.RestoreOptions) (*installation.Restored, error) {
			return in.Recover(ctx, c, o)
		},
	}
}

// restore shows the plan, asks if something gives way, and shows what was done.
func (a *app) restore(ctx context.Context, r restorer, o restoreOptions) error {
	return a.open(ctx, func(ctx context.Context, in *installation.Installation) error {
		if o.dryRun {
			plan, err := r.plan(ctx, in, o.RestoreOptions)
			if plan == nil {
				return err
			}
			return cmp.Or(a.printPlan(plan, err), err)
		}
		o.Confirm = func(plan *cofre.Plan, replaces cofre.Message) error { return a.confirmPlan(ctx, plan, replaces, o.yes) }
		done, err := r.run(ctx, in, o.RestoreOptions)
		a.screen.end()
		if done == nil {
			return err
		}
		if done.Kept != nil && o.again != nil {
			err = cofre.WithHint(err, done.Decision(o.again))
		}
		return a.printRestored(ctx, done, err)
	})
}

// confirmPlan shows a plan, and asks before something gives way.
func (a *app) confirmPlan(ctx context.Context, plan *cofre.Plan, replaces cofre.Message, yes bool) error {
	if !a.JSON && !a.Quiet || len(plan.Problems) > 0 {
		a.writePlan(plan, false)
	}
	if len(plan.Problems) > 0 || replaces.IsZero() {
		return nil
	}
	return a.confirm(ctx, yes, replaces)
}

func (a *app) printRestored(ctx context.Context, r *installation.Restored, err error) error {
	if a.JSON && r.Plan != nil {
		doc := restoreDocument{r.Point, r.Result, r.Took.Seconds(), r.Recovered, r.Warnings, edge.DocumentOf(edge.Interrupted(ctx, err))}
		return cmp.Or(a.Document(doc), err)
	}
	// Also where what followed has failed: it says what was replaced, and where that is now.
	if r.Outcome != nil {
		printOutcome(a, r.Result, r.Recovered)
	}
	return err
}

// shortOf is one side of a comparison: its message, or as much of a value as a line has room for.
func shortOf(c cofre.Checked, side string) cofre.Message {
	if m := c.Messages.Of(side); m.Code != "" {
		return m
	}
	return cofre.Verbatim(restore.Short(side))
}

func printOutcome(a *app, res *restore.Result, recovered *recovering.Result) {
	accepted := res.Proof.Accepted()
	if o := res.Outcome; a.Quiet && len(accepted)+len(o.Left)+len(o.Kept) == 0 && recovered == nil {
		return
	}
	a.Line(a.Out, cofre.Say("restored.done", "restored {{.what}} in {{.time}}", "what", res.Outcome.Messages.Of(res.Outcome.Restored), "time", took(res.Took)))
	switch compared := cofre.SayN("restored.comparisons", len(res.Proof.Checks), "1 comparison", "{{.n}} comparisons"); {
	case len(accepted) > 0:
		a.Line(a.Out, cofre.Say("restored.accepted", "compared with what was captured: {{.compared}}, {{.accepted}} of them different and accepted", "compared", compared, "accepted", len(accepted)))
	case len(res.Outcome.Left) > 0:
		a.Line(a.Out, cofre.Say("restored.equal_apart", "proven equal to what was captured, apart from what is named below: {{.compared}}", "compared", compared))
	case res.Proof.Part:
		a.Line(a.Out, cofre.Say("restored.equal_part", "equal in what was compared: {{.compared}}", "compared", compared))
	case res.Proof.Of != "":
		a.Line(a.Out, cofre.Say("restored.equal_of", "proven equal to what was captured of {{.part}}: {{.compared}}", "part", res.Proof.Messages.Of(res.Proof.Of), "compared", compared))
	default:
		a.Line(a.Out, cofre.Say("restored.equal", "proven equal to what was captured: {{.compared}}", "compared", compared))
	}
	for _, n := range res.Proof.NotCompared {
		edge.Say(a.Out, a.word(cofre.Say("word.not_compared", "not compared")), a.Beside(n, res.Proof.Messages))
	}
	for _, c := range accepted {
		a.Line(a.Out, cofre.Say("restored.differs", "differs: {{.what}} ({{.accepted}}): captured {{.want}}, restored {{.got}}",
			"what", c.What, "accepted", c.Messages.Of(c.Accepted), "want", shortOf(c, c.Want), "got", shortOf(c, c.Got)))
	}
	if recovered != nil {
		printRecovered(a, recovered)
	}
	for _, l := range res.Outcome.Left {
		a.Line(a.Out, cofre.Say("restored.left", "not as captured: {{.what}}: {{.got}}", "what", l.Messages.Of(l.What), "got", l.Messages.Of(l.Got)))
	}
	for _, k := range res.Outcome.Kept {
		fmt.Fprintln(a.Out, a.word(cofre.Say("word.kept", "kept"))+a.Beside(k, res.Outcome.Messages))
	}
	for _, n := range res.Outcome.Next {
		a.next(res.Outcome.Messages.Of(n))
	}
}
