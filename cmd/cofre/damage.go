package main

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres/logical"
)

// chosen is the component that a restore was asked for.
type chosen struct {
	point     cofre.RecoveryPoint
	component cofre.Component
	catalog   *catalog.Catalog
	damage    map[cofre.PointID][]cofre.Finding // of every point
}

// lost is what the repository is known to have lost of the component.
func (c chosen) lost() []cofre.Finding { return lostOf(c.damage[c.point.ID], c.component) }

func lostOf(damage []cofre.Finding, c cofre.Component) []cofre.Finding {
	return slices.DeleteFunc(slices.Clone(damage), func(f cofre.Finding) bool { return f.Kind != c.Kind || f.Name != c.Name })
}

// others are the components of the same source in other points: those of before first, the newest of them first.
func (c chosen) others() []chosen {
	var older, newer []chosen
	for p := range c.catalog.List(catalog.Want{Installation: c.point.Installation}) {
		for _, comp := range p.Components {
			if p.ID == c.point.ID || comp.Kind != c.component.Kind || comp.Name != c.component.Name {
				continue
			}
			if other := (chosen{p, comp, c.catalog, c.damage}); p.ID < c.point.ID {
				older = append(older, other)
			} else {
				newer = append(newer, other)
			}
		}
	}
	newestFirst := func(a, b chosen) int { return cmp.Compare(b.point.ID, a.point.ID) }
	slices.SortFunc(older, newestFirst)
	slices.SortFunc(newer, newestFirst)
	return append(older, newer...)
}

// holder finds another point that is not known to have lost the rows of a table.
func (c chosen) holder(ctx context.Context, repo reader, schema, table string) (cofre.PointID, logical.TableFacts, bool) {
	for _, o := range c.others() {
		facts, err := databaseFacts(ctx, repo, o.component)
		if err != nil {
			continue // it holds nothing that can be read
		}
		for _, t := range facts.Tables {
			if t.Schema != schema || t.Name != table {
				continue
			}
			path := logical.ArchiveDir + "/" + t.File
			if !slices.ContainsFunc(o.lost(), func(f cofre.Finding) bool { return f.Object == path }) {
				return o.point.ID, t, true
			}
		}
	}
	return "", logical.TableFacts{}, false
}

var plainName = pattern.Lazy(`^[a-z_][a-z0-9_]*$`)

// typed is the name of a table as it is typed into a shell.
func typed(schema, table string) string {
	quoted := func(s string, plain *regexp.Regexp) string {
		if plain.MatchString(s) {
			return s
		}
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return shellQuote(quoted(schema, plainName()) + "." + quoted(table, plainName()))
}

// withoutPassword is a URL that can be printed.
func withoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}
