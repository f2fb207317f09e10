package logical

import (
	"fmt"
	"maps"
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

// Message says which part is meant; it is the zero message for all.
func (f Filter) Message() (what cofre.Message) {
	schemas := strings.Join(f.Schemas, ", ")
	switch {
	case f.All():
		return what
	case f.SchemaOnly:
		what = cofre.Say("part.definitions", "the definitions")
	case f.DataOnly:
		what = cofre.Say("part.rows", "the rows")
	case f.Section != "":
		what = cofre.Say("part.section", "section {{.section}}", "section", f.Section)
	case schemas != "":
		what = cofre.Say("part.schemas", "schema {{.schemas}}", "schemas", schemas)
	default:
		what = cofre.Say("part.everything", "everything")
	}
	if schemas != "" && (f.SchemaOnly || f.DataOnly || f.Section != "") {
		what = cofre.Say("part.of_schemas", "{{.part}} of schema {{.schemas}}", "part", what, "schemas", schemas)
	}
	if len(f.ExcludeTables) > 0 {
		what = cofre.Say("part.without", "{{.part}} without table {{.tables}}", "part", what, "tables", strings.Join(f.ExcludeTables, ", "))
	}
	return what
}

// String is Message in English.
func (f Filter) String() string { return f.Message().Text }

func (f Filter) partial() bool { return len(f.Schemas) > 0 || len(f.ExcludeTables) > 0 }

// sections returns which sections are meant.
//
// Errors: cofre.ErrConfig if the options contradict each other.
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
	of       *Component
	keep     map[int]bool // by dump id
	section  map[int]pgarchive.Section
	Sections map[pgarchive.Section]bool
	Partial  bool
	// Large objects are made in pre-data up to archive version 1.15. They are data nevertheless, for schema-only
	// and data-only alike.
	//
	// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, _tocEntryRequired.
	schemaOnly, dataOnly bool
	Notes                []cofre.Message
}

func isLargeObject(e *pgarchive.Entry) bool {
	return strings.HasPrefix(e.Desc, "BLOB") || strings.HasPrefix(e.Tag, "LARGE OBJECT ") && (e.Desc == "ACL" || e.Desc == "COMMENT" || e.Desc == "SECURITY LABEL")
}

// Keeps reports whether e is of the part, in a section that is restored or not.
func (s *Selection) Keeps(e *pgarchive.Entry) bool { return s.keep[e.DumpID] }

// HasLargeObjects reports whether large objects are taken.
func (s *Selection) HasLargeObjects() bool {
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; isLargeObject(e) && s.Has(e) {
			return true
		}
	}
	return false
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
// Errors: cofre.ErrConfig; cofre.ErrNotFound if the archive has no such schema or table.
func Choose(toc *pgarchive.TOC, f Filter) (*Selection, error) {
	return (&Component{TOC: toc}).Choose(f)
}

// Choose is the function of that name, for an archive with its facts.
//
// Errors: those of it.
func (c *Component) Choose(f Filter) (*Selection, error) {
	toc := c.TOC
	sections, err := f.sections()
	if err != nil {
		return nil, err
	}
	s := &Selection{TOC: toc, of: c, keep: map[int]bool{}, section: map[int]pgarchive.Section{}, Sections: sections, Partial: f.partial(), schemaOnly: f.SchemaOnly, dataOnly: f.DataOnly}
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
	schemas := make([]string, len(f.Schemas))
	for i, name := range f.Schemas {
		schemas[i] = c.Encode(name)
	}
	f.Schemas = schemas
	if err := s.takeSchemas(f.Schemas, byID); err != nil {
		return nil, err
	}
	if err := s.leaveTables(f.ExcludeTables, byID); err != nil {
		return nil, err
	}
	if len(f.Schemas) > 0 {
		s.dropDangling(byID)
	}
	return s, nil
}

// takeSchemas takes what is in the schemas, or everything, and whatever that depends on: types, functions and
// extensions of elsewhere, and tables that views and policies read, with their rows and all that belongs to them.
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
		if !ofSchema(e, schemas) && isMade(e) {
			outside++
		}
		if leadsAway(e) {
			return
		}
		for _, d := range e.Depends {
			take(d)
		}
	}
	for _, name := range schemas {
		found := false
		for i := range s.TOC.Entries {
			e := &s.TOC.Entries[i]
			if ofSchema(e, []string{name}) {
				take(e.DumpID)
				found = found || e.Namespace == name || e.Desc == "SCHEMA"
			}
		}
		if !found {
			return fmt.Errorf("schema %s in the archive: %w", s.of.Decode(pgarchive.Quote(name)), cofre.ErrNotFound)
		}
	}
	s.takeAlong(take, byID)
	for i := range s.TOC.Entries {
		if e := &s.TOC.Entries[i]; e.Desc == "ENCODING" || e.Desc == "STDSTRINGS" || e.Desc == "SEARCHPATH" {
			s.keep[e.DumpID] = true
		}
	}
	if outside > 0 {
		s.Notes = append(s.Notes, cofre.SayN("database.comes_along", outside, "1 object of another schema comes along, because the chosen schemas depend on it", "{{.n}} objects of other schemas come along, because the chosen schemas depend on them"))
	}
	return nil
}

