package logical

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// ArchivedTable is a table of an archive with everything that makes it.
type ArchivedTable struct {
	Schema, Name string
	Whole        bool
	Secured      bool               // row-level security is on, or there are policies
	Tables       []*pgarchive.Entry // the table, then its partitions
	Pre, Post    []*pgarchive.Entry
	Last         []*pgarchive.Entry // what makes it part of another table
	Sets         []*pgarchive.Entry // sequence values
	Data         []*pgarchive.Entry
	Left         []cofre.Message
	Names        [][2]string        // of everything that is made
	Others       []*pgarchive.Entry // what of other objects leads to the table, and went with it by DROP … CASCADE
}

// FindArchived collects a table and its partitions.
//
// Errors: cofre.ErrNotFound; cofre.ErrConfig if the name cannot be read.
func FindArchived(toc *pgarchive.TOC, table string, whole bool) (*ArchivedTable, error) {
	schema, name, err := TableName(table)
	if err != nil {
		return nil, err
	}
	made := MadeTables(toc)
	root, ok := made[[2]string{schema, name}]
	if !ok {
		err := fmt.Errorf("table %s in the point: %w", pgarchive.Quote(schema, name), cofre.ErrNotFound)
		var like []string
		for i := range toc.Entries {
			if e := &toc.Entries[i]; e.Desc == "TABLE" && (strings.EqualFold(e.Tag, name) || e.Tag == table) {
				like = append(like, pgarchive.Quote(e.Namespace, e.Tag))
			}
		}
		if len(like) > 0 {
			return nil, cofre.WithHint(err, cofre.Say("table.similar", "the point has {{.names}}; names are folded to lower case outside double quotes", "names", strings.Join(like, ", ")))
		}
		return nil, cofre.WithHint(err, cofre.Say("table.list", "cofre show --tables lists the tables of a point"))
	}
	a := &ArchivedTable{Schema: schema, Name: name, Whole: whole}
	a.takeRoot(root)
	in := map[int]bool{root.DumpID: true}
	// A partition is attached by an entry that depends on it and on its parent; partitions may have their own.
	var attach []*pgarchive.Entry
	for again := true; again; {
		again = false
		for i := range toc.Entries {
			e := &toc.Entries[i]
			if in[e.DumpID] {
				continue
			}
			if e.Desc == "TABLE" && attaching().MatchString(e.Defn) && slices.ContainsFunc(e.Depends, func(d int) bool { return in[d] }) {
				in[e.DumpID], again = true, true
				a.Tables = append(a.Tables, e)
				continue
			}
			if e.Desc != "TABLE ATTACH" {
				continue
			}
			// The entry stands for the partition: its tag is the partition's name.
			part, ok := made[[2]string{e.Namespace, e.Tag}]
			if !ok || in[part.DumpID] || !slices.ContainsFunc(e.Depends, func(d int) bool { return d != part.DumpID && in[d] }) {
				continue
			}
			in[part.DumpID], in[e.DumpID], again = true, true, true
			a.Tables = append(a.Tables, part)
			attach = append(attach, e)
		}
	}
	a.collect(toc, in, attach)
	if whole {
		a.collectOthers(toc, in)
	}
	return a, nil
}

// attaching is how pg_dump up to 13 makes a table a partition: in the definition of the table. Later ones have an
// entry of its own for it.
var attaching = pattern.Lazy(`(?m)^ALTER TABLE ONLY .* ATTACH PARTITION .*;\n?`)

// takeRoot takes the table itself. One that is a partition is attached last, by itself or not at all.
func (a *ArchivedTable) takeRoot(root *pgarchive.Entry) {
	attach := attaching().FindString(root.Defn)
	if attach == "" {
		a.Tables = []*pgarchive.Entry{root}
		return
	}
	alone, last := *root, *root
	alone.Defn = strings.Replace(root.Defn, attach, "", 1)
	last.Desc, last.Defn = "TABLE ATTACH", attach
	a.Tables = []*pgarchive.Entry{&alone}
	a.takeAttach(&last)
}

// takeAttach takes what makes the table a partition of another. What its parent brings along is made by it, so that it
// comes last.
func (a *ArchivedTable) takeAttach(e *pgarchive.Entry) {
	if a.Whole {
		a.Last = append(a.Last, e)
	} else {
		a.Left = append(a.Left, cofre.Say("table.left_partition", "its place as a partition"))
	}
}

