package installation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/restore"
)

// RescueOptions say which table is brought back, from where, and how. Table must be set.
type RescueOptions struct {
	Point    string // an id, an unambiguous prefix of one, or latest; empty is latest
	Source   string // name of the database captured, if a point has several
	Database string // to bring it into; "" is the configured one

	// TableOptions without Server is of the configured one. Observer is not used.
	rescue.TableOptions

	// Command is the command that brings the same from another point, for hints. Nil leaves them without one.
	Command func(cofre.PointID) string
	// Confirm is shown the plan, problems and all, before anything is touched. Its error ends the rescue, as it is. Nil confirms.
	Confirm func(*cofre.Plan) error
}

// Rescued is what came back.
type Rescued struct {
	Point cofre.PointID
	Plan  *cofre.Plan
	*rescue.TableOutcome
	Took time.Duration
}

// Rescue brings back one table and reads nothing else. It is there whole and proven, or not at all.
//
// Errors: those of the repository and its catalog; cofre.ErrPreflight if something forbids it; those of Confirm and of
// rescue.RestoreTable; cofre.ErrPartial with what was done, if something that led to the table could not be made again.
func (in *Installation) Rescue(ctx context.Context, o RescueOptions) (*Rescued, error) {
	done, tree, err := in.planRescue(ctx, &o)
	if err != nil {
		return nil, err
	}
	if o.Confirm != nil {
		if err := o.Confirm(done.Plan); err != nil {
			return nil, err
		}
	}
	if err := restore.Preflight(done.Plan); err != nil {
		return nil, err
	}
	began := time.Now()
	done.TableOutcome, err = rescue.RestoreTable(ctx, tree, o.TableOptions)
	if err != nil {
		return nil, err
	}
	done.Took = time.Since(began)
	return done, incompleteTable(done.TableOutcome)
}

// PlanRescue says what Rescue would do, and touches nothing.
//
// Errors: those of Rescue before anything is touched; cofre.ErrPreflight with the plan, if something forbids it.
func (in *Installation) PlanRescue(ctx context.Context, o RescueOptions) (*cofre.Plan, error) {
	planned, _, err := in.planRescue(ctx, &o)
	if err != nil {
		return nil, err
	}
	return planned.Plan, restore.Preflight(planned.Plan)
}

func (in *Installation) planRescue(ctx context.Context, o *RescueOptions) (*Rescued, cofre.Tree, error) {
	point, tree, lost, err := in.capturedDatabase(ctx, o.Point, o.Source)
	if err != nil {
		return nil, nil, err
	}
	lost.into(&o.Loss, o.Command)
	if o.Server, err = in.server(o.Server); err != nil {
		return nil, nil, err
	}
	if o.Database != "" {
		o.Server = o.Server.With(o.Database)
	}
	o.Observer = in.observer
	plan, err := rescue.PlanTable(ctx, tree, o.TableOptions)
	if err != nil {
		return nil, nil, err
	}
	plan.Point = point.ID
	return &Rescued{Point: point.ID, Plan: plan}, tree, nil
}

// incompleteTable names what of the table is otherwise than captured, and what leads to it and could not be made again.
func incompleteTable(done *rescue.TableOutcome) error {
	if len(done.Lost) > 0 {
		return fmt.Errorf("table %s is restored, without what the repository has lost: %w: %s", done.Table, cofre.ErrPartial, strings.Join(slices.Concat(done.Lost, done.Differs, done.Missing), "; "))
	}
	if len(done.Differs) > 0 {
		return fmt.Errorf("table %s is restored, and not all of it is as captured: %w: %s", done.Table, cofre.ErrPartial, strings.Join(append(done.Differs, done.Missing...), "; "))
	}
	if len(done.Missing) == 0 {
		return nil
	}
	return cofre.WithHint(fmt.Errorf("table %s is restored, and what led to it is %w: %s", done.Table, cofre.ErrPartial, strings.Join(done.Missing, "; ")),
		cofre.Say("restore.table_definitions", "cofre export --format sql --schema-only has the definitions; make these by hand once the cause is gone"))
}

// capturedDatabase finds the database component that a point holds, by the source's name if there are several, and opens it.
func (in *Installation) capturedDatabase(ctx context.Context, ref, source string) (cofre.RecoveryPoint, cofre.Tree, losses, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return cofre.RecoveryPoint{}, nil, losses{}, err
	}
	ref = cmp.Or(ref, catalog.Latest)
	want := catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindDatabase, Name: source}
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return point, nil, losses{}, err
	}
	in.warn(incomplete(cat, ref, point, want)...)
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return point, nil, losses{}, err
	}
	tree, err := repo.Tree(ctx, comp.Root)
	return point, tree, losses{repo, Choice{Point: point, Component: comp, Catalog: cat, Damage: damage}}, err
}

// losses are what is known to be lost of one component, and where all of it is.
type losses struct {
	repo reader
	from Choice
}

// into tells it to whoever reads the component; command brings the same from another point.
func (l losses) into(o *logical.LossOptions, command func(cofre.PointID) string) {
	o.Known = l.from.Lost()
	o.Elsewhere = func(ctx context.Context, schema, table string) string {
		point, _, ok := l.from.Holder(ctx, l.repo, schema, table)
		if !ok || command == nil {
			return ""
		}
		return command(point)
	}
}

// MergeOptions say which table is compared with the live one. Table must be set.
type MergeOptions struct {
	Point    string // as in RescueOptions
	Source   string
	Database string

	Command func(cofre.PointID) string

	// MergeOptions without Server is of the configured one. Observer is not used.
	rescue.MergeOptions
}

// Merge is a comparison of a captured table with the live one. Apply brings back what is missing or changed; Close ends it, also if
// nothing was applied.
type Merge struct {
	Point cofre.PointID
	*rescue.Merge
}

// Compare compares the captured rows of a table with those of the live one, by primary key. The live table is not changed.
//
// Errors: those of the repository and its catalog, and of rescue.CompareTable.
func (in *Installation) Compare(ctx context.Context, o MergeOptions) (*Merge, error) {
	point, tree, lost, err := in.capturedDatabase(ctx, o.Point, o.Source)
	if err != nil {
		return nil, err
	}
	lost.into(&o.Loss, o.Command)
	if o.Server, err = in.server(o.Server); err != nil {
		return nil, err
	}
	if o.Database != "" {
		o.Server = o.Server.With(o.Database)
	}
	o.Observer = in.observer
	m, err := rescue.CompareTable(ctx, tree, o.MergeOptions)
	if err != nil {
		return nil, err
	}
	return &Merge{point.ID, m}, nil
}
