package installation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical"
)

// Change is one thing that differs between two points.
type Change struct {
	Component string `json:"component"`        // database trustlayer
	What      string `json:"what"`             // table, sequence, policy, file, …
	Object    string `json:"object"`           // public.answers
	Change    string `json:"change"`           // added, removed, changed
	Detail    string `json:"detail,omitempty"` // rows 10 -> 12
	Before    string `json:"before,omitempty"` // of a definition: SQL, or a version
	After     string `json:"after,omitempty"`
}

// Difference is what changed from one point to another.
type Difference struct {
	From, To cofre.RecoveryPoint
	Changes  []Change // by component, in the order of cofre.Kinds
}

// Difference says what changed from one recovery point to another, by what was recorded with them: of files and objects no
// bytes are read, and of tables no rows. A point is given by its id, an unambiguous prefix of one, or latest.
//
// Errors: cofre.ErrNotFound and cofre.ErrAmbiguous for a point; those of the repository.
func (in *Installation) Difference(ctx context.Context, from, to string) (*Difference, error) {
	repo, cat, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	d := &Difference{Changes: []Change{}}
	if d.From, err = cat.Find(from, catalog.Want{Installation: in.cfg.Name}); err != nil {
		return nil, err
	}
	if d.To, err = cat.Find(to, catalog.Want{Installation: in.cfg.Name}); err != nil {
		return nil, err
	}
	for _, id := range componentsOf(d.From, d.To) {
		found, err := changesOf(ctx, repo, id, d.From, d.To)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			f.Component = fmt.Sprintf("%s %s", id.kind, id.name)
			d.Changes = append(d.Changes, f)
		}
	}
	return d, nil
}

func changesOf(ctx context.Context, repo reader, id componentID, from, to cofre.RecoveryPoint) ([]Change, error) {
	was, hadIt := from.Component(id.kind, id.name)
	is, hasIt := to.Component(id.kind, id.name)
	whole := Change{What: "component", Object: fmt.Sprintf("%s %s", id.kind, id.name)}
	switch {
	case !hadIt:
		whole.Change, whole.Detail = "added", words.Size(is.Bytes)
		return []Change{whole}, nil
	case !hasIt:
		whole.Change, whole.Detail = "removed", words.Size(was.Bytes)
		return []Change{whole}, nil
	case was.Root == is.Root:
		return nil, nil
	}
	return componentChanges(ctx, repo, was, is)
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

func componentChanges(ctx context.Context, repo reader, was, is cofre.Component) ([]Change, error) {
	before, err := repo.Tree(ctx, was.Root)
	if err != nil {
		return nil, err
	}
	after, err := repo.Tree(ctx, is.Root)
	if err != nil {
		return nil, err
	}
	switch was.Kind {
	case cofre.KindDatabase:
		return databaseChanges(ctx, before, after)
	case cofre.KindConfig:
		return configChanges(ctx, before, after)
	}
	var changes []Change
	err = treeChanges(ctx, before, after, "", &changes)
	return changes, err
}

// databaseChanges compares two dumps by what was recorded: no rows are read.
func databaseChanges(ctx context.Context, before, after cofre.Tree) ([]Change, error) {
	d, err := logical.Diff(ctx, before, after)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, t := range d.Tables {
		detail := fmt.Sprintf("rows %s -> %s (%+d)", words.Count(t.RowsA), words.Count(t.RowsB), t.RowsB-t.RowsA)
		if t.Change == logical.Changed && t.RowsA == t.RowsB {
			detail = fmt.Sprintf("content, with the same %s rows", words.Count(t.RowsA))
		}
		changes = append(changes, Change{What: "rows", Object: t.Table, Change: string(t.Change), Detail: detail})
	}
	for _, o := range append(d.Objects, d.Names...) {
		detail := ""
		// Definitions of several lines are in --json; a version or a short one fits here.
		if len(o.A)+len(o.B) < 100 && o.A != "" && o.B != "" && !strings.ContainsAny(o.A+o.B, "\n") {
			detail = o.A + " -> " + o.B
		}
		changes = append(changes, Change{What: o.Type, Object: o.Name, Change: string(o.Change), Detail: detail, Before: o.A, After: o.B})
	}
	return changes, nil
}

func configChanges(ctx context.Context, before, after cofre.Tree) ([]Change, error) {
	was, err := files.List(ctx, before)
	if err != nil {
		return nil, err
	}
	is, err := files.List(ctx, after)
	if err != nil {
		return nil, err
	}
	return compare("file", was, is, func(f files.Fact) string { return string(f.Path) }, fileChange), nil
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
	add("owner", arrow(ownerOf(x), ownerOf(y)))
	if x.SHA256 != y.SHA256 {
		add("content", words.Size(x.Size)+" -> "+words.Size(y.Size))
	}
	return strings.Join(s, "; ")
}

// ownerOf is who owns a file: names, or numbers without one.
func ownerOf(f files.Fact) string {
	return cmp.Or(f.User, fmt.Sprint(f.UID)) + ":" + cmp.Or(f.Group, fmt.Sprint(f.GID))
}

func arrow(x, y string) string {
	if x == y {
		return ""
	}
	return x + " -> " + y
}

// compare finds what was added, removed or changed between two lists of named things. differ describes a change,
// and returns "" if there is none.
func compare[T any](what string, before, after []T, key func(T) string, differ func(x, y T) string) []Change {
	var changes []Change
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
			changes = append(changes, Change{What: what, Object: k, Change: "removed"})
		} else if d := differ(was[k], y); d != "" {
			changes = append(changes, Change{What: what, Object: k, Change: "changed", Detail: d})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(is), cmp.Compare[string]) {
		if _, had := was[k]; !had {
			changes = append(changes, Change{What: what, Object: k, Change: "added"})
		}
	}
	return changes
}

// treeChanges compares two trees by their objects: equal objects are never read, nor listed if they are folders.
func treeChanges(ctx context.Context, before, after cofre.Tree, dir string, changes *[]Change) error {
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
			return fmt.Sprintf("%s -> %s", words.Size(x.Size), words.Size(y.Size))
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