// collect sorts every entry that belongs to the tables into what is made and what is left out.
func (a *ArchivedTable) collect(toc *pgarchive.TOC, in map[int]bool, attach []*pgarchive.Entry) {
	a.Pre = slices.Clone(a.Tables)
	touches := func(e *pgarchive.Entry) bool {
		return slices.ContainsFunc(e.Depends, func(d int) bool { return in[d] })
	}
	// A sequence that a column owns is tied to both by an entry of its own, and may be made before the table.
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if e.Desc == "SEQUENCE OWNED BY" && touches(e) {
			for _, d := range e.Depends {
				if s, ok := toc.Entry(d); ok && s.Desc == "SEQUENCE" && !in[d] {
					in[d] = true
					a.Pre = append(a.Pre, s)
				}
			}
		}
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if in[e.DumpID] || !touches(e) {
			continue
		}
		switch e.Desc {
		case "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT":
			in[e.DumpID] = true
			a.Pre = append(a.Pre, e)
		case "TABLE DATA":
			a.Data = append(a.Data, e)
		case "CONSTRAINT", "INDEX", "CHECK CONSTRAINT", "COMMENT", "STATISTICS":
			in[e.DumpID] = true
			a.Post = append(a.Post, e)
		case "TABLE ATTACH":
			a.takeAttach(e)
		case "FK CONSTRAINT", "TRIGGER", "POLICY", "ROW SECURITY", "ACL", "RULE", "SECURITY LABEL", "PUBLICATION TABLE", "STATISTICS DATA":
			// A foreign key of another table to this one depends on both; its tag begins with its own table.
			if e.Desc == "FK CONSTRAINT" && !a.Owns(e) {
				continue
			}
			a.Secured = a.Secured || e.Desc == "POLICY" || e.Desc == "ROW SECURITY"
			if a.Whole {
				in[e.DumpID] = true
				a.Post = append(a.Post, e)
			} else {
				a.Left = append(a.Left, Named(e.Desc, e.Tag))
			}
		}
	}
	// The archive's order is one in which each finds what it needs: a partition's default its parent's sequence.
	a.Pre = append(a.Pre, attach...)
	at := make(map[int]int, len(toc.Entries))
	for i := range toc.Entries {
		at[toc.Entries[i].DumpID] = i
	}
	slices.SortFunc(a.Pre, func(x, y *pgarchive.Entry) int { return cmp.Compare(at[x.DumpID], at[y.DumpID]) })
	for _, e := range append(slices.Clone(a.Pre), a.Post...) {
		switch e.Desc {
		case "TABLE", "SEQUENCE", "INDEX":
			a.Names = append(a.Names, [2]string{e.Namespace, e.Tag})
		case "CONSTRAINT":
			// The tag is table and constraint; the index has the constraint's name.
			for _, t := range a.Tables {
				if c, ok := strings.CutPrefix(e.Tag, t.Tag+" "); ok {
					a.Names = append(a.Names, [2]string{e.Namespace, c})
				}
			}
		}
	}
	for i := range toc.Entries {
		switch e := &toc.Entries[i]; {
		case e.Desc == "SEQUENCE SET" && touches(e):
			a.Sets = append(a.Sets, e)
		case e.Desc == "INDEX ATTACH" && a.attaches(e):
			a.Post = append(a.Post, e)
		}
	}
	// Grants come last: some of what is made before them is made by the table's owner alone.
	slices.SortStableFunc(a.Post, func(x, y *pgarchive.Entry) int { return cmp.Compare(postRank(x), postRank(y)) })
}

// attaches reports whether both indexes of an INDEX ATTACH are made: that of a partition which is restored alone has no parent's
// to be attached to. What the entry depends on does not tell: that of a key depends on the keys of all tables above, too.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, dumpIndexAttach.
func (a *ArchivedTable) attaches(e *pgarchive.Entry) bool {
	const verb, with = "ALTER INDEX ", " ATTACH PARTITION "
	names, ok := strings.CutPrefix(e.Defn, verb)
	if !ok || !slices.Contains(a.Names, [2]string{e.Namespace, e.Tag}) {
		return false
	}
	for at := 0; ; at++ { // a name may hold the words
		next := strings.Index(names[at:], with)
		if next < 0 {
			return false
		}
		at += next
		if parent, err := pgarchive.ParseName(names[:at]); err == nil && len(parent) == 2 {
			return slices.Contains(a.Names, [2]string{parent[0], parent[1]})
		}
	}
}

func postRank(e *pgarchive.Entry) int {
	switch e.Desc {
	case "INDEX ATTACH":
		return 1
	case "FK CONSTRAINT":
		return 2
	case "TRIGGER", "RULE":
		return 3
	case "ROW SECURITY", "POLICY":
		return 4
	case "COMMENT", "SECURITY LABEL", "PUBLICATION TABLE", "STATISTICS DATA":
		return 5
	case "ACL":
		return 6
	}
	return 0
}

// collectOthers finds what DROP TABLE … CASCADE took along of others: foreign keys that lead to the table, views over
// it and what belongs to these.
func (a *ArchivedTable) collectOthers(toc *pgarchive.TOC, in map[int]bool) {
	follows := map[int]bool{}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if in[e.DumpID] {
			continue
		}
		on := func(set map[int]bool) bool {
			return slices.ContainsFunc(e.Depends, func(d int) bool { return set[d] })
		}
		switch e.Desc {
		case "FK CONSTRAINT":
			if on(in) {
				a.Others = append(a.Others, e)
			}
		case "VIEW", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE":
			if on(in) || on(follows) {
				follows[e.DumpID] = true
				a.Others = append(a.Others, e)
			}
		case "ACL", "COMMENT", "RULE", "TRIGGER", "INDEX", "SECURITY LABEL", "MATERIALIZED VIEW DATA", "STATISTICS", "DEFAULT":
			if on(follows) {
				a.Others = append(a.Others, e)
			}
		}
	}
}

// Owns reports whether a constraint or trigger is one of these tables, and not one that leads to them.
func (a *ArchivedTable) Owns(e *pgarchive.Entry) bool {
	return slices.ContainsFunc(a.Tables, func(t *pgarchive.Entry) bool {
		return e.Namespace == t.Namespace && strings.HasPrefix(e.Tag, t.Tag+" ")
	})
}
