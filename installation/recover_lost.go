package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
)

// waysOn says how a cluster is restored if the repository has lost something of its base backup: another that is whole and reaches the
// same target, the dump that is whole, and what can be read of the base backup that has lost least.
func (r *clusterRestore) waysOn(ctx context.Context, in *Installation, repo reader, from Choice, o *restoring.LossOptions) {
	o.Known = from.LostNames(ctx, repo)
	o.Other = func(ctx context.Context, path string) ([]byte, cofre.PointID, error) {
		return ofAnother(ctx, repo, from, path)
	}
	if r.command == nil {
		return
	}
	r.without = r.command(r.leastLost(ctx, in, from)) + " --without-lost"
	if o.Without {
		r.without = ""
	}
	if len(o.Known) == 0 {
		return
	}
	o.Command = r.without
	if other, ok := r.instead(ctx, in, from); ok {
		o.Instead = r.command(other)
	}
	if point, ok := in.wholeDump(from); ok {
		o.Dump = "cofre restore database " + string(point)
	}
}

// leastLost is the base backup that reaches the target and is known to have lost the fewest files: the one that was chosen, or else the
// newest of before.
func (r *clusterRestore) leastLost(ctx context.Context, in *Installation, from Choice) cofre.PointID {
	best, least := from.Point.ID, len(from.Lost())
	if r.asked.Immediate || least == 0 {
		return best // the end of another base backup is another moment
	}
	quiet := *in
	quiet.observer = cofre.Discard
	for _, o := range from.Others() {
		if n := len(o.Lost()); n < least && !o.Component.Partial {
			if _, err := quiet.recoveryWay(ctx, from.Catalog, r.asked, string(o.Point.ID)); err == nil {
				best, least = o.Point.ID, n
			}
		}
	}
	return best
}

// wholeDump is the newest point of the installation with a dump of which nothing is known to be lost.
func (in *Installation) wholeDump(from Choice) (newest cofre.PointID, ok bool) {
	for p := range from.Catalog.List(catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindDatabase}) {
		for _, c := range p.Components {
			if c.Kind == cofre.KindDatabase && !c.Partial && len(loss.Of(from.Damage[p.ID], c)) == 0 && p.ID > newest {
				newest = p.ID
			}
		}
	}
	return newest, newest != ""
}

// ofAnother reads a file of the nearest other base backup of the same cluster.
//
// Errors: cofre.ErrNotFound if none can be read; those of a repository that cannot be reached.
func ofAnother(ctx context.Context, repo reader, from Choice, path string) ([]byte, cofre.PointID, error) {
	own, err := physical.ParseSummary(from.Component.Facts)
	if err != nil {
		return nil, "", err
	}
	for _, o := range from.Others() {
		s, err := physical.ParseSummary(o.Component.Facts)
		if err != nil || s.SystemID != own.SystemID || s.Major != own.Major {
			continue
		}
		tree, err := repo.Tree(ctx, o.Component.Root)
		var b []byte
		if err == nil {
			b, err = physical.ReadAll(ctx, tree, path)
		}
		if err == nil {
			return b, o.Point.ID, nil
		}
		if !errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrNotFound) {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("no other base backup of the cluster holds it: %w", cofre.ErrNotFound)
}

// tellEmpty names the files of which pages are still empty after the recovery, and what they are.
func (r *clusterRestore) tellEmpty(obs cofre.Observer, done *cofre.Outcome) error {
	files, err := r.made.Empty()
	if err != nil {
		return err
	}
	for _, f := range files {
		what := cofre.Say("cluster.lost_file", "file {{.file}}", "file", f.Path)
		if relation, ok := r.relations[f.Path]; ok {
			what = cofre.Say("recover.lost_relation", "{{.relation}} ({{.file}})", "relation", relation, "file", f.Path)
		}
		if f.Empty == 0 {
			obs.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(cofre.Say("recover.healed", "{{.what}}: WAL has brought back all of the {{.lost}} pages that were lost", "what", what, "lost", f.Lost)))
			continue
		}
		got := cofre.Say("recover.still_empty", "{{.empty}} of the {{.lost}} pages that were lost are empty after the recovery", "empty", f.Empty, "lost", f.Lost)
		done.Left = append(done.Left, cofre.NewChecked(what, cofre.Say("database.as_captured", "as captured"), got, false))
	}
	return nil
}
