package installation

import (
	"context"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/postgres/logical"
)

// Point is a recovery point, with what it is known to have lost since it was published.
type Point struct {
	cofre.RecoveryPoint
	Damage []cofre.Finding `json:"damage,omitempty"`
	// Back is whether it has expired, as the journal says, and is in the catalog again: what it needs may have been pruned.
	Back bool `json:"expired_before,omitempty"`
}

// PointsOptions choose recovery points. The zero value takes every one of the installation.
type PointsOptions struct {
	Kind cofre.Kind // only points with a component of this kind
	Last int        // only the newest; 0 is every one
	All  bool       // of every installation in the repository
}

// Points are recovery points, oldest first, and the names of the installations that have any in the repository.
type Points struct {
	Points        []Point
	Installations []string
}

// Points lists recovery points. What is damaged in them has the names that people know.
//
// Errors: those of the repository; with the points that there are, those of catalog.Catalog.Missing.
func (in *Installation) Points(ctx context.Context, o PointsOptions) (*Points, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	want := catalog.Want{Installation: in.cfg.Name, Kind: o.Kind}
	if o.All {
		want.Installation = ""
	}
	points := slices.Collect(cat.List(want))
	if o.Last > 0 && len(points) > o.Last {
		points = points[len(points)-o.Last:]
	}
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	listed := &Points{Points: []Point{}, Installations: cat.Installations()}
	for _, p := range points {
		loss.Name(ctx, repo, p, damage[p.ID])
		listed.Points = append(listed.Points, Point{p, damage[p.ID], cat.IsBack(p.ID)})
	}
	return listed, cat.Missing()
}

// ContentOptions say what of a recovery point is read.
type ContentOptions struct {
	Tables bool // every table of its databases
	Files  bool // every file of its configuration
}

// Content is a recovery point with what was recorded beside it.
type Content struct {
	Point     Point                     `json:"point"`
	Databases map[string]*logical.Facts `json:"databases,omitempty"` // with Tables, by name
	Files     map[string][]files.Fact   `json:"files,omitempty"`     // with Files, by name
}

// Content reads what a recovery point holds, by its id, an unambiguous prefix of one, or latest. What is damaged in it has
// the names that people know.
//
// Errors: cofre.ErrNotFound if there is no such point, or it has nothing of what was asked for; cofre.ErrAmbiguous; those
// of the repository.
func (in *Installation) Content(ctx context.Context, ref string, o ContentOptions) (*Content, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	p, err := cat.Find(ref, catalog.Want{Installation: in.cfg.Name})
	if err != nil {
		return nil, err
	}
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return nil, err
	}
	loss.Name(ctx, repo, p, damage[p.ID])
	c := &Content{Point: Point{p, damage[p.ID], cat.IsBack(p.ID)}, Databases: map[string]*logical.Facts{}, Files: map[string][]files.Fact{}}
	for _, comp := range p.Components {
		switch {
		case o.Tables && comp.Kind == cofre.KindDatabase:
			c.Databases[comp.Name], err = loss.DatabaseFacts(ctx, repo, comp)
		case o.Files && comp.Kind == cofre.KindConfig:
			c.Files[comp.Name], err = configFacts(ctx, repo, comp)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case o.Tables && len(c.Databases) == 0:
		return nil, fmt.Errorf("tables of recovery point %s: it has no database: %w", p.ID, cofre.ErrNotFound)
	case o.Files && len(c.Files) == 0:
		return nil, fmt.Errorf("files of recovery point %s: it has no config: %w", p.ID, cofre.ErrNotFound)
	}
	return c, nil
}

// Tables names the tables of the newest database that was captured: SCHEMA.TABLE.
//
// Errors: cofre.ErrNotFound without one; those of the repository.
func (in *Installation) Tables(ctx context.Context) ([]string, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	_, comp, err := cat.Component(catalog.Latest, catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindDatabase})
	if err != nil {
		return nil, err
	}
	facts, err := loss.DatabaseFacts(ctx, repo, comp)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range facts.Tables {
		names = append(names, t.Schema+"."+t.Name)
	}
	return names, nil
}

func configFacts(ctx context.Context, repo reader, c cofre.Component) ([]files.Fact, error) {
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	facts, err := files.List(ctx, tree)
	if err != nil {
		return nil, fmt.Errorf("read the facts of config %s: %w", c.Name, err)
	}
	return facts, nil
}