// takeAlong takes what says something about an entry that is taken, its rows among it, and what belongs to a table that is.
// What comes along may need more.
func (s *Selection) takeAlong(take func(int), byID map[int]*pgarchive.Entry) {
	for again := true; again; {
		again = false
		for i := range s.TOC.Entries {
			e := &s.TOC.Entries[i]
			if s.keep[e.DumpID] || len(e.Depends) == 0 && e.Desc != "USER MAPPING" {
				continue
			}
			comes := false
			switch e.Desc {
			case "USER MAPPING": // which names its server, and depends on nothing
				comes = slices.ContainsFunc(s.TOC.Entries, func(on pgarchive.Entry) bool {
					return on.Desc == "SERVER" && s.keep[on.DumpID] && strings.HasSuffix(e.Tag, " SERVER "+on.Tag)
				})
			case "TABLE DATA", "SEQUENCE SET", "ACL", "COMMENT", "SECURITY LABEL", "DEFAULT", "SEQUENCE", "SEQUENCE OWNED BY", "TABLE ATTACH":
				comes = all(e.Depends, func(d int) bool { return s.keep[d] })
			default:
				of := ownerOf(e, byID)
				comes = of != nil && s.keep[of.DumpID] && !strings.HasPrefix(e.Desc, "PUBLICATION")
			}
			if comes {
				take(e.DumpID)
				again = true
			}
		}
	}
}

// ofSchema reports whether an entry makes a schema, is in it, or says something of it. An extension is in the schema
// that its definition names.
func ofSchema(e *pgarchive.Entry, schemas []string) bool {
	return slices.ContainsFunc(schemas, func(name string) bool {
		switch {
		case e.Namespace == name, e.Desc == "SCHEMA" && e.Tag == name:
			return true
		case e.Desc == "EXTENSION":
			return strings.HasSuffix(strings.TrimRight(e.Defn, ";\n "), " WITH SCHEMA "+name) || strings.HasSuffix(strings.TrimRight(e.Defn, ";\n "), " WITH SCHEMA "+pgarchive.Quote(name))
		}
		return e.Namespace == "" && (e.Desc == "ACL" || e.Desc == "COMMENT" || e.Desc == "SECURITY LABEL") && (e.Tag == "SCHEMA "+name || e.Tag == "SCHEMA "+pgarchive.Quote(name))
	})
}

// leadsAway reports whether an entry ties an object to others that are not needed for it.
func leadsAway(e *pgarchive.Entry) bool {
	return e.Desc == "FK CONSTRAINT" || strings.HasPrefix(e.Desc, "PUBLICATION") || strings.HasPrefix(e.Desc, "SUBSCRIPTION")
}

// isMade reports whether an entry makes an object that has a name of its own.
func isMade(e *pgarchive.Entry) bool {
	switch e.Desc {
	case "TABLE DATA", "SEQUENCE SET", "ACL", "COMMENT", "SECURITY LABEL", "DEFAULT", "SEQUENCE OWNED BY", "TABLE ATTACH", "INDEX ATTACH", "ROW SECURITY", "MATERIALIZED VIEW DATA", "STATISTICS DATA", "SHELL TYPE":
		return false
	}
	return true
}

// ownerOf is the entry of the table or view that an entry belongs to, as its index, key, trigger or policy; nil if it
// belongs to none.
func ownerOf(e *pgarchive.Entry, byID map[int]*pgarchive.Entry) *pgarchive.Entry {
	for _, d := range e.Depends {
		on := byID[d]
		if on == nil {
			continue
		}
		switch on.Desc {
		case "TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE":
		default:
			continue
		}
		switch e.Desc {
		case "INDEX", "STATISTICS", "STATISTICS DATA", "PUBLICATION TABLE":
			return on
		case "ROW SECURITY", "MATERIALIZED VIEW DATA", "TABLE DATA", "TABLE ATTACH":
			if e.Namespace == on.Namespace && e.Tag == on.Tag {
				return on
			}
		case "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "DEFAULT":
			// The tag is the table's name and its own.
			if e.Namespace == on.Namespace && strings.HasPrefix(e.Tag, on.Tag+" ") {
				return on
			}
		}
	}
	return nil
}

