package installation

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/restore"
)

// Restorable is what is restored, and where to: a Database, a *Table, a *Merge, Files or a Storage. A cluster is recovered: see Recover.
type Restorable interface {
	kind() cofre.Kind
	called() string // what events call it
	// replaces says what gives way; nothing if nothing does.
	replaces(cofre.Component) cofre.Message
	target(context.Context, *Installation, reader, loss.Choice) (cofre.Target, error)
	// instead is another point that is not known to have lost anything and does as well.
	instead(context.Context, *Installation, loss.Choice) (cofre.PointID, bool)
}

// deciding is a Restorable that knows what it will change once it is staged.
type deciding interface{ changes() bool }

// single is a Restorable of so little of its component that what else is lost does not concern it.
type single interface{ ofOneTable() }

// lossy is a Restorable of a component that can be restored without what is lost of it.
type lossy interface {
	goingOn() string // the command that does; "" if this one does already
}

// RestoreOptions are what every restore may be told. The zero value restores from the newest point that holds the component whole,
// accepts no difference, and asks nobody.
type RestoreOptions struct {
	Point  string   // an id, an unambiguous prefix of one, or latest; empty is latest, or what a recovery target chooses
	Source string   // name of the component, if a point has several of the kind
	Accept []string // names of differences that are taken as they are
	// Command is the command that restores the same from another point, for hints. Nil leaves them without one.
	Command func(cofre.PointID) string
	// Confirm is shown the plan, problems and all, and what gives way, before anything is touched. Its error ends the restore, as
	// it is. Nil confirms.
	Confirm func(plan *cofre.Plan, replaces cofre.Message) error
	// Approve is asked of a Merge, once it is compared, whether to change what it would change. If it says no, all is as it was,
	// and that is no error. Nil approves.
	Approve func() (publish bool, err error)
}

// Restored is what a restore did. Result and its fields are nil if it did not get so far.
type Restored struct {
	Point cofre.PointID
	*restore.Result
	Recovered *recovering.Result // of a cluster that was started
	Warnings  []string           // what is known of the point; the observer was told
}

// Restore brings back one component, compared with what was captured before it takes its name. If something gives way, the hooks of
// the configuration run around it. What was done is returned with an error, too.
//
// Errors: those of the repository and its catalog; cofre.ErrConfig if nothing says where to; those of Confirm, of restore.Run, of
// recovery and of the hooks.
func (in *Installation) Restore(ctx context.Context, what Restorable, o RestoreOptions) (_ *Restored, err error) {
	end := in.begin(ctx, cofre.RunRestore, observe.About{What: what.called()})
	defer func() { end(err) }()
	c, err := in.prepare(ctx, what, o)
	if err != nil {
		return nil, err
	}
	stopped := false
	stop := func() error {
		ran, err := in.hooks().Run(ctx, "before_restore", in.cfg.Hooks.BeforeRestore)
		stopped = err == nil || ran > 0
		return err
	}
	c.request.Confirm = func(plan *cofre.Plan) error {
		replaces := what.replaces(c.request.Component)
		if !replaces.IsZero() && plan.Promise.Replaced == cofre.ReplacedLost {
			replaces = cofre.Say("replace.for_good", "{{.what}}, and keep nothing of what is replaced", "what", replaces)
		}
		if o.Confirm != nil {
			if err := o.Confirm(plan, replaces); err != nil {
				return err
			}
		}
		if len(plan.Problems) > 0 || replaces.IsZero() {
			return nil
		}
		return stop()
	}
	if d, ok := what.(deciding); ok {
		c.request.Approve = func() (bool, error) {
			if o.Approve != nil {
				if publish, err := o.Approve(); err != nil || !publish {
					return false, err
				}
			}
			if !d.changes() {
				return true, nil
			}
			return true, stop()
		}
	}
	done := &Restored{Point: c.request.Point}
	for _, w := range c.warnings {
		done.Warnings = append(done.Warnings, w.Text)
	}
	done.Result, err = restore.Run(ctx, c.repo, c.request)
	if done.Outcome == nil {
		err = c.elsewhere(ctx, err)
	}
	if r, ok := what.(*clusterRestore); ok {
		done.Recovered = r.recovered
	}
	if stopped {
		err = in.hooks().After(ctx, "after_restore", in.cfg.Hooks.AfterRestore, err)
	}
	return done, err
}

