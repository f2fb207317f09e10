package fingerprint

import "strings"

// Kinds of what pg_dump leaves out by design. They are read so that a copy without them is not called equal: a
// difference is a loss by name, and never a fault of the restore.
const (
	serverOwners  = "owners of the server's own objects"
	serverSchemas = "objects in the server's own schemas"
	memberKind    = "members of extensions"
	switchedOff   = "foreign keys and constraints that are switched off"
)

// undumped are objects that are there, or are otherwise than the server or an extension made them, and that no dump
// holds. They come after the extensions, of which a comparison knows by then which have another version.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, selectDumpableNamespace, checkExtensionMembership and
// selectDumpableObject; getTriggers, for which triggers it asks.
func undumped() []kind {
	// The bootstrap superuser, which initdb makes the owner of everything.
	const bootstrap = "10"
	return []kind{
		{
			places: `o.class || ':' || o.oid`,
			name:   serverOwners, identity: `'owner of ' || ` + identifiedAs("o.class", "o.oid"),
			from: `(` + eachOf(false, func(c ownedCatalog) string {
				where := ` WHERE o.oid < ` + firstNormal + ` AND o.` + c.owner + ` <> ` + bootstrap + c.own
				if c.name == "pg_namespace" {
					where += ` AND o.nspname <> 'public'` // which a dump holds
				}
				return where
			}) + `) o`,
			attributes: []attribute{owner("o.owner")},
		},
		{
			places: `o.class || ':' || o.oid`,
			name:   serverSchemas, identity: identifiedAs("o.class", "o.oid"),
			from: `(` + eachOf(true, func(c ownedCatalog) string {
				where := ` JOIN pg_catalog.pg_namespace n ON n.oid = o.` + c.schema + ` WHERE o.oid >= ` + firstNormal + ` AND n.nspname IN ('pg_catalog', 'information_schema') AND ` + ownMaking(c.name, "o.oid")
				return where + c.own
			}) + `) o`,
			attributes: []attribute{owner("o.owner")},
		},
		{
			places: places(`p.classid || ':' || p.objid`, place("pg_extension", "e.oid")),
			name:   memberKind, identity: `i.type || ' ' || i.identity || ' of extension ' || pg_catalog.quote_ident(e.extname)`,
			from: `pg_catalog.pg_depend p JOIN pg_catalog.pg_extension e ON e.oid = p.refobjid
 JOIN (` + eachOf(false, func(ownedCatalog) string { return "" }) + `) o ON o.class = p.classid AND o.oid = p.objid, LATERAL pg_catalog.pg_identify_object(p.classid, p.objid, 0) i
 WHERE p.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND p.deptype = 'e' AND p.objid >= ` + firstNormal,
			attributes: []attribute{
				{name: extensionOfMember, sql: `e.extname`},
				// What a trusted extension makes is the bootstrap superuser's.
				{name: ownerAttribute, sql: `CASE WHEN o.owner NOT IN (e.extowner, ` + bootstrap + `) THEN pg_catalog.pg_get_userbyid(o.owner) ELSE 'that of the extension' END`},
				{name: "function", sql: `CASE WHEN p.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN (SELECT pg_catalog.md5(pg_catalog.concat_ws(' ', (SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = f.prolang), f.prosrc, f.probin, f.provolatile, f.proisstrict, f.prosecdef, f.proleakproof, f.proparallel, f.procost, f.prorows, f.proconfig)) FROM pg_catalog.pg_proc f WHERE f.oid = o.oid) END`, spelled: true},
				{name: "columns", sql: ofMember(`a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END`, `pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped`), spelled: true},
				{name: "indexes", sql: ofMember(`x.indexrelid::pg_catalog.regclass::text`, `pg_catalog.pg_index x WHERE x.indrelid = o.oid`), spelled: true},
				{name: "constraints", sql: ofMember(`c.conname::text`, `pg_catalog.pg_constraint c WHERE c.conrelid = o.oid`), spelled: true},
				{name: "triggers", sql: ofMember(`g.tgname || ' ' || g.tgenabled::text`, `pg_catalog.pg_trigger g WHERE g.tgrelid = o.oid AND NOT g.tgisinternal`), spelled: true},
				{name: "rules", sql: ofMember(`r.rulename::text`, `pg_catalog.pg_rewrite r WHERE r.ev_class = o.oid`), spelled: true},
				{name: "options", sql: `CASE WHEN p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass THEN (SELECT ` + sorted("r.reloptions") + ` FROM pg_catalog.pg_class r WHERE r.oid = o.oid) END`, spelled: true},
			},
		},
		{
			// ALTER TABLE … DISABLE TRIGGER ALL: pg_dump asks for no internal trigger, and the copy checks again.
			places: places(place("pg_constraint", "c.oid"), place("pg_class", "o.oid")),
			name:   switchedOff, identity: `'switched off: constraint ' || pg_catalog.quote_ident(c.conname) || ' on ' || ` + name("n.nspname", "o.relname"),
			from: `(SELECT g.tgconstraint, g.tgrelid, pg_catalog.string_agg(DISTINCT ` + enabled("g.tgenabled") + `, ' ') AS state FROM pg_catalog.pg_trigger g WHERE g.tgisinternal AND g.tgenabled <> 'O' AND g.tgconstraint <> 0 GROUP BY 1, 2) g
 JOIN pg_catalog.pg_constraint c ON c.oid = g.tgconstraint JOIN pg_catalog.pg_class o ON o.oid = g.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
 WHERE ` + userSchema,
			attributes: []attribute{{name: "triggers", sql: `g.state`}},
		},
	}
}