// leaveTables leaves tables out, and everything that depends on them.
func (s *Selection) leaveTables(tables []string, byID map[int]*pgarchive.Entry) error {
	if len(tables) == 0 {
		return nil
	}
	gone, made := map[int]bool{}, MadeTables(s.TOC)
	for _, t := range tables {
		schema, name, err := TableName(t)
		if err != nil {
			return err
		}
		e, ok := made[[2]string{s.of.Encode(schema), s.of.Encode(name)}]
		if !ok {
			return fmt.Errorf("table %s in the archive: %w", t, cofre.ErrNotFound)
		}
		gone[e.DumpID] = true
	}
	direct := maps.Clone(gone)
	// Dependencies may point forward: repeat until nothing more goes.
	for again := true; again; {
		again = false
		for i := range s.TOC.Entries {
			e := &s.TOC.Entries[i]
			if gone[e.DumpID] || !slices.ContainsFunc(e.Depends, func(d int) bool { return gone[d] }) {
				continue
			}
			gone[e.DumpID], again = true, true
			// A view that others need early is made without its query, which its rule then brings.
			if of := ownerOf(e, byID); of != nil && e.Desc == "RULE" && e.Tag == of.Tag+" _RETURN" {
				gone[of.DumpID] = true
			}
		}
	}
	more := map[string]cofre.Message{}
	for i := range s.TOC.Entries {
		e := &s.TOC.Entries[i]
		if !gone[e.DumpID] {
			continue
		}
		delete(s.keep, e.DumpID)
		of := ownerOf(e, byID)
		switch {
		case direct[e.DumpID], of == nil && (!isMade(e) || e.Desc == "SEQUENCE" || e.Desc == "CONSTRAINT"), of != nil && gone[of.DumpID]:
		default:
			left := s.spoken(e)
			more[left.Text] = left
		}
	}
	if len(more) > 0 {
		var names []cofre.Message
		for _, name := range slices.Sorted(maps.Keys(more)) {
			names = append(names, more[name])
		}
		s.Notes = append(s.Notes, cofre.Say("database.left_with_tables", "left out with the tables, because they depend on them: {{.objects}}", "objects", cofre.List(names...)))
	}
	return nil
}

// spoken names an entry as a person would: "view public.happy".
func (s *Selection) spoken(e *pgarchive.Entry) cofre.Message {
	name := s.of.Decode(e.Tag)
	if e.Namespace != "" {
		name = s.of.Decode(e.Namespace) + "." + name
	}
	return Named(e.Desc, name)
}

// Named is an object with its kind, which is the description of its entry in an archive: "view public.happy".
func Named(desc, name string) cofre.Message {
	switch desc {
	case "FK CONSTRAINT":
		return cofre.Say("kind.foreign_key", "foreign key {{.name}}", "name", name)
	case "CONSTRAINT", "CHECK CONSTRAINT":
		return cofre.Say("kind.constraint", "constraint {{.name}}", "name", name)
	case "TABLE":
		return cofre.Say("kind.table", "table {{.name}}", "name", name)
	case "VIEW":
		return cofre.Say("kind.view", "view {{.name}}", "name", name)
	case "MATERIALIZED VIEW":
		return cofre.Say("kind.materialized_view", "materialized view {{.name}}", "name", name)
	case "SEQUENCE":
		return cofre.Say("kind.sequence", "sequence {{.name}}", "name", name)
	case "FUNCTION":
		return cofre.Say("kind.function", "function {{.name}}", "name", name)
	case "PROCEDURE":
		return cofre.Say("kind.procedure", "procedure {{.name}}", "name", name)
	case "TYPE":
		return cofre.Say("kind.type", "type {{.name}}", "name", name)
	case "INDEX":
		return cofre.Say("kind.index", "index {{.name}}", "name", name)
	case "TRIGGER":
		return cofre.Say("kind.trigger", "trigger {{.name}}", "name", name)
	case "RULE":
		return cofre.Say("kind.rule", "rule {{.name}}", "name", name)
	case "POLICY":
		return cofre.Say("kind.policy", "policy {{.name}}", "name", name)
	case "SCHEMA":
		return cofre.Say("kind.schema", "schema {{.name}}", "name", name)
	case "EXTENSION":
		return cofre.Say("kind.extension", "extension {{.name}}", "name", name)
	case "PUBLICATION":
		return cofre.Say("kind.publication", "publication {{.name}}", "name", name)
	case "SUBSCRIPTION":
		return cofre.Say("kind.subscription", "subscription {{.name}}", "name", name)
	}
	return cofre.Verbatim(strings.ToLower(desc) + " " + name)
}

// dropDangling leaves out what stands on something that is not taken, as a foreign key to another schema, and names it.
func (s *Selection) dropDangling(byID map[int]*pgarchive.Entry) {
	for i := range s.TOC.Entries {
		e := &s.TOC.Entries[i]
		if !s.keep[e.DumpID] || s.section[e.DumpID] != pgarchive.SectionPostData {
			continue
		}
		for _, d := range e.Depends {
			on := byID[d]
			if on == nil || s.keep[d] {
				continue
			}
			delete(s.keep, e.DumpID)
			if isMade(e) || e.Desc == "INDEX ATTACH" {
				s.Notes = append(s.Notes, cofre.Say("database.leads_away", "{{.object}} is left out: it leads to {{.to}}", "object", s.spoken(e), "to", s.spoken(on)))
			}
			break
		}
	}
}

func all[T any](s []T, ok func(T) bool) bool {
	return !slices.ContainsFunc(s, func(v T) bool { return !ok(v) })
}

// TableName reads schema.name as a person types it; a name alone is in public.
//
// Errors: cofre.ErrConfig if it cannot be read, or has more parts, with a hint.
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
