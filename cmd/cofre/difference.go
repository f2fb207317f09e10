package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/postgres/logical"
)

// change is one thing that differs between two points.
type change struct {
	Component string `json:"component"`        // database trustlayer
	What      string `json:"what"`             // table, sequence, policy, file, …
	Object    string `json:"object"`           // public.answers
	Change    string `json:"change"`           // added, removed, changed
	Detail    string `json:"detail,omitempty"` // rows 10 -> 12
}

// difference shows what changed from one point to another.
func (c *showCommand) difference(ctx context.Context, a *app, repo reader, from, to cofre.RecoveryPoint) error {
	changes := []change{}
	for _, id := range componentsOf(from, to) {
		was, hadIt := from.Component(id.kind, id.name)
		is, hasIt := to.Component(id.kind, id.name)
		name := fmt.Sprintf("%s %s", id.kind, id.name)
		switch {
		case !hadIt:
			changes = append(changes, change{name, "component", name, "added", size(is.Bytes)})
		case !hasIt:
			changes = append(changes, change{name, "component", name, "removed", size(was.Bytes)})
		case was.Root == is.Root:
		default:
			found, err := componentChanges(ctx, repo, was, is)
			if err != nil {
				return err
			}
			for _, f := range found {
				f.Component = name
				changes = append(changes, f)
			}
		}
	}
	if a.json {
		return a.document(struct {
			From    cofre.PointID `json:"from"`
			To      cofre.PointID `json:"to"`
			Changes []change      `json:"changes"`
		}{from.ID, to.ID, changes})
	}
	fmt.Fprintf(a.Out, "from %s  %s\nto   %s  %s\n\n", from.ID, clocks(from.StartedAt), to.ID, clocks(to.StartedAt))
	if len(changes) == 0 {
		fmt.Fprintln(a.Out, "nothing changed")
		return nil
	}
	var rows [][]string
	for _, ch := range changes {
		rows = append(rows, []string{ch.Component, ch.Change, ch.What, ch.Object, ch.Detail})
	}
	columns(a.Out, []string{"COMPONENT", "CHANGE", "WHAT", "OBJECT", "DETAIL"}, rows)
	return nil
}

type componentID struct {
	kind cofre.Kind
	name string
}