// PlanRestore says what Restore would do, and touches nothing. A plan that is refused is returned with the error.
//
// Errors: those of Restore before anything is touched; cofre.ErrPreflight with the plan, if something forbids it.
func (in *Installation) PlanRestore(ctx context.Context, what Restorable, o RestoreOptions) (*cofre.Plan, error) {
	c, err := in.prepare(ctx, what, o)
	if err != nil {
		return nil, err
	}
	plan, err := restore.Plan(ctx, c.repo, c.request)
	return plan, c.elsewhere(ctx, err)
}

// prepared is a restore that can be carried out.
type prepared struct {
	repo     reader
	request  restore.Request
	warnings []cofre.Message
	other    func(context.Context) string // the command that restores from another point; "" if there is none
	without  func() string                // the command that goes on with what can be read; "" if there is none
}

func (in *Installation) prepare(ctx context.Context, what Restorable, o RestoreOptions) (*prepared, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	want := catalog.Want{Installation: in.cfg.Name, Kind: what.kind(), Name: o.Source}
	ref := cmp.Or(o.Point, catalog.Latest)
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return nil, err
	}
	p := &prepared{repo: repo, warnings: loss.Incomplete(cat, ref, point, want)}
	in.warn(p.warnings...)
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	from := loss.Choice{Point: point, Component: comp, Catalog: cat, Damage: damage}
	p.other = func(ctx context.Context) string {
		if other, ok := what.instead(ctx, in, from); ok && o.Command != nil {
			return o.Command(other)
		}
		return ""
	}
	if _, ok := what.(single); !ok {
		p.warnOfLoss(ctx, in, from)
	}
	target, err := what.target(ctx, in, repo, from)
	if err != nil {
		return nil, err
	}
	p.without = func() string { return "" }
	if l, ok := what.(lossy); ok {
		p.without = l.goingOn
	}
	p.request = restore.Request{Point: point.ID, Component: comp, Target: target, Accept: o.Accept, Observer: in.observer}
	return p, nil
}

// warnOfLoss names what the component is known to have lost, and where all of it is. The plan of a database or a cluster
// says what that means for it.
func (p *prepared) warnOfLoss(ctx context.Context, in *Installation, from loss.Choice) {
	names := from.LostNames(ctx, p.repo)
	if len(names) == 0 {
		return
	}
	const shown = 5
	list := cofre.Verbatim(strings.Join(names[:min(shown, len(names))], ", "))
	if more := len(names) - shown; more > 0 {
		list = cofre.List(list, cofre.SayN("backup.lost_more", more, "and 1 more (cofre show {{.point}})", "and {{.n}} more (cofre show {{.point}})", "point", from.Point.ID))
	}
	warning := cofre.SayN("restore.known_loss", len(names), "recovery point {{.point}} is known to have lost 1 object of {{.kind}}: {{.objects}}", "recovery point {{.point}} is known to have lost {{.n}} objects of {{.kind}}: {{.objects}}",
		"point", from.Point.ID, "kind", from.Component.Kind, "objects", list)
	if kind := from.Component.Kind; kind != cofre.KindDatabase && kind != cofre.KindCluster {
		if command := p.other(ctx); command != "" {
			warning = cofre.Say("restore.loss_elsewhere", "{{.loss}}; from another point that is whole: {{.command}}", "loss", warning, "command", command)
		}
	}
	in.warn(warning)
}

// elsewhere adds the way on to the error of a restore that ended because the repository does not hold what it needs.
func (p *prepared) elsewhere(ctx context.Context, err error) error {
	hint := cofre.HintOf(err)
	if !errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrUnproven) || !hint.IsZero() && hint.Code != "repository.damaged" {
		return err
	}
	other, without := p.other(ctx), p.without()
	if other != "" && without != "" {
		return cofre.WithHint(err, cofre.Say("restore.other_or_without", "from another point that is not known to be damaged: {{.command}}; or all that can be read of this one, with what is lost named: {{.without}}", "command", other, "without", without))
	}
	if without != "" {
		return cofre.WithHint(err, cofre.Say("restore.without", "all that can be read, with what is lost named: {{.command}}", "command", without))
	}
	if command := other; command != "" {
		return cofre.WithHint(err, cofre.Say("restore.other_point", "from another point that is not known to be damaged: {{.command}}", "command", command))
	}
	return cofre.WithHint(err, cofre.Say("restore.no_other_point", "no other point is known to be whole; what of this one is lost, and what it holds: cofre show {{.point}}", "point", p.request.Point))
}

// newestWhole is another point that does as well for what does not depend on a moment.
func newestWhole(from loss.Choice) (cofre.PointID, bool) {
	o, ok := from.Whole()
	return o.Point.ID, ok
}
