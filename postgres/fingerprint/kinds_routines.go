package fingerprint

// routines are functions, types and what is made of them.
func routines() []kind {
	return []kind{
		{
			name:     "functions and procedures",
			identity: `CASE o.prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END || o.oid::pg_catalog.regprocedure::text`,
			places:   places(place("pg_proc", "o.oid"), inSchema("n.nspname")),
			from:     `pg_catalog.pg_proc o JOIN pg_catalog.pg_namespace n ON n.oid = o.pronamespace LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = o.oid WHERE ` + userSchema + ` AND ` + ownMaking("pg_proc", "o.oid"),
			attributes: []attribute{
				owner("o.proowner"), privileges("o.proacl", "'f'", "o.proowner"),
				{name: "arguments", sql: `pg_catalog.pg_get_function_arguments(o.oid)`, spelled: true},
				{name: "result", sql: `pg_catalog.pg_get_function_result(o.oid)`},
				{name: "language", sql: `(SELECT l.lanname FROM pg_catalog.pg_language l WHERE l.oid = o.prolang)`},
				{name: "source", sql: `CASE WHEN g.aggfnoid IS NULL THEN o.prosrc END`},
				{name: "library", sql: `o.probin`},
				{name: "body", sql: `pg_catalog.pg_get_function_sqlbody(o.oid)`, spelled: true, since: 14},
				{name: "properties", sql: `CASE WHEN g.aggfnoid IS NULL THEN pg_catalog.concat_ws(' ', 'volatility', o.provolatile, CASE WHEN o.proisstrict THEN 'strict' END, CASE WHEN o.prosecdef THEN 'security definer' END,
  CASE WHEN o.proleakproof THEN 'leakproof' END, 'parallel', o.proparallel, CASE o.prokind WHEN 'w' THEN 'window' END, 'cost ' || o.procost, 'rows ' || o.prorows, 'support ' || nullif(o.prosupport, 0)::pg_catalog.regprocedure) END`},
				{name: "settings", sql: sorted("o.proconfig")},
				{name: "transforms", sql: `(SELECT pg_catalog.string_agg(pg_catalog.format_type(t, NULL), ', ' ORDER BY t) FROM pg_catalog.unnest(o.protrftypes) t)`},
				{name: "aggregation", sql: `CASE WHEN g.aggfnoid IS NOT NULL THEN pg_catalog.concat_ws(' ', 'kind', g.aggkind, 'direct ' || g.aggnumdirectargs, 'transition ' || g.aggtransfn::pg_catalog.regprocedure, 'final ' || nullif(g.aggfinalfn, 0)::pg_catalog.regprocedure,
  'combine ' || nullif(g.aggcombinefn, 0)::pg_catalog.regprocedure, 'serial ' || nullif(g.aggserialfn, 0)::pg_catalog.regprocedure, 'deserial ' || nullif(g.aggdeserialfn, 0)::pg_catalog.regprocedure,
  'moving ' || nullif(g.aggmtransfn, 0)::pg_catalog.regprocedure, 'inverse ' || nullif(g.aggminvtransfn, 0)::pg_catalog.regprocedure, 'moving final ' || nullif(g.aggmfinalfn, 0)::pg_catalog.regprocedure,
  'extra', g.aggfinalextra, g.aggmfinalextra, 'modify', g.aggfinalmodify, g.aggmfinalmodify, 'sort ' || nullif(g.aggsortop, 0)::pg_catalog.regoperator,
  'state ' || pg_catalog.format_type(g.aggtranstype, NULL), g.aggtransspace, 'initial ' || g.agginitval, 'moving state ' || CASE WHEN g.aggmtranstype <> 0 THEN pg_catalog.format_type(g.aggmtranstype, NULL) END, g.aggmtransspace, 'moving initial ' || g.aggminitval, 'parallel', o.proparallel) END`},
			},
		},
		{
			// Row types of tables, array types and multiranges follow what they are made for.
			name: "types and domains", identity: `CASE o.typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || ` + name("n.nspname", "o.typname"),
			places: places(place("pg_type", "o.oid"), inSchema("n.nspname")),
			from: `pg_catalog.pg_type o JOIN pg_catalog.pg_namespace n ON n.oid = o.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = o.typrelid LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = o.oid
 WHERE o.typtype IN ('b', 'c', 'd', 'e', 'r', 'p') AND (o.typrelid = 0 OR c.relkind = 'c') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = o.oid) AND ` + userSchema + ` AND ` + apart("pg_type", "o.oid"),
			attributes: []attribute{
				owner("o.typowner"), privileges("o.typacl", "'T'", "o.typowner"),
				{name: "is", sql: `CASE WHEN o.typisdefined THEN CASE o.typtype WHEN 'b' THEN 'base' WHEN 'c' THEN 'composite' WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' ELSE 'pseudo' END ELSE 'shell' END`},
				{name: "labels", sql: `(SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e WHERE e.enumtypid = o.oid)`},
				{name: "attributes", sql: `(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE o.typtype = 'c' AND a.attrelid = o.typrelid AND a.attnum > 0 AND NOT a.attisdropped)`},
				{name: "based on", sql: `CASE WHEN o.typtype = 'd' THEN pg_catalog.format_type(o.typbasetype, o.typtypmod) END`},
				{name: "not null", sql: `CASE WHEN o.typtype = 'd' THEN o.typnotnull END`},
				{name: "collation", sql: `CASE WHEN o.typtype = 'd' AND o.typcollation <> (SELECT b.typcollation FROM pg_catalog.pg_type b WHERE b.oid = o.typbasetype) THEN o.typcollation::pg_catalog.regcollation END`},
				{name: "default", sql: `coalesce(pg_catalog.pg_get_expr(o.typdefaultbin, 0), o.typdefault)`, spelled: true},
				{name: "range of", sql: `CASE WHEN r.rngtypid IS NOT NULL THEN pg_catalog.concat_ws(' ', pg_catalog.format_type(r.rngsubtype, NULL), nullif(r.rngcollation, 0)::pg_catalog.regcollation, (SELECT c.opcname FROM pg_catalog.pg_opclass c WHERE c.oid = r.rngsubopc), nullif(r.rngcanonical, 0)::pg_catalog.regproc, nullif(r.rngsubdiff, 0)::pg_catalog.regproc) END`},
				{name: "multirange", sql: `CASE WHEN r.rngtypid IS NOT NULL THEN pg_catalog.format_type(r.rngmultitypid, NULL) END`, since: 14},
				{name: "functions", sql: `CASE WHEN o.typtype = 'b' AND o.typisdefined THEN pg_catalog.concat_ws(' ', o.typinput, o.typoutput, o.typreceive, o.typsend, o.typmodin, o.typmodout, o.typanalyze) END`},
				{name: "subscripting", sql: `CASE WHEN o.typtype = 'b' THEN nullif(o.typsubscript, 0)::pg_catalog.regproc END`, since: 14},
				{name: "layout", sql: `CASE WHEN o.typtype = 'b' AND o.typisdefined THEN pg_catalog.concat_ws(' ', o.typlen, o.typbyval, o.typalign, o.typstorage, o.typcategory, o.typispreferred, pg_catalog.quote_literal(o.typdelim::text), CASE WHEN o.typelem <> 0 THEN pg_catalog.format_type(o.typelem, NULL) END, o.typcollation <> 0) END`},
			},
		},
		{
			name: "casts", identity: identified("pg_cast", "o.oid"),
			places: places(place("pg_cast", "o.oid")),
			from:   `pg_catalog.pg_cast o WHERE o.oid >= ` + firstNormal + ` AND ` + ownMaking("pg_cast", "o.oid"),
			attributes: []attribute{
				{name: "function", sql: `nullif(o.castfunc, 0)::pg_catalog.regprocedure`},
				{name: "context", sql: `o.castcontext`},
				{name: "method", sql: `o.castmethod`},
			},
		},
		{
			name: "operators", identity: identified("pg_operator", "o.oid"),
			places: places(place("pg_operator", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprcode <> 0 AND ` + userSchema + ` AND ` + apart("pg_operator", "o.oid"),
			attributes: []attribute{
				owner("o.oprowner"),
				{name: "function", sql: `o.oprcode::pg_catalog.regprocedure`},
				{name: "result", sql: `pg_catalog.format_type(o.oprresult, NULL)`},
				{name: "commutator and negator", sql: `pg_catalog.concat_ws(' ', nullif(o.oprcom, 0)::pg_catalog.regoperator, 'negator ' || nullif(o.oprnegate, 0)::pg_catalog.regoperator)`},
				{name: "estimators", sql: `pg_catalog.concat_ws(' ', nullif(o.oprrest, 0)::pg_catalog.regproc, 'join ' || nullif(o.oprjoin, 0)::pg_catalog.regproc)`},
				{name: "hashes and merges", sql: `pg_catalog.concat_ws(' ', o.oprcanhash, o.oprcanmerge)`},
			},
		},
		{
			name: "operator families", identity: identified("pg_opfamily", "o.oid"),
			places:     places(place("pg_opfamily", "o.oid"), `(SELECT `+place("pg_opclass", "c.oid")+` FROM pg_catalog.pg_opclass c WHERE c.opcfamily = o.oid LIMIT 1)`, inSchema("n.nspname")),
			from:       `pg_catalog.pg_opfamily o JOIN pg_catalog.pg_namespace n ON n.oid = o.opfnamespace WHERE ` + userSchema + ` AND ` + apart("pg_opfamily", "o.oid"),
			attributes: []attribute{owner("o.opfowner")},
		},
		{
			name: "operator classes", identity: identified("pg_opclass", "o.oid"),
			places: places(place("pg_opclass", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_opclass o JOIN pg_catalog.pg_namespace n ON n.oid = o.opcnamespace WHERE ` + userSchema + ` AND ` + apart("pg_opclass", "o.oid"),
			attributes: []attribute{
				owner("o.opcowner"),
				{name: "family", sql: identified("pg_opfamily", "o.opcfamily")},
				{name: "types", sql: `pg_catalog.concat_ws(' ', pg_catalog.format_type(o.opcintype, NULL), 'keeps ' || CASE WHEN o.opckeytype <> 0 THEN pg_catalog.format_type(o.opckeytype, NULL) END)`},
				{name: "default", sql: `o.opcdefault`},
			},
		},
		{
			name: familyOperators, identity: identified("pg_amop", "o.oid"),
			places:     placesInFamily("pg_amop", "o.amopfamily"),
			from:       `pg_catalog.pg_amop o WHERE o.oid >= ` + firstNormal + ` AND ` + apart("pg_opfamily", "o.amopfamily") + ` AND ` + apart("pg_operator", "o.amopopr"),
			attributes: []attribute{{name: "operator", sql: `o.amopopr::pg_catalog.regoperator`}, {name: "purpose", sql: `pg_catalog.concat_ws(' ', o.amoppurpose, CASE WHEN o.amopsortfamily <> 0 THEN ` + identified("pg_opfamily", "o.amopsortfamily") + ` END)`}},
		},
		{
			name: familyFunctions, identity: identified("pg_amproc", "o.oid"),
			places:     placesInFamily("pg_amproc", "o.amprocfamily"),
			from:       `pg_catalog.pg_amproc o WHERE o.oid >= ` + firstNormal + ` AND ` + apart("pg_opfamily", "o.amprocfamily") + ` AND ` + apart("pg_proc", "o.amproc"),
			attributes: []attribute{{name: "function", sql: `o.amproc::pg_catalog.regprocedure`}},
		},
		{
			name: "languages", identity: `'language ' || pg_catalog.quote_ident(o.lanname)`,
			places: places(place("pg_language", "o.oid")),
			from:   `pg_catalog.pg_language o WHERE o.oid >= ` + firstNormal + ` AND ` + apart("pg_language", "o.oid"),
			attributes: []attribute{
				owner("o.lanowner"), privileges("o.lanacl", "'l'", "o.lanowner"),
				{name: "trusted", sql: `o.lanpltrusted`},
				{name: "functions", sql: `pg_catalog.concat_ws(' ', nullif(o.lanplcallfoid, 0)::pg_catalog.regproc, nullif(o.laninline, 0)::pg_catalog.regproc, nullif(o.lanvalidator, 0)::pg_catalog.regproc)`},
			},
		},
		{
			name: "transforms", identity: identified("pg_transform", "o.oid"),
			places:     places(place("pg_transform", "o.oid")),
			from:       `pg_catalog.pg_transform o WHERE o.oid >= ` + firstNormal + ` AND ` + apart("pg_transform", "o.oid"),
			attributes: []attribute{{name: "functions", sql: `pg_catalog.concat_ws(' ', nullif(o.trffromsql, 0)::pg_catalog.regprocedure, 'to ' || nullif(o.trftosql, 0)::pg_catalog.regprocedure)`}},
		},
		{
			name: "access methods", identity: `'access method ' || pg_catalog.quote_ident(o.amname)`,
			places:     places(place("pg_am", "o.oid")),
			from:       `pg_catalog.pg_am o WHERE o.oid >= ` + firstNormal + ` AND ` + apart("pg_am", "o.oid"),
			attributes: []attribute{{name: "handler", sql: `o.amhandler::pg_catalog.regproc`}, {name: "type", sql: `o.amtype`}},
		},
	}
}
