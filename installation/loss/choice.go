package loss

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/physical"
)

// Choice is the component that a restore was asked for, among those of the catalog.
type Choice struct {
	Point     cofre.RecoveryPoint
	Component cofre.Component
	Catalog   *catalog.Catalog
	Damage    map[cofre.PointID][]cofre.Finding // what every point is known to have lost
}

// Lost is what the repository is known to have lost of the component.
func (c Choice) Lost() []cofre.Finding { return Of(c.Damage[c.Point.ID], c.Component) }

// Whole is the component of another point that is not known to have lost anything, if there is one: as Others has them.
func (c Choice) Whole() (Choice, bool) {
	for _, o := range c.Others() {
		if len(o.Lost()) == 0 {
			return o, true
		}
	}
	return Choice{}, false
}

// LostNames are what the component is known to have lost, by the names that people know.
func (c Choice) LostNames(ctx context.Context, repo reader) []string {
	found := c.Lost()
	Name(ctx, repo, c.Point, found)
	var names []string
	for _, f := range found {
		names = append(names, f.Object)
	}
	return names
}

// Others are the components of the same source in other points: those of before first, the newest of them first.
func (c Choice) Others() []Choice {
	var older, newer []Choice
	for p := range c.Catalog.List(catalog.Want{Installation: c.Point.Installation}) {
		for _, comp := range p.Components {
			if p.ID == c.Point.ID || comp.Kind != c.Component.Kind || comp.Name != c.Component.Name {
				continue
			}
			if other := (Choice{p, comp, c.Catalog, c.Damage}); p.ID < c.Point.ID {
				older = append(older, other)
			} else {
				newer = append(newer, other)
			}
		}
	}
	newestFirst := func(a, b Choice) int { return cmp.Compare(b.Point.ID, a.Point.ID) }
	slices.SortFunc(older, newestFirst)
	slices.SortFunc(newer, newestFirst)
	return append(older, newer...)
}

// Holder finds another point that is not known to have lost the rows of a table.
func (c Choice) Holder(ctx context.Context, repo reader, schema, table string) (cofre.PointID, logical.TableFacts, bool) {
	for _, o := range c.Others() {
		facts, err := DatabaseFacts(ctx, repo, o.Component)
		if err != nil {
			continue // it holds nothing that can be read
		}
		for _, t := range facts.Tables {
			if t.Schema != schema || t.Name != table {
				continue
			}
			path := logical.ArchiveDir + "/" + t.File
			if !slices.ContainsFunc(o.Lost(), func(f cofre.Finding) bool { return f.Object == path }) {
				return o.Point.ID, t, true
			}
		}
	}
	return "", logical.TableFacts{}, false
}

// WholeDump is the newest point of the installation with a dump of which nothing is known to be lost.
func (c Choice) WholeDump() (newest cofre.PointID, ok bool) {
	for p := range c.Catalog.List(catalog.Want{Installation: c.Point.Installation, Kind: cofre.KindDatabase}) {
		for _, d := range p.Components {
			if d.Kind == cofre.KindDatabase && !d.Partial && len(Of(c.Damage[p.ID], d)) == 0 && p.ID > newest {
				newest = p.ID
			}
		}
	}
	return newest, newest != ""
}

// OfAnother reads a file of the nearest other base backup of the same cluster.
//
// Errors: cofre.ErrNotFound if none can be read; those of a repository that cannot be reached.
func (c Choice) OfAnother(ctx context.Context, repo reader, path string) ([]byte, cofre.PointID, error) {
	own, err := physical.ParseSummary(c.Component.Facts)
	if err != nil {
		return nil, "", err
	}
	for _, o := range c.Others() {
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

// DatabaseFacts reads what was recorded in the snapshot of a dump.
//
// Errors: cofre.ErrNotFound if the component has no facts; cofre.ErrCorrupt.
func DatabaseFacts(ctx context.Context, repo reader, c cofre.Component) (*logical.Facts, error) {
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	return logical.ReadFacts(ctx, tree)
}
