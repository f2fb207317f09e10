package logical

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// ChangeKind says what happened to an object between two points.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
	// Unknown is as many rows and bytes, whose sums are not of one key.
	Unknown ChangeKind = "not compared"
)

// Difference is what changed in a database between two points.
type Difference struct {
	Tables  []TableChange  `json:"tables,omitempty"`
	Objects []ObjectChange `json:"objects,omitempty"` // definitions, by kind and name
	Names   []ObjectChange `json:"names,omitempty"`   // roles and extensions
}

// Empty reports whether nothing changed.
func (d *Difference) Empty() bool { return len(d.Tables)+len(d.Objects)+len(d.Names) == 0 }

// TableChange is a change of a table's rows.
type TableChange struct {
	Table  string     `json:"table"` // quoted
	Change ChangeKind `json:"change"`
	RowsA  int64      `json:"rows_a"`
	RowsB  int64      `json:"rows_b"`
	BytesA int64      `json:"bytes_a"`
	BytesB int64      `json:"bytes_b"`
}

// ObjectChange is a change of a definition.
type ObjectChange struct {
	Type   string     `json:"type"` // table, index, policy, role, extension, …
	Name   string     `json:"name"`
	Change ChangeKind `json:"change"`
	A      string     `json:"a,omitempty"` // SQL, or a version
	B      string     `json:"b,omitempty"`
}

// Diff compares two database components without reading any rows: counts and checksums were recorded, and the
// definitions are in the tables of contents.
//
// Errors: of openComponent: cofre.ErrNotFound, cofre.ErrCorrupt.
func Diff(ctx context.Context, a, b cofre.Tree) (*Difference, error) {
	ca, err := OpenComponent(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("compare points: %w", err)
	}
	cb, err := OpenComponent(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("compare points: %w", err)
	}
	d := &Difference{Tables: diffTables(ca.Facts.Tables, cb.Facts.Tables), Objects: diffObjects(definitions(ca.TOC), definitions(cb.TOC))}
	names := func(c *Component) map[[2]string]string {
		m := map[[2]string]string{}
		for _, r := range c.Facts.Roles {
			m[[2]string{"role", r}] = ""
		}
		for _, e := range c.Facts.Extensions {
			m[[2]string{"extension", e.Name}] = e.Version
		}
		return m
	}
	d.Names = diffObjects(names(&ca), names(&cb))
	return d, nil
}

func diffTables(a, b []TableFacts) []TableChange {
	key := func(t TableFacts) string { return pgarchive.Quote(t.Schema, t.Name) }
	before := map[string]TableFacts{}
	for _, t := range a {
		before[key(t)] = t
	}
	var changes []TableChange
	for _, t := range b {
		old, ok := before[key(t)]
		delete(before, key(t))
		c := TableChange{Table: key(t), Change: Changed, RowsA: old.Rows, RowsB: t.Rows, BytesA: old.Bytes, BytesB: t.Bytes}
		switch {
		case !ok:
			c.Change = Added
		case old.Rows == t.Rows && (t.Rows == 0 || old.RowSum == t.RowSum && !t.RowSum.IsZero()):
			continue
		case old.Rows == t.Rows && old.Bytes == t.Bytes && !old.Comparable(t.RowSum):
			c.Change = Unknown
		}
		changes = append(changes, c)
	}
	for k, t := range before {
		changes = append(changes, TableChange{Table: k, Change: Removed, RowsA: t.Rows, BytesA: t.Bytes})
	}
	slices.SortFunc(changes, func(a, b TableChange) int { return cmp.Compare(a.Table, b.Table) })
	return changes
}

// definitions collects the SQL of every object by kind and name. Rows and sequence values are not definitions.
func definitions(toc *pgarchive.TOC) map[[2]string]string {
	m := map[[2]string]string{}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		switch e.Desc {
		case "TABLE DATA", "SEQUENCE SET", "BLOBS", "BLOB", "BLOB METADATA", "MATERIALIZED VIEW DATA", "ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES":
			continue
		}
		name := e.Tag
		if e.Namespace != "" {
			name = pgarchive.Quote(e.Namespace) + "." + e.Tag
			switch e.Desc {
			case "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "INDEX", "TYPE", "DOMAIN", "STATISTICS", "COLLATION":
				name = pgarchive.Quote(e.Namespace, e.Tag) // as their rows are named; other tags hold more than a name
			}
		}
		sql := strings.TrimSpace(e.Defn)
		if e.Owner != "" && e.Desc != "ACL" && e.Desc != "COMMENT" {
			sql += "\n-- owner " + pgarchive.Quote(e.Owner)
		}
		key := [2]string{strings.ToLower(e.Desc), name}
		// Grants on several columns of a table have one name.
		if old, ok := m[key]; ok {
			sql = old + "\n" + sql
		}
		m[key] = sql
	}
	return m
}

func diffObjects(a, b map[[2]string]string) []ObjectChange {
	var changes []ObjectChange
	for k, sql := range b {
		old, ok := a[k]
		switch {
		case !ok:
			changes = append(changes, ObjectChange{Type: k[0], Name: k[1], Change: Added, B: sql})
		case old != sql:
			changes = append(changes, ObjectChange{Type: k[0], Name: k[1], Change: Changed, A: old, B: sql})
		}
	}
	for k, sql := range a {
		if _, ok := b[k]; !ok {
			changes = append(changes, ObjectChange{Type: k[0], Name: k[1], Change: Removed, A: sql})
		}
	}
	slices.SortFunc(changes, func(a, b ObjectChange) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return changes
}
