package logical

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Filter says which part of an archive is meant. The zero value is all of it.
type Filter struct {
	SchemaOnly bool   // definitions without rows
	DataOnly   bool   // rows and sequence values without definitions
	Section    string // pre-data, data or post-data alone

	Schemas       []string // only these, with what they depend on
	ExcludeTables []string // schema.name, and everything that depends on them
}

// All reports whether the filter leaves nothing out.
func (f Filter) All() bool {
	return !f.SchemaOnly && !f.DataOnly && f.Section == "" && !f.partial()
}

func (f Filter) partial() bool { return len(f.Schemas) > 0 || len(f.ExcludeTables) > 0 }

// sections returns which sections are meant.
//
// Errors: cofre.ErrConfig where the options contradict each other.
func (f Filter) sections() (map[pgarchive.Section]bool, error) {
	set := 0
	for _, b := range []bool{f.SchemaOnly, f.DataOnly, f.Section != ""} {
		if b {
			set++
		}
	}
	if set > 1 {
		return nil, fmt.Errorf("choose one of schema-only, data-only and section: %w", cofre.ErrConfig)
	}
	pre, data, post := pgarchive.SectionPreData, pgarchive.SectionData, pgarchive.SectionPostData
	switch {
	case f.SchemaOnly:
		return map[pgarchive.Section]bool{pre: true, post: true}, nil
	case f.DataOnly:
		return map[pgarchive.Section]bool{data: true}, nil
	}
	switch f.Section {
	case "":
		return map[pgarchive.Section]bool{pre: true, data: true, post: true}, nil
	case "pre-data":
		return map[pgarchive.Section]bool{pre: true}, nil
	case "data":
		return map[pgarchive.Section]bool{data: true}, nil
	case "post-data":
		return map[pgarchive.Section]bool{post: true}, nil
	}
	return nil, cofre.WithHint(fmt.Errorf("section %q: %w", f.Section, cofre.ErrConfig), cofre.Say("database.sections", "use pre-data, data or post-data"))
}

// Selection is the part of a table of contents that a filter takes.
type Selection struct {
	TOC      *pgarchive.TOC
	keep     map[int]bool // by dump id
	section  map[int]pgarchive.Section
	Sections map[pgarchive.Section]bool
	Partial  bool
	// Large objects are made in pre-data up to archive version 1.15. They are data nevertheless, for schema-only
	// and data-only alike.
	//
	// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, _tocEntryRequired.
	schemaOnly, dataOnly bool
	Notes                []string
}

func isLargeObject(e *pgarchive.Entry) bool {
	return strings.HasPrefix(e.Desc, "BLOB") || strings.HasPrefix(e.Tag, "LARGE OBJECT ") && (e.Desc == "ACL" || e.Desc == "COMMENT" || e.Desc == "SECURITY LABEL")
}

// Has reports whether e is taken.
func (s *Selection) Has(e *pgarchive.Entry) bool {
	section := s.section[e.DumpID]
	if section == pgarchive.SectionPreData && (s.schemaOnly || s.dataOnly) && isLargeObject(e) {
		return s.keep[e.DumpID] && s.dataOnly
	}
	return s.keep[e.DumpID] && s.Sections[section]
}

// Entries lists what is taken of one section, in archive order.
func (s *Selection) Entries(section pgarchive.Section) []*pgarchive.Entry {
	var found []*pgarchive.Entry
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; s.section[e.DumpID] == section && s.Has(e) {
			found = append(found, e)
		}
	}
	return found
}