func componentsOf(points ...cofre.RecoveryPoint) []componentID {
	var ids []componentID
	for _, p := range points {
		for _, c := range p.Components {
			if id := (componentID{c.Kind, c.Name}); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortStableFunc(ids, func(x, y componentID) int {
		return slices.Index(cofre.Kinds(), x.kind) - slices.Index(cofre.Kinds(), y.kind)
	})
	return ids
}

func componentChanges(ctx context.Context, repo reader, was, is cofre.Component) ([]change, error) {
	if was.Kind == cofre.KindDatabase {
		before, err := databaseFacts(ctx, repo, was)
		if err != nil {
			return nil, err
		}
		after, err := databaseFacts(ctx, repo, is)
		if err != nil {
			return nil, err
		}
		return databaseChanges(before, after), nil
	}
	if was.Kind == cofre.KindConfig {
		before, err := configFacts(ctx, repo, was)
		if err != nil {
			return nil, err
		}
		after, err := configFacts(ctx, repo, is)
		if err != nil {
			return nil, err
		}
		return compare("file", before, after, func(f files.Fact) string { return string(f.Path) }, fileChange), nil
	}
	before, err := repo.Tree(ctx, was.Root)
	if err != nil {
		return nil, err
	}
	after, err := repo.Tree(ctx, is.Root)
	if err != nil {
		return nil, err
	}
	var changes []change
	err = treeChanges(ctx, before, after, "", &changes)
	return changes, err
}

// databaseChanges compares what was recorded in two dumps of one database.
func databaseChanges(before, after *logical.Facts) []change {
	var changes []change
	changes = append(changes, compare("table", before.Tables, after.Tables,
		func(t logical.TableFacts) string { return t.Schema + "." + t.Name }, tableChange)...)
	changes = append(changes, compare("sequence", before.Sequences, after.Sequences,
		func(s logical.SequenceFacts) string { return s.Schema + "." + s.Name },
		func(x, y logical.SequenceFacts) string {
			if x == y {
				return ""
			}
			return fmt.Sprintf("%d -> %d", x.LastValue, y.LastValue)
		})...)
	changes = append(changes, compare("extension", before.Extensions, after.Extensions,
		func(e logical.ExtensionFacts) string { return e.Name },
		func(x, y logical.ExtensionFacts) string { return arrow(x.Version, y.Version) })...)
	changes = append(changes, compare("role", before.Roles, after.Roles,
		func(r string) string { return r }, func(string, string) string { return "" })...)
	changes = append(changes, compare("policy", before.Policies, after.Policies,
		func(p logical.PolicyFacts) string { return p.Schema + "." + p.Table + " " + p.Name },
		func(x, y logical.PolicyFacts) string {
			if sameJSON(x, y) {
				return ""
			}
			return arrow(strings.TrimSpace(x.Command+" "+x.Using+" "+x.Check), strings.TrimSpace(y.Command+" "+y.Using+" "+y.Check))
		})...)
	changes = append(changes, compare("grants", before.Grants, after.Grants,
		func(g logical.GrantFacts) string { return g.Type + " " + g.Object },
		func(x, y logical.GrantFacts) string {
			if sameJSON(x, y) {
				return ""
			}
			return arrow(x.Owner+" "+strings.Join(x.ACL, " "), y.Owner+" "+strings.Join(y.ACL, " "))
		})...)
	return changes
}

func tableChange(x, y logical.TableFacts) string {
	var s []string
	if !slices.Equal(x.Columns, y.Columns) {
		s = append(s, "columns "+arrow(strings.Join(x.Columns, ","), strings.Join(y.Columns, ",")))
	}
	switch {
	case x.Rows != y.Rows:
		s = append(s, fmt.Sprintf("rows %s (%+d)", arrow(count(x.Rows), count(y.Rows)), y.Rows-x.Rows))
	case x.Checksum != y.Checksum:
		s = append(s, fmt.Sprintf("content, with the same %s rows", count(x.Rows)))
	}
	return strings.Join(s, "; ")
}

func fileChange(x, y files.Fact) string {
	if x.Parent && y.Parent {
		return ""
	}
	var s []string
	add := func(what, detail string) {
		if detail != "" {
			s = append(s, strings.TrimSpace(what+" "+detail))
		}
	}
	add("", arrow(x.Type, y.Type))
	add("link", arrow(string(x.Link), string(y.Link)))
	add("mode", arrow(x.Mode.String(), y.Mode.String()))
	add("owner", arrow(owner(x.User, x.UID)+":"+owner(x.Group, x.GID), owner(y.User, y.UID)+":"+owner(y.Group, y.GID)))
	if x.SHA256 != y.SHA256 {
		add("content", size(x.Size)+" -> "+size(y.Size))
	}
	return strings.Join(s, "; ")
}

func arrow(x, y string) string {
	if x == y {
		return ""
	}
	return x + " -> " + y
}

// compare finds what was added, removed or changed between two lists of named things. differ describes a change,
// and returns "" where there is none.
func compare[T any](what string, before, after []T, key func(T) string, differ func(x, y T) string) []change {
	var changes []change
	was := map[string]T{}
	for _, x := range before {
		was[key(x)] = x
	}
	is := map[string]T{}
	for _, y := range after {
		is[key(y)] = y
	}
	for _, k := range slices.SortedFunc(maps.Keys(was), cmp.Compare[string]) {
		if y, still := is[k]; !still {
			changes = append(changes, change{What: what, Object: k, Change: "removed"})
		} else if d := differ(was[k], y); d != "" {
			changes = append(changes, change{What: what, Object: k, Change: "changed", Detail: d})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(is), cmp.Compare[string]) {
		if _, had := was[k]; !had {
			changes = append(changes, change{What: what, Object: k, Change: "added"})
		}
	}
	return changes
}

// treeChanges compares two trees by their objects: equal objects are never read, nor listed where they are folders.
func treeChanges(ctx context.Context, before, after cofre.Tree, dir string, changes *[]change) error {
	was, err := entries(ctx, before, dir)
	if err != nil {
		return err
	}
	is, err := entries(ctx, after, dir)
	if err != nil {
		return err
	}
	found := compare("file", was, is, func(e cofre.Entry) string { return e.Path }, func(x, y cofre.Entry) string {
		switch {
		case x.Mode.Type() != y.Mode.Type():
			return fmt.Sprintf("%s -> %s", x.Mode, y.Mode)
		case x.IsDir():
			return ""
		case x.Object != y.Object || x.Link != y.Link:
			return fmt.Sprintf("%s -> %s", size(x.Size), size(y.Size))
		case x.Mode != y.Mode:
			return fmt.Sprintf("%s -> %s", x.Mode, y.Mode)
		case x.UID != y.UID || x.GID != y.GID:
			return fmt.Sprintf("owner %d:%d -> %d:%d", x.UID, x.GID, y.UID, y.GID)
		}
		return ""
	})
	*changes = append(*changes, found...)
	now := map[string]cofre.Entry{}
	for _, y := range is {
		now[y.Path] = y
	}
	for _, x := range was {
		y, still := now[x.Path]
		if !still || !x.IsDir() || !y.IsDir() || (x.Object == y.Object && x.Object != "") {
			continue
		}
		if err := treeChanges(ctx, before, after, x.Path, changes); err != nil {
			return err
		}
	}
	return nil
}

func entries(ctx context.Context, t cofre.Tree, dir string) ([]cofre.Entry, error) {
	var list []cofre.Entry
	for e, err := range t.List(ctx, dir) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

func sameJSON(x, y any) bool {
	a, err1 := json.Marshal(x)
	b, err2 := json.Marshal(y)
	return err1 == nil && err2 == nil && string(a) == string(b)
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// spaced makes a word of JSON a word for people.
func spaced(key string) string { return strings.ReplaceAll(key, "_", " ") }
