// Package difference says what changed from one recovery point to another, by what was recorded with them: of files and objects no
// bytes are read, and of tables no rows. It chooses no points and shows nothing.
package difference

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical"
)

// Change is one thing that differs between two points.
type Change struct {
	Component string `json:"component"`        // database trustlayer
	What      string `json:"what"`             // table, sequence, policy, file, …
	Object    string `json:"object"`           // public.answers
	Change    string `json:"change"`           // added, removed, changed, not compared
	Detail    string `json:"detail,omitempty"` // rows 10 -> 12
	Before    string `json:"before,omitempty"` // of a definition: SQL, or a version
	After     string `json:"after,omitempty"`

	Messages cofre.Messages `json:"messages,omitempty"` // of What, Change and Detail
}

// newChange is a change with its messages.
func newChange(what cofre.Message, object, change string, detail cofre.Message) Change {
	c := Change{What: what.Text, Object: object, Change: change, Detail: detail.Text}
	for _, m := range []cofre.Message{what, changed(change), detail} {
		if m.Code != "" {
			c.Messages = append(c.Messages, m)
		}
	}
	return c
}

func changed(change string) cofre.Message {
	switch change {
	case "added":
		return cofre.Say("difference.added", "added")
	case "removed":
		return cofre.Say("difference.removed", "removed")
	case "changed":
		return cofre.Say("difference.changed", "changed")
	case string(logical.Unknown):
		return cofre.Say("difference.not_compared", "not compared")
	}
	return cofre.Verbatim(change)
}

// trees is the part of a repository that is read.
type trees interface {
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
}

// Between lists what changed from one recovery point to another, by component in the order of cofre.Kinds.
//
// Errors: those of the repository; cofre.ErrCorrupt if what was recorded cannot be read.
func Between(ctx context.Context, repo trees, from, to cofre.RecoveryPoint) ([]Change, error) {
	changes := []Change{}
	for _, id := range componentsOf(from, to) {
		found, err := changesOf(ctx, repo, id, from, to)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			f.Component = fmt.Sprintf("%s %s", id.kind, id.name)
			changes = append(changes, f)
		}
	}
	return changes, nil
}

func changesOf(ctx context.Context, repo trees, id componentID, from, to cofre.RecoveryPoint) ([]Change, error) {
	was, hadIt := from.Component(id.kind, id.name)
	is, hasIt := to.Component(id.kind, id.name)
	whole, object := cofre.Say("difference.component", "component"), fmt.Sprintf("%s %s", id.kind, id.name)
	switch {
	case !hadIt:
		return []Change{newChange(whole, object, "added", cofre.Verbatim(words.Size(is.Bytes)))}, nil
	case !hasIt:
		return []Change{newChange(whole, object, "removed", cofre.Verbatim(words.Size(was.Bytes)))}, nil
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

func componentChanges(ctx context.Context, repo trees, was, is cofre.Component) ([]Change, error) {
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
	case cofre.KindStorage:
		return storageChanges(ctx, before, after)
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
		detail := cofre.Say("difference.row_count", "rows {{.before}} -> {{.after}} ({{.by}})", "before", words.Count(t.RowsA), "after", words.Count(t.RowsB), "by", fmt.Sprintf("%+d", t.RowsB-t.RowsA))
		if t.Change == logical.Changed && t.RowsA == t.RowsB {
			detail = cofre.SayN("difference.same_count", int(t.RowsA), "content, still 1 row", "content, still {{.n}} rows")
		}
		if t.Change == logical.Unknown {
			detail = cofre.SayN("difference.unknown", int(t.RowsA), "1 row and as many bytes as before; its sums are not of one key", "{{.n}} rows and as many bytes as before; their sums are not of one key")
		}
		changes = append(changes, newChange(cofre.Say("difference.rows", "rows"), t.Table, string(t.Change), detail))
	}
	for _, o := range append(d.Objects, d.Names...) {
		detail := ""
		// Definitions of several lines are in --json; a version or a short one fits here.
		if len(o.A)+len(o.B) < 100 && o.A != "" && o.B != "" && !strings.ContainsAny(o.A+o.B, "\n") {
			detail = o.A + " -> " + o.B
		}
		c := newChange(cofre.Verbatim(o.Type), o.Name, string(o.Change), cofre.Verbatim(detail))
		c.Before, c.After = o.A, o.B
		changes = append(changes, c)
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
	return compare(aFile(), was, is, func(f files.Fact) string { return string(f.Path) }, fileChange), nil
}

func fileChange(x, y files.Fact) cofre.Message {
	var all cofre.Message
	if x.Parent && y.Parent {
		return all
	}
	add := func(differs bool, m cofre.Message) {
		if differs {
			all = cofre.List(all, m)
		}
	}
	add(x.Type != y.Type, cofre.Verbatim(arrow(x.Type, y.Type)))
	add(x.Link != y.Link, cofre.Say("difference.link", "link {{.change}}", "change", arrow(string(x.Link), string(y.Link))))
	add(x.Mode != y.Mode, cofre.Say("difference.mode", "mode {{.change}}", "change", arrow(x.Mode.String(), y.Mode.String())))
	add(ownerOf(x) != ownerOf(y), cofre.Say("difference.owner", "owner {{.change}}", "change", arrow(ownerOf(x), ownerOf(y))))
	add(x.SHA256 != y.SHA256, cofre.Say("difference.content", "content {{.change}}", "change", arrow(words.Size(x.Size), words.Size(y.Size))))
	return all
}

// ownerOf is who owns a file: names, or numbers without one.
func ownerOf(f files.Fact) string {
	return cmp.Or(f.User, fmt.Sprint(f.UID)) + ":" + cmp.Or(f.Group, fmt.Sprint(f.GID))
}

func arrow(x, y string) string { return x + " -> " + y }

func aFile() cofre.Message { return cofre.Say("difference.file", "file") }

// compare finds what was added, removed or changed between two lists of named things. differ describes a change,
// and returns nothing if there is none.
func compare[T any](what cofre.Message, before, after []T, key func(T) string, differ func(x, y T) cofre.Message) []Change {
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
			changes = append(changes, newChange(what, k, "removed", cofre.Message{}))
		} else if d := differ(was[k], y); !d.IsZero() {
			changes = append(changes, newChange(what, k, "changed", d))
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(is), cmp.Compare[string]) {
		if _, had := was[k]; !had {
			changes = append(changes, newChange(what, k, "added", cofre.Message{}))
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
	found := compare(aFile(), was, is, func(e cofre.Entry) string { return e.Path }, entryChange)
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

func entryChange(x, y cofre.Entry) cofre.Message {
	switch {
	case x.Mode.Type() != y.Mode.Type():
		return cofre.Verbatim(fmt.Sprintf("%s -> %s", x.Mode, y.Mode))
	case x.IsDir():
		return cofre.Message{}
	case x.Object != y.Object || x.Link != y.Link:
		return cofre.Verbatim(arrow(words.Size(x.Size), words.Size(y.Size)))
	case x.Mode != y.Mode:
		return cofre.Verbatim(fmt.Sprintf("%s -> %s", x.Mode, y.Mode))
	case x.UID != y.UID || x.GID != y.GID:
		return cofre.Say("difference.owner", "owner {{.change}}", "change", fmt.Sprintf("%d:%d -> %d:%d", x.UID, x.GID, y.UID, y.GID))
	}
	return cofre.Message{}
}