const extensionOfMember = "extension"

// ofMembers are what a dump does hold of the tables of extensions: their policies, and whether they count.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, checkExtensionMembership, which leaves a member its privileges,
// labels and policies.
func ofMembers() []kind {
	class := `pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace`
	relation := name("n.nspname", "o.relname")
	return []kind{
		{
			name: "policies on tables of extensions", identity: `'policy ' || pg_catalog.quote_ident(p.polname) || ' on ' || ` + relation,
			places:     places(place("pg_policy", "p.oid"), inSchema("n.nspname")),
			from:       class + ` JOIN pg_catalog.pg_policy p ON p.polrelid = o.oid WHERE ` + member("pg_class", "o.oid"),
			attributes: policy(),
		},
		{
			name: "row-level security of tables of extensions", identity: `'row-level security of table ' || ` + relation,
			places: places(placeOfEntry("ROW SECURITY", "o.oid"), inSchema("n.nspname")),
			from:   class + ` WHERE o.relrowsecurity AND ` + member("pg_class", "o.oid"),
		},
	}
}

// ownedCatalog is a catalog of objects that have an owner, with its columns of the owner and the schema.
type ownedCatalog struct {
	name, owner, schema string
	own                 string // a condition: not those that come with another object
}

var ownedCatalogs = []ownedCatalog{
	{"pg_class", "relowner", "relnamespace", ` AND o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')`},
	{"pg_proc", "proowner", "pronamespace", ""},
	{"pg_type", "typowner", "typnamespace", ` AND o.typrelid = 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = o.oid)`},
	{"pg_operator", "oprowner", "oprnamespace", ""},
	{"pg_opclass", "opcowner", "opcnamespace", ""},
	{"pg_opfamily", "opfowner", "opfnamespace", ""},
	{"pg_collation", "collowner", "collnamespace", ""},
	{"pg_conversion", "conowner", "connamespace", ""},
	{"pg_ts_dict", "dictowner", "dictnamespace", ""},
	{"pg_ts_config", "cfgowner", "cfgnamespace", ""},
	{"pg_namespace", "nspowner", "", ""},
	{"pg_language", "lanowner", "", ""},
	{"pg_foreign_data_wrapper", "fdwowner", "", ""},
	{"pg_foreign_server", "srvowner", "", ""},
}

// eachOf reads class, oid and owner of the objects in all owned catalogs, or those whose objects have a schema, with
// what rest adds to each.
func eachOf(inSchemas bool, rest func(ownedCatalog) string) string {
	var all []string
	for _, c := range ownedCatalogs {
		if inSchemas && c.schema == "" {
			continue
		}
		where := rest(c)
		all = append(all, `SELECT 'pg_catalog.`+c.name+`'::pg_catalog.regclass::oid AS class, o.oid, o.`+c.owner+` AS owner FROM pg_catalog.`+c.name+` o`+where)
	}
	return strings.Join(all, "\nUNION ALL ")
}

func identifiedAs(class, oid string) string {
	return `(SELECT i.type || ' ' || i.identity FROM pg_catalog.pg_identify_object(` + class + `, ` + oid + `, 0) i)`
}

// ofMember lists what is on a member that is a relation.
func ofMember(what, from string) string {
	return `CASE WHEN p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass THEN (SELECT pg_catalog.string_agg(` + what + `, ', ' ORDER BY ` + what + ` COLLATE "C") FROM ` + from + `) END`
}