// Choose applies a filter to a table of contents.
//
// Errors: cofre.ErrConfig; cofre.ErrNotFound where the archive has no such schema or table.
func Choose(toc *pgarchive.TOC, f Filter) (*Selection, error) {
	sections, err := f.sections()
	if err != nil {
		return nil, err
	}
	s := &Selection{TOC: toc, keep: map[int]bool{}, section: map[int]pgarchive.Section{}, Sections: sections, Partial: f.partial(), schemaOnly: f.SchemaOnly, dataOnly: f.DataOnly}
	byID := map[int]*pgarchive.Entry{}
	current := pgarchive.SectionPreData
	for i := range toc.Entries {
		e := &toc.Entries[i]
		byID[e.DumpID] = e
		// Grants and comments have no section of their own: they belong to that of the object before them.
		//
		// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, ProcessArchiveRestoreOptions.
		if e.Section != pgarchive.SectionNone {
			current = e.Section
		}
		s.section[e.DumpID] = current
	}
	// The archive is in the encoding of its database, and a person writes UTF-8.
	in := (&Component{TOC: toc}).ClientEncoding()
	schemas := make([]string, len(f.Schemas))
	for i, name := range f.Schemas {
		schemas[i] = Encoded(in, name)
	}
	f.Schemas = schemas
	if err := s.takeSchemas(f.Schemas, byID); err != nil {
		return nil, err
	}
	if err := s.leaveTables(f.ExcludeTables); err != nil {
		return nil, err
	}
	if len(f.Schemas) > 0 {
		s.dropDangling(byID)
	}
	return s, nil
}

// takeSchemas takes what is in the schemas, or everything, and whatever that depends on before data: types,
// functions and extensions of elsewhere, and tables that views read, with their rows.
func (s *Selection) takeSchemas(schemas []string, byID map[int]*pgarchive.Entry) error {
	if len(schemas) == 0 {
		for id := range byID {
			s.keep[id] = true
		}
		return nil
	}
	outside := 0
	var take func(id int)
	take = func(id int) {
		e := byID[id]
		if e == nil || s.keep[id] {
			return
		}
		s.keep[id] = true
		if !slices.Contains(schemas, e.Namespace) && !(e.Desc == "SCHEMA" && slices.Contains(schemas, e.Tag)) {
			outside++
		}
		if s.section[id] != pgarchive.SectionPostData {
			for _, d := range e.Depends {
				take(d)
			}
		}
	}
	for _, name := range schemas {
		found := false
		for i := range s.TOC.Entries {
			e := &s.TOC.Entries[i]
			if e.Namespace == name || (e.Desc == "SCHEMA" && e.Tag == name) {
				take(e.DumpID)
				found = true
			}
		}
		if !found {
			return fmt.Errorf("schema %s in the archive: %w", Decoded((&Component{TOC: s.TOC}).ClientEncoding(), pgarchive.Quote(name)), cofre.ErrNotFound)
		}
	}
	// What says something about an entry that is taken, its rows among it, comes along.
	for i := range s.TOC.Entries {
		e := &s.TOC.Entries[i]
		if s.keep[e.DumpID] || len(e.Depends) == 0 || s.section[e.DumpID] == pgarchive.SectionPostData && e.Namespace != "" && !slices.Contains(schemas, e.Namespace) {
			continue
		}
		switch e.Desc {
		case "TABLE DATA", "SEQUENCE SET", "ACL", "COMMENT", "SECURITY LABEL", "DEFAULT", "SEQUENCE", "SEQUENCE OWNED BY", "TABLE ATTACH":
			if all(e.Depends, func(d int) bool { return s.keep[d] }) {
				s.keep[e.DumpID] = true
			}
		}
	}
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; e.Desc == "ENCODING" || e.Desc == "STDSTRINGS" || e.Desc == "SEARCHPATH" {
			s.keep[e.DumpID] = true
		}
	}
	if outside > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("%d objects of other schemas come along, because the chosen schemas depend on them", outside))
	}
	return nil
}

