package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/restore"
)

func newRestoreCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring back a database, a table, a cluster, objects or files",
		Long: `Bring back one component of a recovery point.

The copy is made in a new place, compared there with what was captured, and only then takes its name, by one rename.
What it replaces is kept, and the last lines say under which name. --dry-run prints the plan and stops.

POINT is an id, an unambiguous prefix of one, or latest: the newest point that holds what is asked for whole. Where newer
points do not, each is named with the reason before anything is done.`,
	}
	cmd.AddCommand(newRestoreDatabaseCommand(a), newRestoreTableCommand(a), newRestoreClusterCommand(a), newRestoreConfigCommand(a), newRestoreStorageCommand(a))
	return cmd
}

// restoreOptions are the flags of every restore.
type restoreOptions struct {
	dryRun bool
	yes    bool
	source string   // name of the component, where a point has several of the kind
	accept []string // differences that are taken as they are
	// from is the command that was given, with another point.
	from func(point cofre.PointID) string
}

func (o *restoreOptions) addFlags(cmd *cobra.Command) {
	o.from = func(point cofre.PointID) string { return commandLine(cmd, []string{string(point)}, "", nil) }
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the plan, and do nothing")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask before something is replaced")
	cmd.Flags().StringVar(&o.source, "source", "", "`NAME` of the component, where the point has several of the kind")
}

// restoring is one restore that a command asks for.
type restoring struct {
	options restoreOptions
	kind    cofre.Kind
	point   string
	// replaces says what gives way, for the question; nil where nothing does.
	replaces func(cofre.Component) string
	target   func(installation.Choice) (cofre.Target, error)
	// then goes on with what was restored, and may change what the outcome says; nil where nothing follows.
	then func(context.Context, cofre.Observer, *cofre.Outcome) (*physical.Recovered, error)
	// instead is the command that restores from another point which is whole, empty if there is none; nil takes the
	// newest of the same source.
	instead func(context.Context, installation.Choice) string
	// again is the command that accepts these differences as well; nil where a copy that differs is not kept.
	again func(accept []string) string
}

// restoreDocument is the JSON document of a restore.
type restoreDocument struct {
	Point cofre.PointID `json:"point"`
	*restore.Result
	Seconds   float64             `json:"took_seconds,omitempty"`
	Recovered *physical.Recovered `json:"recovered,omitempty"`
	Warnings  []string            `json:"warnings,omitempty"`
	Error     *edge.ErrorDocument `json:"error,omitempty"`
}

// restore finds the component, shows the plan, asks where something gives way, and carries it out between hooks.
func (a *app) restore(ctx context.Context, cfg *config.Config, repo reader, r restoring) error {
	cat, err := a.catalog(ctx, cfg, repo)
	if err != nil {
		return err
	}
	want := catalog.Want{Installation: cfg.Name, Kind: r.kind, Name: r.options.source}
	point, comp, err := cat.Component(r.point, want)
	if err != nil {
		return err
	}
	warnings := incomplete(cat, r.point, point, want)
	a.warn(warnings)
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return err
	}
	choice := installation.Choice{Point: point, Component: comp, Catalog: cat, Damage: damage}
	a.warnOfLoss(ctx, repo, r, choice)
	target, err := r.target(choice)
	if err != nil {
		return err
	}
	req := restore.Request{Point: point.ID, Component: comp, Target: target, Accept: r.options.accept}
	if r.options.dryRun {
		return r.elsewhere(ctx, choice, a.dryRun(ctx, repo, req))
	}
	obs, end := a.progress(ctx)
	defer end()
	req.Observer = obs
	stopped := false
	req.Confirm = func(plan *cofre.Plan) error {
		if !a.JSON && !a.Quiet || len(plan.Problems) > 0 {
			writePlan(a.Stdio, plan, false)
		}
		if len(plan.Problems) > 0 || r.replaces == nil {
			return nil
		}
		if err := a.confirm(ctx, r.options.yes, r.replaces(comp)); err != nil {
			return err
		}
		stopped = true
		return a.in.RunHooks(ctx, "before_restore", cfg.Hooks.BeforeRestore)
	}
	res, err := restore.Run(ctx, repo, req)
	if res != nil && res.Kept != nil && r.again != nil {
		err = cofre.WithHint(err, "%s", res.Decision(r.again))
	}
	err = r.elsewhere(ctx, choice, err)
	var recovered *physical.Recovered
	if err == nil && r.then != nil {
		recovered, err = r.then(ctx, obs, res.Outcome)
	}
	end()
	if stopped {
		err = a.in.HooksAfter(ctx, "after_restore", cfg.Hooks.AfterRestore, err)
	}
	if a.JSON && res != nil && res.Plan != nil {
		if perr := a.Document(restoreDocument{point.ID, res, res.Took.Seconds(), recovered, warnings, edge.DocumentOf(edge.Interrupted(ctx, err))}); perr != nil {
			return perr
		}
		return err
	}
	// Also where what followed has failed: it says what was replaced, and where that is now.
	if res != nil && res.Outcome != nil {
		printOutcome(a, res, recovered)
	}
	return err
}

