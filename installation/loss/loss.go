// Package loss says what is known to be lost of recovery points, by the names that people know, and which others hold it. Read Name first.
package loss

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/physical"
)

// reader is what is asked for names.
type reader interface {
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
}

// Of is what of damage is of one component.
func Of(damage []cofre.Finding, c cofre.Component) []cofre.Finding {
	return slices.DeleteFunc(slices.Clone(damage), func(f cofre.Finding) bool { return f.Kind != c.Kind || f.Name != c.Name })
}

// Name gives what is damaged in a point the names that people know: of tables, objects and files. What cannot be
// named keeps its path in the repository: the names may be lost too.
func Name(ctx context.Context, repo reader, p cofre.RecoveryPoint, findings []cofre.Finding) {
	for _, c := range p.Components {
		var names map[string]string
		for i, f := range findings {
			if f.Kind != c.Kind || f.Object == "" || f.Name != c.Name {
				continue
			}
			if names == nil {
				names = entryNames(ctx, repo, c)
			}
			name := cmp.Or(names[f.Object], logical.LargeObjectOf(f.Object))
			if below, ok := strings.CutPrefix(f.Object, "files/"); ok && c.Kind == cofre.KindConfig {
				name = "/" + below
			}
			if below, ok := strings.CutPrefix(f.Object, physical.DataDir+"/"); ok && c.Kind == cofre.KindCluster {
				name = below
			}
			if name == "" {
				continue
			}
			findings[i].Object = name
			findings[i] = findings[i].Saying(renamed(f.Messages.Of(f.What), f.Object, name))
		}
	}
}

// renamed is a sentence about a path of the repository, with the name that people know.
func renamed(m cofre.Message, path, name string) cofre.Message {
	unnamed, known := fmt.Sprintf("content of %q", path), fmt.Sprintf("%s (%s)", name, path)
	m.Text = strings.Replace(m.Text, unnamed, known, 1)
	m.Args = maps.Clone(m.Args)
	for arg, v := range m.Args {
		if said, ok := v.(cofre.Message); ok && said.Text == unnamed {
			m.Args[arg] = known
		} else if ok {
			m.Args[arg] = renamed(said, path, name)
		}
	}
	return m
}

// Damage returns damage with the names that people know.
func Damage(ctx context.Context, repo reader, d cofre.Damage) cofre.Damage {
	for p, err := range repo.Points(ctx) {
		if err != nil {
			return d
		}
		if p.ID == d.Point {
			d.Findings = slices.Clone(d.Findings)
			Name(ctx, repo, p, d.Findings)
		}
	}
	return d
}

// NameVerified does the same for the findings of a verification, whose sentences end in the point.
func NameVerified(ctx context.Context, repo reader, points []cofre.RecoveryPoint, findings []cofre.Finding) {
	for _, p := range points {
		var at []int
		var of []cofre.Finding
		for i, f := range findings {
			if strings.HasSuffix(f.What, "of point "+string(p.ID)) {
				at, of = append(at, i), append(of, f)
			}
		}
		if len(of) == 0 {
			continue
		}
		Name(ctx, repo, p, of)
		for i, f := range of {
			findings[at[i]] = f
		}
	}
}

// entryNames are the tables or objects of a component, by their path in it.
func entryNames(ctx context.Context, repo reader, c cofre.Component) map[string]string {
	names := map[string]string{}
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return names
	}
	switch c.Kind {
	case cofre.KindDatabase:
		facts, err := logical.ReadFacts(ctx, tree)
		if err != nil {
			return names
		}
		for t := range slices.Values(facts.Tables) {
			names[logical.ArchiveDir+"/"+t.File] = t.Schema + "." + t.Name
		}
		names[logical.TOCFile], names[logical.GlobalsFile] = "table of contents", "roles and memberships"
		names[logical.FactsFile], names[logical.FingerprintFile] = "facts", "catalogs"
	case cofre.KindStorage:
		for l, err := range bucket.ReadIndex(ctx, tree) {
			if err != nil {
				return names
			}
			if l.InTree != "" {
				names[l.InTree] = l.Path()
			}
		}
	}
	return names
}