// leaveTables leaves tables out, and everything that depends on them.
func (s *Selection) leaveTables(tables []string) error {
	if len(tables) == 0 {
		return nil
	}
	gone, made := map[int]bool{}, MadeTables(s.TOC)
	in := (&Component{TOC: s.TOC}).ClientEncoding()
	for _, t := range tables {
		schema, name, err := TableName(t)
		if err != nil {
			return err
		}
		e, ok := made[[2]string{Encoded(in, schema), Encoded(in, name)}]
		if !ok {
			return fmt.Errorf("table %s in the archive: %w", t, cofre.ErrNotFound)
		}
		gone[e.DumpID] = true
	}
	direct := len(gone)
	// Dependencies may point forward: repeat until nothing more goes.
	for again := true; again; {
		again = false
		for i := range s.TOC.Entries {
			e := &s.TOC.Entries[i]
			if !gone[e.DumpID] && slices.ContainsFunc(e.Depends, func(d int) bool { return gone[d] }) {
				gone[e.DumpID], again = true, true
			}
		}
	}
	more := map[string]bool{}
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; gone[e.DumpID] {
			delete(s.keep, e.DumpID)
			if e.Desc == "VIEW" || e.Desc == "MATERIALIZED VIEW" || e.Desc == "FK CONSTRAINT" || e.Desc == "FUNCTION" || e.Desc == "TABLE" {
				more[Decoded(in, strings.ToLower(e.Desc)+" "+e.Namespace+"."+e.Tag)] = true
			}
		}
	}
	if len(more) > direct {
		names := make([]string, 0, len(more))
		for n := range more {
			names = append(names, n)
		}
		slices.Sort(names)
		s.Notes = append(s.Notes, "left out with the tables, because they depend on them: "+strings.Join(names, ", "))
	}
	return nil
}

// dropDangling leaves out what stands on something that is not taken: foreign keys to other schemas.
func (s *Selection) dropDangling(byID map[int]*pgarchive.Entry) {
	for i := range s.TOC.Entries {
		e := &s.TOC.Entries[i]
		if !s.keep[e.DumpID] || s.section[e.DumpID] != pgarchive.SectionPostData {
			continue
		}
		for _, d := range e.Depends {
			if on := byID[d]; on != nil && !s.keep[d] {
				delete(s.keep, e.DumpID)
				if e.Desc == "FK CONSTRAINT" {
					s.Notes = append(s.Notes, Decoded((&Component{TOC: s.TOC}).ClientEncoding(), fmt.Sprintf("foreign key %s is left out: it leads to %s.%s", e.Tag, on.Namespace, on.Tag)))
				}
				break
			}
		}
	}
}

func all[T any](s []T, ok func(T) bool) bool {
	return !slices.ContainsFunc(s, func(v T) bool { return !ok(v) })
}

// TableName reads schema.name as a person types it; a name alone is in public.
//
// Errors: cofre.ErrConfig.
func TableName(s string) (schema, name string, err error) {
	parts, err := pgarchive.ParseName(s)
	switch {
	case err != nil:
		return "", "", cofre.WithHint(fmt.Errorf("%w: %v", cofre.ErrConfig, err),
			cofre.Say("database.quoted", "a name that is not plain stands in double quotes, as the shell takes it: {{.name}}", "name", quotedForShell(s)))
	case len(parts) == 1:
		return "public", parts[0], nil
	case len(parts) == 2:
		return parts[0], parts[1], nil
	}
	return "", "", cofre.WithHint(fmt.Errorf("table name %s has %d parts: %w", s, len(parts), cofre.ErrConfig), cofre.Say("database.dotted", `write schema.table, with double quotes around a name that holds a dot: public."a.b"`))
}

// quotedForShell writes a name as cofre show prints it, schema.name, so that it can be pasted.
func quotedForShell(s string) string {
	schema, name, ok := strings.Cut(s, ".")
	if !ok {
		schema, name = "public", s
	}
	return "'" + strings.ReplaceAll(pgarchive.Quote(schema, name), "'", `'\''`) + "'"
}

// MadeTables indexes the entries that make tables by schema and name.
func MadeTables(toc *pgarchive.TOC) map[[2]string]*pgarchive.Entry {
	m := map[[2]string]*pgarchive.Entry{}
	for i := range toc.Entries {
		if e := &toc.Entries[i]; e.Desc == "TABLE" {
			m[[2]string{e.Namespace, e.Tag}] = e
		}
	}
	return m
}

// Leave takes entries out of a selection.
func (s *Selection) Leave(gone func(*pgarchive.Entry) bool) {
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; gone(e) {
			delete(s.keep, e.DumpID)
		}
	}
}

// Plural is a number with its noun.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
