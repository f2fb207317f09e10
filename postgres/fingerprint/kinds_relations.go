package fingerprint

// relations are schemas, tables and what is in and on them.
func relations() []kind {
	const (
		class     = `pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace`
		spaceName = `(SELECT s.spcname FROM pg_catalog.pg_tablespace s WHERE s.oid = o.reltablespace)`
		word      = `CASE o.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' WHEN 'c' THEN 'type ' ELSE 'table ' END`
	)
	relation := name("n.nspname", "o.relname")
	on := ` || ' on ' || ` + relation
	ours := userSchema + ` AND ` + apart("pg_class", "o.oid")
	schema := inSchema("n.nspname")
	table := place("pg_class", "o.oid") + `, ` + schema
	// pg_dump makes a view that others need early without its query, and gives it that by a rule.
	byRule := `CASE o.relkind WHEN 'v' THEN (SELECT ` + place("pg_rewrite", "r.oid") + ` FROM pg_catalog.pg_rewrite r WHERE r.ev_class = o.oid AND r.rulename = '_RETURN') END`
	return []kind{
		{
			name: "schemas", identity: `'schema ' || pg_catalog.quote_ident(n.nspname)`,
			places:     places(place("pg_namespace", "n.oid")),
			from:       `pg_catalog.pg_namespace n WHERE ` + userSchema + ` AND ` + apart("pg_namespace", "n.oid"),
			attributes: []attribute{owner("n.nspowner"), privileges("n.nspacl", "'n'", "n.nspowner")},
		},
		{
			name: relationsKind, identity: word + ` || ` + relation,
			places: places(place("pg_class", "o.oid"), schema),
			from: class + ` LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = o.oid
 WHERE o.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ` + ours,
			attributes: []attribute{
				owner("o.relowner"),
				privileges("o.relacl", "CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END", "o.relowner"),
				{name: "persistence", sql: `CASE o.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE o.relpersistence::text END`},
				{name: "options", sql: sorted("o.reloptions"), by: byRule},
				{name: "options of its TOAST table", sql: `(SELECT ` + sorted("t.reloptions") + ` FROM pg_catalog.pg_class t WHERE t.oid = o.reltoastrelid)`},
				{name: "access method", sql: `(SELECT m.amname FROM pg_catalog.pg_am m WHERE m.oid = o.relam)`},
				{name: "tablespace", sql: spaceName},
				{
					name: "replica identity", sql: `CASE o.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END`,
					by: `CASE o.relreplident WHEN 'i' THEN (SELECT ` + places(placeOfIndex("i.indexrelid")) + ` FROM pg_catalog.pg_index i WHERE i.indrelid = o.oid AND i.indisreplident) END`,
				},
				{name: rowSecurity, sql: `o.relrowsecurity`, by: placeOfEntry("ROW SECURITY", "o.oid")},
				{name: forcedRowSecurity, sql: `o.relforcerowsecurity`},
				{name: "partition key", sql: `CASE WHEN o.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(o.oid) END`, spelled: true},
				{name: "partition bound", sql: `pg_catalog.pg_get_expr(o.relpartbound, o.oid)`, spelled: true, by: placeOfParent("o.oid")},
				{name: "parents", sql: `(SELECT pg_catalog.string_agg(h.inhparent::pg_catalog.regclass::text, ', ' ORDER BY h.inhseqno) FROM pg_catalog.pg_inherits h WHERE h.inhrelid = o.oid)`, by: placeOfParent("o.oid")},
				{name: "of type", sql: `CASE WHEN o.reloftype <> 0 THEN pg_catalog.format_type(o.reloftype, NULL) END`},
				{name: "definition", sql: `CASE WHEN o.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(o.oid) END`, spelled: true, by: byRule},
				{name: "populated", sql: `CASE WHEN o.relkind = 'm' THEN o.relispopulated END`, by: placeOfEntry("MATERIALIZED VIEW DATA", "o.oid")},
				{name: columnOrder, sql: `(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped AND o.relkind <> 'S')`},
				{name: "foreign server", sql: `(SELECT s.srvname FROM pg_catalog.pg_foreign_server s WHERE s.oid = f.ftserver)`},
				{name: "hash of its options", sql: hashed("f.ftoptions")},
			},
		},
		{
			name: "columns", identity: `'column ' || ` + relation + ` || '.' || pg_catalog.quote_ident(a.attname)`,
			places: places(place("pg_class", "o.oid"), `CASE o.relkind WHEN 'c' THEN `+place("pg_type", "o.reltype")+` END`, schema),
			from: class + ` JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
 JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE o.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ` + ours + ` AND (o.relkind <> 'c' OR ` + apart("pg_type", "o.reltype") + `)`,
			attributes: []attribute{
				{name: "type", sql: `pg_catalog.format_type(a.atttypid, a.atttypmod)`},
				{name: "collation", sql: `CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::pg_catalog.regcollation END`},
				{name: "not null", sql: `a.attnotnull`, until: 17},
				{name: "not null", sql: `a.attnotnull`, since: 18, by: `(SELECT ` + places(placeOfConstraint()) + ` FROM pg_catalog.pg_constraint c WHERE a.attnotnull AND c.conrelid = o.oid AND c.contype = 'n' AND c.conkey[1] = a.attnum)`},
				{name: "default", sql: `pg_catalog.pg_get_expr(d.adbin, d.adrelid)`, spelled: true, by: place("pg_attrdef", "d.oid")},
				{name: "has a default", sql: `d.oid IS NOT NULL`, by: place("pg_attrdef", "d.oid")},
				{name: "identity", sql: `CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END`, by: `CASE WHEN a.attidentity <> '' THEN (SELECT ` + place("pg_class", "x.objid") + ` FROM pg_catalog.pg_depend x
 WHERE x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.refobjid = o.oid AND x.refobjsubid = a.attnum AND x.deptype = 'i' LIMIT 1) END`},
				{name: "generated", sql: `CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END`},
				{name: "storage", sql: `CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage END`},
				{name: "compression", sql: `nullif(a.attcompression::text, '')`, since: 14},
				{name: "statistics target", sql: `nullif(a.attstattarget, -1)`},
				// The server's own stamp, which it keeps for each column of each database and pg_dump of 17.12 leaves out.
				{name: "options", sql: `(SELECT pg_catalog.string_agg(e, ', ' ORDER BY e COLLATE "C") FROM pg_catalog.unnest(a.attoptions) e WHERE NOT pg_catalog.starts_with(e, 'pg_attver='))`},
				{name: "hash of its foreign options", sql: hashed("a.attfdwoptions")},
				{name: privilegesAttribute, sql: `CASE WHEN a.attacl IS NOT NULL THEN ` + granted("a.attacl", "o.relowner") + ` END`},
			},
		},
		{
			name: "sequences", identity: `'sequence ' || ` + relation + ` || ' (parameters)'`,
			places: places(table),
			from:   class + ` JOIN pg_catalog.pg_sequence q ON q.seqrelid = o.oid WHERE ` + ours,
			attributes: []attribute{
				{name: "type", sql: `pg_catalog.format_type(q.seqtypid, NULL)`},
				{name: "range", sql: `pg_catalog.format('%s to %s from %s by %s', q.seqmin, q.seqmax, q.seqstart, q.seqincrement)`},
				{name: "cache", sql: `q.seqcache`},
				{name: "cycle", sql: `q.seqcycle`},
				{
					name: "owned by", sql: `(SELECT pg_catalog.format('%s.%I', p.refobjid::pg_catalog.regclass, a.attname) FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_attribute a ON a.attrelid = p.refobjid AND a.attnum = p.refobjsubid
 WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = o.oid AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.deptype IN ('a', 'i') AND p.refobjsubid > 0 LIMIT 1)`,
					by: `(SELECT ` + place("pg_class", "p.refobjid") + ` FROM pg_catalog.pg_depend p
 WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objid = o.oid AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.deptype IN ('a', 'i') AND p.refobjsubid > 0 LIMIT 1)`,
				},
			},
		},
		constraints("constraints", `c.contype IN ('c', 'f', 'p', 'u', 'x') AND NOT (c.contype = 'f' AND c.conparentid <> 0)`, 0),
		// From 17 a domain's NOT NULL has a name, from 18 a column's.
		constraints("not-null constraints of domains", `c.contype = 'n' AND c.conrelid = 0`, 17),
		{
			// Their names follow those of the parents, if there are any.
			name: notNullKind, since: 18, identity: `'NOT NULL of column ' || ` + relation + ` || '.' || pg_catalog.quote_ident(a.attname)`,
			places: places(placeOfConstraint(), table),
			from:   class + ` JOIN pg_catalog.pg_constraint c ON c.conrelid = o.oid AND c.contype = 'n' JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum = c.conkey[1] WHERE ` + ours,
			attributes: []attribute{
				{name: "name", sql: `c.conname`},
				{name: "validated", sql: `c.convalidated`},
				{name: "no inherit", sql: `c.connoinherit`},
				{name: "inherited", sql: `CASE WHEN c.coninhcount > 0 THEN true END`, by: places(placeOfConstraint(), placeOfParent("o.oid"))},
			},
		},
		{
			// What CREATE INDEX CONCURRENTLY left half done is in no dump.
			name: "indexes", identity: `'index ' || ` + relation,
			places: places(placeOfIndex("o.oid"), place("pg_class", "i.indrelid"), schema),
			from:   class + ` JOIN pg_catalog.pg_index i ON i.indexrelid = o.oid WHERE (i.indisvalid OR o.relkind = 'I') AND ` + userSchema + ` AND ` + apart("pg_class", "i.indrelid"),
			attributes: []attribute{
				{name: "table", sql: `i.indrelid::pg_catalog.regclass`},
				{name: "definition", sql: `pg_catalog.pg_get_indexdef(o.oid)`, spelled: true},
				{name: "unique", sql: `i.indisunique`},
				{name: "primary", sql: `i.indisprimary`},
				{name: "clustered on", sql: `i.indisclustered`},
				{name: "replica identity", sql: `i.indisreplident`},
				{name: "valid", sql: `i.indisvalid`},
				{name: "options", sql: sorted("o.reloptions")},
				{name: "tablespace", sql: spaceName},
				{name: "statistics targets", sql: `(SELECT pg_catalog.string_agg(pg_catalog.format('%s: %s', a.attnum, a.attstattarget), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attstattarget >= 0)`},
				{name: "part of", sql: `(SELECT h.inhparent::pg_catalog.regclass FROM pg_catalog.pg_inherits h WHERE h.inhrelid = o.oid)`, by: placeOfParent("o.oid")},
			},
		},
		{
			name: "triggers", identity: `'trigger ' || pg_catalog.quote_ident(g.tgname)` + on,
			places: places(place("pg_trigger", "g.oid"), table),
			from:   class + ` JOIN pg_catalog.pg_trigger g ON g.tgrelid = o.oid WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND ` + ours,
			attributes: []attribute{
				{name: "definition", sql: `pg_catalog.pg_get_triggerdef(g.oid)`, spelled: true},
				{name: "function", sql: `g.tgfoid::pg_catalog.regprocedure`},
				{name: "enabled", sql: enabled("g.tgenabled")},
			},
		},
		{
			name: "triggers of partitions", identity: `'trigger ' || pg_catalog.quote_ident(g.tgname)` + on, since: 15,
			places: places(place("pg_trigger", "g.oid"), `(WITH RECURSIVE u AS (SELECT g.tgparentid AS above UNION ALL SELECT t.tgparentid FROM pg_catalog.pg_trigger t JOIN u ON t.oid = u.above WHERE t.tgparentid <> 0)
 SELECT pg_catalog.string_agg(`+place("pg_trigger", "above")+`, ',') FROM u)`, table),
			from:       class + ` JOIN pg_catalog.pg_trigger g ON g.tgrelid = o.oid WHERE NOT g.tgisinternal AND g.tgparentid <> 0 AND ` + ours,
			attributes: []attribute{{name: "enabled", sql: enabled("g.tgenabled")}},
		},
		{
			name: "rules", identity: `'rule ' || pg_catalog.quote_ident(r.rulename)` + on,
			places: places(place("pg_rewrite", "r.oid"), table),
			from:   class + ` JOIN pg_catalog.pg_rewrite r ON r.ev_class = o.oid WHERE r.rulename <> '_RETURN' AND ` + ours,
			attributes: []attribute{
				{name: "definition", sql: `pg_catalog.pg_get_ruledef(r.oid)`, spelled: true},
				{name: "event", sql: `r.ev_type`},
				{name: "instead", sql: `r.is_instead`},
				{name: "enabled", sql: enabled("r.ev_enabled")},
			},
		},
		{
			name: policiesKind, identity: `'policy ' || pg_catalog.quote_ident(p.polname)` + on,
			places:     places(place("pg_policy", "p.oid"), table),
			from:       class + ` JOIN pg_catalog.pg_policy p ON p.polrelid = o.oid WHERE ` + ours,
			attributes: policy(),
		},
		{
			name: "statistics objects", identity: `'statistics ' || ` + name("n.nspname", "s.stxname"),
			places: places(place("pg_statistic_ext", "s.oid"), schema),
			from:   `pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE ` + userSchema + ` AND ` + apart("pg_statistic_ext", "s.oid"),
			attributes: []attribute{
				owner("s.stxowner"),
				{name: "definition", sql: `pg_catalog.pg_get_statisticsobjdef(s.oid)`, spelled: true},
				{name: "statistics target", sql: `nullif(s.stxstattarget, -1)`},
			},
		},
	}
}

