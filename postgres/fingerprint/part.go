package fingerprint

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// ErrNoPlaces says that a fingerprint does not tell by which places an archive knows the objects: it was written by an
// older version.
var ErrNoPlaces = errors.New("the fingerprint has no places")

// Part limits a comparison to what a part of an archive makes.
//
// An archive knows the object of an entry by a place: the oid of its catalog and its own (At), or, of what has no row
// of its own, the entry's description and the oid of the relation (AtEntry). Not everything has an entry: a column is
// made by its table's, the index of a key by the key's. So an object has several places, the nearest first: what is
// there or on anything that was left out is not of the part, and otherwise the first that the archive knows decides.
// The last may be its schema's name.
type Part struct {
	// Made says what becomes of the archive's entry at a place.
	Made func(place string) Standing
	// Schema reports whether the part has what has no entry, in a schema; in none if name is empty.
	Schema func(name string) bool
	// Beside reports whether an object of the copy, by its places, may be there without being of the part. What the
	// server has in every database may always be.
	Beside func(places []string) bool
}

// Standing is what a part makes of an entry of the archive.
type Standing int

// The archive may have no entry, the part may leave it out, or have it in a section that is not restored, or take it.
const (
	Unknown Standing = iota
	LeftOut
	NotYet
	Taken
)

// At is the place of an object: the oid of its catalog and its own.
func At(catalog, oid string) string { return catalog + ":" + oid }

// AtEntry is the place of what an entry says of a relation and has no row of its own.
func AtEntry(desc, oid string) string { return desc + ":" + oid }

// Places that no oid tells apart.
const (
	AtDatabase     = "database"
	AtLargeObjects = "large objects"

	atSchema = "in:" // and the name of the schema, which ends the list
)

// place is SQL of At, NULL if there is no such object.
func place(catalog, oid string) string {
	return `('pg_catalog.` + catalog + `'::pg_catalog.regclass::oid || ':' || nullif(` + oid + `, 0))`
}

func placeOfEntry(desc, oid string) string { return `('` + desc + `:' || ` + oid + `)` }

// places is SQL of a list of places.
func places(list ...string) string {
	return `pg_catalog.concat_ws(',', ` + strings.Join(list, ", ") + `)`
}

// inSchema is SQL of the place that ends a list: the schema's name.
func inSchema(name string) string { return `('` + atSchema + `' || ` + name + `)` }

// placeOfIndex are those of an index: its own, and that of the constraint which it belongs to.
func placeOfIndex(oid string) string {
	return place("pg_class", oid) + `, (SELECT x.refclassid || ':' || x.refobjid FROM pg_catalog.pg_depend x
 WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = ` + oid + ` AND x.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND x.deptype = 'i' LIMIT 1)`
}

// placeOfParent is that of the first table from which a relation inherits.
func placeOfParent(oid string) string {
	return `(SELECT ` + places(placeOfIndex("h.inhparent")) + ` FROM pg_catalog.pg_inherits h WHERE h.inhrelid = ` + oid + ` AND h.inhseqno = 1)`
}

// placeOfConstraint are those of constraint c: its own, and those that it is inherited from, which come later if they
// are not valid. A column's NOT NULL may have another name in each table.
func placeOfConstraint() string {
	return place("pg_constraint", "c.oid") + `, CASE WHEN c.coninhcount > 0 THEN (WITH RECURSIVE up AS (SELECT h.inhparent FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.conrelid
  UNION SELECT h.inhparent FROM pg_catalog.pg_inherits h JOIN up ON h.inhrelid = up.inhparent)
 SELECT pg_catalog.string_agg(` + place("pg_constraint", "p.oid") + `, ',') FROM up JOIN pg_catalog.pg_constraint p ON p.conrelid = up.inhparent AND p.contype = c.contype
 WHERE CASE WHEN c.contype = 'n' THEN (SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = p.conrelid AND a.attnum = p.conkey[1]) = (SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = c.conkey[1])
  ELSE p.conname = c.conname END) END`
}

// placesInFamily are those of an operator or a function of a family, which a class may bring.
func placesInFamily(catalog, family string) string {
	return places(`(SELECT x.refclassid || ':' || x.refobjid FROM pg_catalog.pg_depend x
 WHERE x.classid = 'pg_catalog.`+catalog+`'::pg_catalog.regclass AND x.objid = o.oid AND x.refclassid = 'pg_catalog.pg_opclass'::pg_catalog.regclass AND x.deptype = 'i' LIMIT 1)`, place("pg_opfamily", family),
		`(SELECT `+inSchema("n.nspname")+` FROM pg_catalog.pg_opfamily f JOIN pg_catalog.pg_namespace n ON n.oid = f.opfnamespace WHERE f.oid = `+family+`)`)
}

