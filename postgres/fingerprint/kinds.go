package fingerprint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres"
)

// kind is one sort of object and how it is read.
type kind struct {
	name       string // as a count reads: "indexes"
	identity   string // SQL of the object's name, unique within the kind, with the word for what it is
	places     string // SQL of the places by which an archive may know it, the nearest first; see Part
	from       string // FROM and WHERE
	attributes []attribute
	since      int // the first major that has it; 0 is all
	// superuser says that only a superuser's dump holds it.
	superuser bool
}

// attribute is one property of an object.
type attribute struct {
	name string
	sql  string
	// by is SQL of the places of what makes the attribute, if something else than the object's own entry may.
	by string
	// spelled says that the text is a definition, which another major may print in another way.
	spelled bool
	since   int
	until   int // the last major that has it; 0 is all
}

// Names that a comparison asks for: attributes that a restore may be asked to leave out, and kinds and attributes
// that are compared in a way of their own.
const (
	ownerAttribute      = "owner"
	privilegesAttribute = "privileges"
	rowSecurity         = "row-level security"
	forcedRowSecurity   = "forced row-level security"

	relationsKind     = "tables, views and sequences"
	columnOrder       = "order of columns"
	policiesKind      = "row-level security policies"
	notNullKind       = "not-null constraints"
	familyOperators   = "operators of families"
	familyFunctions   = "functions of families"
	extensionsKind    = "extensions"
	extensionVersion  = "version"
	extensionMembers  = "members"
	databaseKind      = "properties of the database"
	isTemplate        = "template"
	largeObjects      = "large objects"
	defaultPrivileges = "default privileges"
	changedPrivileges = "changed privileges"
)

// userSchema is true for schemas whose objects a dump holds.
const userSchema = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

// firstNormal is the first oid that initdb does not give.
//
// Source: PostgreSQL, src/include/access/transam.h, FirstNormalObjectId.
const firstNormal = "16384"

// apart is true for an object that belongs to no extension: a dump leaves the members to CREATE EXTENSION.
func apart(catalog, oid string) string {
	return `NOT ` + member(catalog, oid)
}

func member(catalog, oid string) string { return dependent(catalog, oid, "'e'") }

// ownMaking is apart, and false for what comes with the making of another object, as the functions of a range type.
func ownMaking(catalog, oid string) string { return `NOT ` + dependent(catalog, oid, "'e', 'i'") }

func dependent(catalog, oid, how string) string {
	return `EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.` + catalog + `'::pg_catalog.regclass AND x.objid = ` + oid + ` AND x.deptype IN (` + how + `))`
}

// granted writes an access list by its meaning: who holds what, and may hand it on. Who granted it, the order, and
// whether the list says the default or is absent make no difference. An owner may always hand on what is his.
func granted(acl, owner string) string {
	return `(SELECT pg_catalog.string_agg(g.who || '=' || g.what, ' ' ORDER BY g.who COLLATE "C", g.what COLLATE "C") FROM (
  SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END AS who,
    a.privilege_type || CASE WHEN pg_catalog.bool_or(a.is_grantable AND a.grantee <> ` + owner + `) THEN '*' ELSE '' END AS what
  FROM pg_catalog.aclexplode(` + acl + `) a GROUP BY a.grantee, a.privilege_type) g)`
}

// privileges is granted with what holds if no list is kept. kind is acldefault's letter.
func privileges(acl, letter, owner string) attribute {
	list := `coalesce(` + acl + `, pg_catalog.acldefault(` + letter + `::"char", ` + owner + `))`
	return attribute{name: privilegesAttribute, sql: granted(list, owner)}
}

func owner(column string) attribute {
	return attribute{name: ownerAttribute, sql: "pg_catalog.pg_get_userbyid(" + column + ")::text"}
}

// sorted writes an array of texts in an order of its own.
func sorted(array string) string {
	return `(SELECT pg_catalog.string_agg(e, ', ' ORDER BY e COLLATE "C") FROM pg_catalog.unnest(` + array + `) e)`
}

// hashed tells whether two sets of options are equal, and not what they are: there may be passwords among them.
func hashed(array string) string { return `pg_catalog.md5(` + sorted(array) + `)` }

func name(schema, object string) string {
	return `pg_catalog.format('%I.%I', ` + schema + `, ` + object + `)`
}

// identified is the SQL of an object's type and identity in the server's own words.
func identified(catalog, oid string) string {
	return `(SELECT i.type || ' ' || i.identity FROM pg_catalog.pg_identify_object('pg_catalog.` + catalog + `'::pg_catalog.regclass, ` + oid + `, 0) i)`
}

// kinds lists everything that is read on a server of a major version.
func kinds(major int, superuser bool) []kind {
	var all []kind
	for _, k := range slices.Concat(relations(), routines(), texts(), foreign(), replication(), about(), ofMembers(), undumped()) {
		if major < k.since || k.superuser && !superuser {
			continue
		}
		k.attributes = slices.DeleteFunc(k.attributes, func(a attribute) bool {
			return major < a.since || a.until != 0 && major > a.until
		})
		all = append(all, k)
	}
	return all
}

// placed returns the attributes as they are written: each that something else may make is followed by the places of
// that, and all by the places of the object.
func (k kind) placed() []attribute {
	var all []attribute
	for _, a := range k.attributes {
		all = append(all, a)
		if a.by != "" {
			all = append(all, attribute{name: a.name + placesMark, sql: a.by})
		}
	}
	return append(all, attribute{name: placesMark, sql: k.places})
}

// query is the COPY of one kind, limited to objects that have one of the places, if there are any. Objects come in the
// byte order of their names in UTF-8.
func (k kind) query(encoding string, within []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "COPY (SELECT * FROM (SELECT %s AS name", k.identity)
	for i, a := range k.placed() {
		fmt.Fprintf(&b, ",\n  (%s)::text AS a%d", a.sql, i)
	}
	order := `name COLLATE "C"`
	if encoding != "UTF8" && !postgres.IsBytes(encoding) {
		order = `pg_catalog.convert_to(name, 'UTF8')`
	}
	fmt.Fprintf(&b, "\nFROM %s) k WHERE name IS NOT NULL", k.from)
	if len(within) > 0 {
		fmt.Fprintf(&b, " AND pg_catalog.string_to_array(a%d, ',') && '{%s}'", len(k.placed())-1, strings.Join(within, ","))
	}
	fmt.Fprintf(&b, " ORDER BY %s) TO STDOUT", order)
	return b.String()
}
