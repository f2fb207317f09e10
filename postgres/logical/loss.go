package logical

import (
	"context"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// LossOptions say what the repository is known to have lost of a component, and what is done about it.
type LossOptions struct {
	// Known are findings whose Object is a path in the component.
	Known []cofre.Finding
	// Without goes on with everything else: of tables the rows that can be read, large objects that are lost empty. What is lost is named.
	Without bool
	// Command is the one that goes on with everything else, for the hint of what is refused; empty if there is none.
	Command string
	// Export is the command that writes what can be read as an archive for pg_restore, for the hint if the facts are lost.
	Export string
	// Elsewhere returns the command that brings the rows of a table, written as in Facts, from another point; empty if
	// no point is known to hold them.
	Elsewhere func(ctx context.Context, schema, table string) string
}

// Of are the paths that are known to be lost of what some entries need, and of others by name.
func (o LossOptions) Of(c *Component, entries []*pgarchive.Entry, others ...string) []string {
	facts, needs, objects := c.TableFacts(), map[string]bool{}, false
	for _, name := range others {
		needs[name] = true
	}
	for _, e := range entries {
		objects = objects || e.Desc == "BLOBS"
		if e.HasData && e.Desc != "BLOBS" {
			needs[ArchiveDir+"/"+DataFile(c.TOC, e, facts[e.DumpID])] = true
		}
	}
	var paths []string
	for _, f := range o.Known {
		if needs[f.Object] || objects && strings.HasPrefix(f.Object, ArchiveDir+"/blob") {
			paths = append(paths, f.Object)
		}
	}
	return paths
}

// Refuses says that paths are lost which are not to be left out, and what can be done; zero messages if nothing is refused.
func (o LossOptions) Refuses(ctx context.Context, c *Component, paths []string) (what, hint cofre.Message) {
	if len(paths) == 0 || o.Without {
		return what, hint
	}
	var names []cofre.Message
	elsewhere := ""
	for _, p := range paths {
		name := LostPath(p)
		for _, f := range c.Facts.Tables {
			if p == ArchiveDir+"/"+f.File {
				name = LostOf(f.Rows, pgarchive.Quote(f.Schema, f.Name))
				if elsewhere == "" && o.Elsewhere != nil {
					elsewhere = o.Elsewhere(ctx, f.Schema, f.Name)
				}
			}
		}
		names = append(names, name)
	}
	what = cofre.Say("loss.lost", "the repository has lost {{.what}}", "what", cofre.List(names...))
	if elsewhere != "" {
		return what, cofre.Say("loss.elsewhere", "from the newest other point that has them: {{.other}}; or what can be read of this one, with what is lost named: {{.command}}", "other", elsewhere, "command", o.Command)
	}
	return what, cofre.Say("loss.readable", "no other point is known to hold them; what can be read of this one, with what is lost named: {{.command}}", "command", o.Command)
}

// Leave gives a component as it can be read without what is lost of paths, and names that; as it is if nothing is.
//
// Errors: cofre.ErrPreflight with a hint if something is lost and not to be left out; those of Readable.
func (o LossOptions) Leave(ctx context.Context, tree cofre.Tree, c *Component, paths []string) (cofre.Tree, []cofre.Message, error) {
	if what, hint := o.Refuses(ctx, c, paths); !what.IsZero() {
		return nil, nil, cofre.WithHint(cofre.Fail(what, cofre.ErrPreflight), hint)
	}
	var named []cofre.Message
	if unrecorded(tree) {
		named = append(named, LostPath(FactsFile))
	}
	if len(paths) == 0 {
		return tree, named, nil
	}
	tree, rows, err := Readable(ctx, tree, c, paths)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range rows {
		named = append(named, LostWhere(pgarchive.Quote(l.Captured.Schema, l.Captured.Name), l.Message()))
	}
	for _, p := range paths {
		if !strings.HasPrefix(p, ArchiveDir+"/") || strings.HasPrefix(p, ArchiveDir+"/blob") {
			named = append(named, LostPath(p))
		}
	}
	return tree, named, nil
}

// Open opens a component, also one whose facts are lost if what is lost is to be left out, and returns it as it can be read.
//
// Errors: as of OpenComponent; with a hint if the facts are lost.
func (o LossOptions) Open(ctx context.Context, tree cofre.Tree) (cofre.Tree, Component, error) {
	if o.Without {
		var err error
		if tree, err = WithoutFacts(ctx, tree); err != nil {
			return nil, Component{}, err
		}
	}
	c, err := OpenComponent(ctx, tree)
	if IsLost(err) && o.Command != "" && !o.Without {
		if _, facts := ReadFacts(ctx, tree); IsLost(facts) {
			err = cofre.WithHint(err, cofre.Say("loss.facts", "what can be read, with what is lost named: {{.command}}", "command", o.Command))
		}
	}
	return tree, c, err
}

// LostPath is what people call a path that holds no rows.
func LostPath(path string) cofre.Message {
	if oid, one := strings.CutPrefix(path, ArchiveDir+"/blob_"); one {
		return cofre.Say("database.lost_object", "large object {{.oid}}", "oid", strings.TrimSuffix(oid, ".dat"))
	}
	if list, of := strings.CutPrefix(path, ArchiveDir+"/"); of && strings.HasPrefix(list, "blobs") {
		return cofre.Say("database.lost_objects", "large objects of {{.list}}", "list", list)
	}
	switch path {
	case FactsFile:
		return cofre.Say("database.lost_facts", "what was recorded at the capture, with which rows are compared")
	case FingerprintFile:
		return cofre.Say("database.lost_catalogs", "what the catalogs said of each object")
	case GlobalsFile:
		return cofre.Say("database.lost_roles", "roles and memberships")
	}
	return cofre.Verbatim(path)
}

// LostOf names rows of which nobody has looked yet how many can be read.
func LostOf(rows int64, table string) cofre.Message {
	return cofre.SayN("database.lost_rows", int(rows), "the 1 row of {{.table}}", "some or all of the {{.n}} rows of {{.table}}", "table", table)
}

// LostWhere names rows of which where says which ones are lost.
func LostWhere(table string, where cofre.Message) cofre.Message {
	return cofre.Say("database.lost_where", "rows of {{.table}}, {{.where}}", "table", table, "where", where)
}

// LargeObjectOf names what a path in a component holds of large objects; empty if it is none.
func LargeObjectOf(path string) string {
	if oid, one := strings.CutPrefix(path, ArchiveDir+"/blob_"); one {
		return "large object " + strings.TrimSuffix(oid, ".dat")
	}
	if strings.HasPrefix(path, ArchiveDir+"/blobs") {
		return "list of large objects"
	}
	return ""
}