// placesOf is SQL of those of an object that something is said of.
func placesOf(class, oid string) string {
	of := func(catalog, sql string) string {
		return ` WHEN 'pg_catalog.` + catalog + `'::pg_catalog.regclass THEN ` + sql
	}
	return `CASE WHEN ` + class + ` = 'pg_catalog.pg_largeobject'::pg_catalog.regclass THEN '` + AtLargeObjects + `' ELSE pg_catalog.concat_ws(',', ` + class + ` || ':' || ` + oid + `, CASE ` + class +
		of("pg_class", `(SELECT `+places(placeOfIndex("p.oid"), place("pg_class", "y.indrelid"), `CASE p.relkind WHEN 'c' THEN `+place("pg_type", "p.reltype")+` END`)+` FROM pg_catalog.pg_class p LEFT JOIN pg_catalog.pg_index y ON y.indexrelid = p.oid WHERE p.oid = `+oid+`)`) +
		of("pg_constraint", `(SELECT `+places(place("pg_class", "p.conrelid"), place("pg_type", "p.contypid"))+` FROM pg_catalog.pg_constraint p WHERE p.oid = `+oid+`)`) +
		of("pg_rewrite", `(SELECT `+place("pg_class", "p.ev_class")+` FROM pg_catalog.pg_rewrite p WHERE p.oid = `+oid+`)`) +
		of("pg_trigger", `(SELECT `+places(place("pg_trigger", "p.tgparentid"), place("pg_class", "p.tgrelid"))+` FROM pg_catalog.pg_trigger p WHERE p.oid = `+oid+`)`) +
		of("pg_policy", `(SELECT `+place("pg_class", "p.polrelid")+` FROM pg_catalog.pg_policy p WHERE p.oid = `+oid+`)`) +
		` END) END`
}

// takes reports whether a part has what has these places. A nil part is all of an archive.
func (p *Part) takes(places []string) bool {
	if p == nil {
		return true
	}
	schema := ""
	if n := len(places); n > 0 {
		if name, ok := strings.CutPrefix(places[n-1], atSchema); ok {
			schema = name
		}
	}
	switch p.standing(places) {
	case Taken:
		return true
	case Unknown:
		return p.Schema(schema)
	}
	return false
}

// makes reports whether a part has an attribute that is made at places, of which whole says whether the part has its
// object.
func (p *Part) makes(by []string, whole bool) bool {
	if p == nil {
		return true
	}
	if s := p.standing(by); s != Unknown {
		return s == Taken
	}
	return whole
}

func (p *Part) standing(places []string) Standing {
	first := Unknown
	for _, at := range places {
		switch s := p.Made(at); {
		case s == LeftOut:
			return LeftOut
		case first == Unknown:
			first = s
		}
	}
	return first
}

// mayBeThere reports whether an object that only the copy has is none of the part's.
func (p *Part) mayBeThere(places []string) bool {
	if p == nil {
		return false
	}
	if len(places) > 0 {
		first, _ := strconv.Atoi(firstNormal)
		if _, oid, ok := strings.Cut(places[0], ":"); ok {
			if n, err := strconv.Atoi(oid); err == nil && n < first {
				return true
			}
		}
	}
	return p.Beside != nil && p.Beside(places)
}

// HasPlaces reports whether a part of what a fingerprint says can be compared. It reads the beginning of captured.
//
// Errors: cofre.ErrCorrupt if captured is no fingerprint; those of the reader.
func HasPlaces(captured io.Reader) (bool, error) {
	f, err := newReader(captured, nil)
	if err != nil {
		return false, err
	}
	return f.placed(), nil
}

// places reports whether an attribute holds places, and is nothing to compare.
func (a attribute) places() bool { return strings.HasSuffix(a.name, placesMark) }

// placed reports whether the kind that is read has the places of its objects.
func (f *reader) placed() bool {
	return len(f.attributes) > 0 && f.attributes[len(f.attributes)-1].name == placesMark
}

// places are those of the object that was read.
func (f *reader) places() []string {
	if !f.placed() {
		return nil
	}
	return f.object.placesAt(len(f.attributes) - 1)
}

// placesAt reads the places in one of an object's values.
func (o object) placesAt(i int) []string {
	if i < 0 || o.values[i] == nil || *o.values[i] == "" {
		return nil
	}
	text := *o.values[i]
	head, name, ok := strings.Cut(","+text, ","+atSchema)
	var list []string
	for at := range strings.SplitSeq(strings.TrimPrefix(head, ","), ",") {
		if at != "" {
			list = append(list, at)
		}
	}
	if ok {
		list = append(list, atSchema+name)
	}
	return list
}