func enabled(column string) string {
	return `CASE ` + column + ` WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END`
}

// constraints reads one sort of constraints, of tables and of domains. A foreign key of a partitioned table makes
// one for each partition that it refers to, with a name of the server's choosing: those follow from the first.
func constraints(kindName, where string, since int) kind {
	return kind{
		name: kindName, since: since,
		identity: `'constraint ' || pg_catalog.quote_ident(c.conname) || ' on ' || CASE WHEN c.conrelid <> 0 THEN ` + name("n.nspname", "o.relname") + ` ELSE 'domain ' || ` + name("n.nspname", "t.typname") + ` END`,
		places:   places(placeOfConstraint(), place("pg_class", "c.conrelid"), place("pg_type", "c.contypid"), inSchema("n.nspname")),
		from: `pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
 LEFT JOIN pg_catalog.pg_class o ON o.oid = c.conrelid LEFT JOIN pg_catalog.pg_type t ON t.oid = c.contypid
 WHERE ` + where + ` AND ` + userSchema + ` AND ` + apart("pg_class", "c.conrelid") + ` AND ` + apart("pg_type", "c.contypid"),
		attributes: []attribute{
			{name: "definition", sql: `pg_catalog.pg_get_constraintdef(c.oid)`, spelled: true},
			{name: "is", sql: `c.contype`},
			{name: "columns", sql: `(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY k.i) FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(attnum, i) JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum WHERE c.contype <> 'c')`},
			{name: "refers to", sql: `CASE WHEN c.confrelid <> 0 THEN c.confrelid::pg_catalog.regclass END`},
			{name: "validated", sql: `c.convalidated`},
			{name: "enforced", sql: `c.conenforced`, since: 18},
			{name: "deferrable", sql: `pg_catalog.concat_ws(' ', CASE WHEN c.condeferrable THEN 'deferrable' END, CASE WHEN c.condeferred THEN 'initially deferred' END)`},
			{name: "no inherit", sql: `CASE WHEN c.contype IN ('c', 'n') THEN c.connoinherit END`},
		},
	}
}

func policy() []attribute {
	return []attribute{
		{name: "permissive", sql: `p.polpermissive`},
		{name: "command", sql: `p.polcmd`},
		{name: "roles", sql: `(SELECT pg_catalog.string_agg(CASE m WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m)) END, ', ' ORDER BY pg_catalog.pg_get_userbyid(m)) FROM pg_catalog.unnest(p.polroles) m)`},
		{name: "using", sql: `pg_catalog.pg_get_expr(p.polqual, p.polrelid)`, spelled: true},
		{name: "check", sql: `pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)`, spelled: true},
	}
}
