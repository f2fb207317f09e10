package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
)

// waysOn says how a cluster is restored if the repository has lost something of its base backup: another that is whole and reaches the
// same target, the dump that is whole, and what can be read of the base backup that has lost least.
func (r *clusterRestore) waysOn(ctx context.Context, in *Installation, repo reader, from loss.Choice, o *restoring.LossOptions) {
	o.Known = from.LostNames(ctx, repo)
	o.Other = func(ctx context.Context, path string) ([]byte, cofre.PointID, error) {
		return from.OfAnother(ctx, repo, path)
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
	if point, ok := from.WholeDump(); ok {
		o.Dump = "cofre restore database " + string(point)
	}
}

// leastLost is the base backup that reaches the target and is known to have lost the fewest files: the one that was chosen, or else the
// newest of before.
func (r *clusterRestore) leastLost(ctx context.Context, in *Installation, from loss.Choice) cofre.PointID {
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