// warnOfLoss names what the component is known to have lost, and where all of it is. The plan of a database or a cluster
// says what that means for it.
func (a *app) warnOfLoss(ctx context.Context, repo reader, r restoring, choice installation.Choice) {
	names := choice.LostNames(ctx, repo)
	if len(names) == 0 {
		return
	}
	const shown = 5
	list := strings.Join(names[:min(shown, len(names))], ", ")
	if len(names) > shown {
		list += fmt.Sprintf(" and %d more: cofre show %s", len(names)-shown, choice.Point.ID)
	}
	text := fmt.Sprintf("recovery point %s is known to have lost %s of %s: %s", choice.Point.ID, plural(len(names), "object"), choice.Component.Kind, list)
	if r.kind == cofre.KindDatabase || r.kind == cofre.KindCluster {
		a.warn([]string{text})
		return
	}
	if command := r.other(ctx, choice); command != "" {
		text += "; from another point that is whole: " + command
	}
	a.warn([]string{text})
}

// other is the command that restores from another point that is not known to have lost anything; empty if there is none.
func (r restoring) other(ctx context.Context, choice installation.Choice) string {
	if r.instead != nil {
		return r.instead(ctx, choice)
	}
	if o, ok := choice.Whole(); ok {
		return r.options.from(o.Point.ID)
	}
	return ""
}

// elsewhere adds the way on to the error of a restore that ended because the repository does not hold what it needs.
func (r restoring) elsewhere(ctx context.Context, choice installation.Choice, err error) error {
	if !errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrUnproven) || cofre.Hint(err) != "" {
		return err
	}
	if command := r.other(ctx, choice); command != "" {
		return cofre.WithHint(err, "from another point that is not known to be damaged: %s", command)
	}
	return cofre.WithHint(err, "no other point is known to be whole; what of this one can be read comes out one table or file at a time: cofre show %s", choice.Point.ID)
}

// warn says what a person has to know before a restore goes on. It goes to stderr, with --json too.
func (a *app) warn(texts []string) {
	for _, t := range texts {
		if a.told.first(t) {
			edge.Say(a.Err, "warning: ", t)
		}
	}
}

func (a *app) dryRun(ctx context.Context, repo reader, req restore.Request) error {
	plan, err := restore.Plan(ctx, repo, req)
	if plan == nil {
		return err
	}
	if perr := a.printPlan(plan, err); perr != nil {
		return perr
	}
	return err
}

func printOutcome(a *app, res *restore.Result, recovered *physical.Recovered) {
	accepted := res.Proof.Accepted()
	if o := res.Outcome; a.Quiet && len(accepted)+len(o.Left)+len(o.Kept) == 0 && recovered == nil {
		return
	}
	fmt.Fprintf(a.Out, "restored %s in %s\n", res.Outcome.Restored, took(res.Took))
	switch compared := plural(len(res.Proof.Checks), "comparison"); {
	case len(accepted) > 0:
		fmt.Fprintf(a.Out, "compared with what was captured: %s, %d of them different and accepted\n", compared, len(accepted))
	case len(res.Outcome.Left) > 0:
		fmt.Fprintf(a.Out, "proven equal to what was captured, apart from what is named below: %s\n", compared)
	case res.Proof.Part:
		fmt.Fprintf(a.Out, "equal in what was compared: %s\n", compared)
	default:
		fmt.Fprintf(a.Out, "proven equal to what was captured: %s\n", compared)
	}
	for _, n := range res.Proof.NotCompared {
		edge.Say(a.Out, "not compared: ", n)
	}
	for _, c := range accepted {
		fmt.Fprintf(a.Out, "differs: %s (%s): captured %s, restored %s\n", c.What, c.Accepted, restore.Short(c.Want), restore.Short(c.Got))
	}
	if recovered != nil {
		printRecovered(a, recovered)
	}
	for _, l := range res.Outcome.Left {
		fmt.Fprintf(a.Out, "not as captured: %s: %s\n", l.What, l.Got)
	}
	for _, k := range res.Outcome.Kept {
		fmt.Fprintf(a.Out, "kept: %s\n", k)
	}
	for _, n := range res.Outcome.Next {
		fmt.Fprintf(a.Out, "next: %s\n", n)
	}
}
