package export

import (
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// loadOrder puts the entries of rows in an order in which they load if the foreign keys are there already: a
// table comes after those that it refers to. Tables that refer to one another in a circle have no such order; they
// come as they are in the archive, and circle is true.
func loadOrder(toc *pgarchive.TOC, entries []*pgarchive.Entry) (ordered []*pgarchive.Entry, circle bool) {
	g := references(toc)
	rows := map[int][]*pgarchive.Entry{} // by the table or its root
	for _, e := range entries {
		root := g.rootOf(e)
		rows[root] = append(rows[root], e)
	}
	const begun, done = 1, 2
	state := map[int]int{}
	var visit func(table int)
	visit = func(table int) {
		state[table] = begun
		for _, to := range g.refers[table] {
			switch {
			case to == table: // COPY looks at foreign keys when it has all rows
			case state[to] == begun:
				circle = true
			case state[to] == 0:
				visit(to)
			}
		}
		state[table] = done
		ordered = append(ordered, rows[table]...)
	}
	for _, e := range entries {
		if root := g.rootOf(e); state[root] == 0 {
			visit(root)
		}
	}
	return ordered, circle
}

// graph is which table refers to which, by the dump ids of the entries that make them; partitions are their root's.
type graph struct {
	tables map[[2]string]int
	root   map[int]int
	refers map[int][]int
}

func references(toc *pgarchive.TOC) graph {
	g := graph{map[[2]string]int{}, map[int]int{}, map[int][]int{}}
	byID := map[int]*pgarchive.Entry{}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		byID[e.DumpID] = e
		if e.Desc == "TABLE" {
			g.tables[[2]string{e.Namespace, e.Tag}] = e.DumpID
		}
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if e.Desc != "TABLE ATTACH" {
			continue
		}
		child := g.tables[[2]string{e.Namespace, e.Tag}]
		for _, d := range e.Depends {
			if t := byID[d]; t != nil && t.Desc == "TABLE" && d != child {
				g.root[child] = d
			}
		}
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if e.Desc != "FK CONSTRAINT" {
			continue
		}
		from := 0
		var to []int
		for _, d := range e.Depends {
			for _, table := range tablesOf(byID, d) {
				if t := byID[table]; t.Namespace == e.Namespace && strings.HasPrefix(e.Tag, t.Tag+" ") && byID[d].Desc == "TABLE" {
					from = g.top(table)
				} else {
					to = append(to, g.top(table))
				}
			}
		}
		if from != 0 {
			g.refers[from] = append(g.refers[from], to...)
		}
	}
	return g
}

// tablesOf are the tables that an entry is, or stands on: a foreign key depends on the key that it refers to.
func tablesOf(byID map[int]*pgarchive.Entry, id int) []int {
	e := byID[id]
	switch {
	case e == nil:
		return nil
	case e.Desc == "TABLE":
		return []int{id}
	case e.Desc != "CONSTRAINT" && e.Desc != "INDEX":
		return nil
	}
	return slices.DeleteFunc(slices.Clone(e.Depends), func(d int) bool { return byID[d] == nil || byID[d].Desc != "TABLE" })
}

func (g graph) top(table int) int {
	for range len(g.root) {
		up, ok := g.root[table]
		if !ok {
			break
		}
		table = up
	}
	return table
}

// rootOf is the table that an entry of rows belongs to, or a number of its own if the archive does not make it.
func (g graph) rootOf(e *pgarchive.Entry) int {
	if table, ok := g.tables[[2]string{e.Namespace, e.Tag}]; ok {
		return g.top(table)
	}
	return -e.DumpID
}
