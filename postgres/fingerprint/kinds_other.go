package fingerprint

// texts are collations, conversions and text search.
func texts() []kind {
	return []kind{
		{
			name: "collations", identity: `'collation ' || ` + name("n.nspname", "o.collname"),
			places: places(place("pg_collation", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace n ON n.oid = o.collnamespace WHERE ` + userSchema + ` AND ` + apart("pg_collation", "o.oid"),
			attributes: []attribute{
				owner("o.collowner"),
				{name: "provider", sql: `o.collprovider`},
				{name: "deterministic", sql: `o.collisdeterministic`},
				// Where the name of an ICU locale is kept differs from major to major.
				{name: "locale", sql: `pg_catalog.concat_ws(' ', o.collcollate, o.collctype)`, spelled: true, until: 14},
				{name: "locale", sql: `pg_catalog.concat_ws(' ', o.collcollate, o.collctype, o.colliculocale)`, spelled: true, since: 15, until: 16},
				{name: "locale", sql: `pg_catalog.concat_ws(' ', o.collcollate, o.collctype, o.colllocale)`, spelled: true, since: 17},
				{name: "rules", sql: `o.collicurules`, since: 16},
			},
		},
		{
			name: "conversions", identity: `'conversion ' || ` + name("n.nspname", "o.conname"),
			places: places(place("pg_conversion", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_conversion o JOIN pg_catalog.pg_namespace n ON n.oid = o.connamespace WHERE ` + userSchema + ` AND ` + apart("pg_conversion", "o.oid"),
			attributes: []attribute{
				owner("o.conowner"),
				{name: "encodings", sql: `pg_catalog.format('%s to %s', pg_catalog.pg_encoding_to_char(o.conforencoding), pg_catalog.pg_encoding_to_char(o.contoencoding))`},
				{name: "function", sql: `o.conproc::pg_catalog.regproc`},
				{name: "default", sql: `o.condefault`},
			},
		},
		{
			name: "text search parsers", identity: `'text search parser ' || ` + name("n.nspname", "o.prsname"),
			places:     places(place("pg_ts_parser", "o.oid"), inSchema("n.nspname")),
			from:       `pg_catalog.pg_ts_parser o JOIN pg_catalog.pg_namespace n ON n.oid = o.prsnamespace WHERE ` + userSchema + ` AND ` + apart("pg_ts_parser", "o.oid"),
			attributes: []attribute{{name: "functions", sql: `pg_catalog.concat_ws(' ', o.prsstart, o.prstoken, o.prsend, o.prsheadline, o.prslextype)`}},
		},
		{
			name: "text search templates", identity: `'text search template ' || ` + name("n.nspname", "o.tmplname"),
			places:     places(place("pg_ts_template", "o.oid"), inSchema("n.nspname")),
			from:       `pg_catalog.pg_ts_template o JOIN pg_catalog.pg_namespace n ON n.oid = o.tmplnamespace WHERE ` + userSchema + ` AND ` + apart("pg_ts_template", "o.oid"),
			attributes: []attribute{{name: "functions", sql: `pg_catalog.concat_ws(' ', o.tmplinit, o.tmpllexize)`}},
		},
		{
			name: "text search dictionaries", identity: `'text search dictionary ' || ` + name("n.nspname", "o.dictname"),
			places: places(place("pg_ts_dict", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_ts_dict o JOIN pg_catalog.pg_namespace n ON n.oid = o.dictnamespace WHERE ` + userSchema + ` AND ` + apart("pg_ts_dict", "o.oid"),
			attributes: []attribute{
				owner("o.dictowner"),
				{name: "template", sql: identified("pg_ts_template", "o.dicttemplate")},
				{name: "options", sql: `o.dictinitoption`},
			},
		},
		{
			name: "text search configurations", identity: `'text search configuration ' || ` + name("n.nspname", "o.cfgname"),
			places: places(place("pg_ts_config", "o.oid"), inSchema("n.nspname")),
			from:   `pg_catalog.pg_ts_config o JOIN pg_catalog.pg_namespace n ON n.oid = o.cfgnamespace WHERE ` + userSchema + ` AND ` + apart("pg_ts_config", "o.oid"),
			attributes: []attribute{
				owner("o.cfgowner"),
				{name: "parser", sql: identified("pg_ts_parser", "o.cfgparser")},
				{name: "dictionaries", sql: `(SELECT pg_catalog.string_agg(pg_catalog.format('%s: %s', m.maptokentype, m.mapdict::pg_catalog.regdictionary), ', ' ORDER BY m.maptokentype, m.mapseqno) FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = o.oid)`},
			},
		},
	}
}

// foreign are wrappers, servers and users of them. Their options may hold passwords.
func foreign() []kind {
	return []kind{
		{
			name: "foreign-data wrappers", identity: `'foreign-data wrapper ' || pg_catalog.quote_ident(o.fdwname)`,
			places: places(place("pg_foreign_data_wrapper", "o.oid")),
			from:   `pg_catalog.pg_foreign_data_wrapper o WHERE ` + apart("pg_foreign_data_wrapper", "o.oid"),
			attributes: []attribute{
				owner("o.fdwowner"), privileges("o.fdwacl", "'F'", "o.fdwowner"),
				{name: "functions", sql: `pg_catalog.concat_ws(' ', nullif(o.fdwhandler, 0)::pg_catalog.regproc, 'validator ' || nullif(o.fdwvalidator, 0)::pg_catalog.regproc)`},
				{name: "hash of its options", sql: hashed("o.fdwoptions")},
			},
		},
		{
			name: "foreign servers", identity: `'server ' || pg_catalog.quote_ident(o.srvname)`,
			places: places(place("pg_foreign_server", "o.oid")),
			from:   `pg_catalog.pg_foreign_server o WHERE ` + apart("pg_foreign_server", "o.oid"),
			attributes: []attribute{
				owner("o.srvowner"), privileges("o.srvacl", "'S'", "o.srvowner"),
				{name: "wrapper", sql: `(SELECT w.fdwname FROM pg_catalog.pg_foreign_data_wrapper w WHERE w.oid = o.srvfdw)`},
				{name: "type and version", sql: `pg_catalog.concat_ws(' ', o.srvtype, o.srvversion)`},
				{name: "hash of its options", sql: hashed("o.srvoptions")},
			},
		},
		{
			// The options of a mapping are shown to few, and to the others as none.
			name: "user mappings", identity: `pg_catalog.format('user mapping for %s on server %I', CASE o.umuser WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(o.usename) END, o.srvname)`,
			places: places(place("pg_foreign_server", "o.srvid")),
			from:   `pg_catalog.pg_user_mappings o WHERE ` + apart("pg_foreign_server", "o.srvid"),
		},
	}
}

// replication are publications, subscriptions and event triggers.
func replication() []kind {
	return []kind{
		{
			name: "publications", identity: `'publication ' || pg_catalog.quote_ident(o.pubname)`,
			places: places(place("pg_publication", "o.oid")),
			from:   `pg_catalog.pg_publication o WHERE ` + apart("pg_publication", "o.oid"),
			attributes: []attribute{
				owner("o.pubowner"),
				{name: "all tables", sql: `o.puballtables`},
				{name: "publishes", sql: `pg_catalog.concat_ws(' ', CASE WHEN o.pubinsert THEN 'insert' END, CASE WHEN o.pubupdate THEN 'update' END, CASE WHEN o.pubdelete THEN 'delete' END, CASE WHEN o.pubtruncate THEN 'truncate' END)`},
				{name: "by the root", sql: `o.pubviaroot`},
				{name: "generated columns", sql: `o.pubgencols`, since: 18},
			},
		},
		{
			name: "published tables", identity: `pg_catalog.format('publication %I of table %s', o.pubname, r.prrelid::pg_catalog.regclass)`,
			places: places(place("pg_publication_rel", "r.oid"), place("pg_publication", "o.oid"), place("pg_class", "r.prrelid")),
			from:   `pg_catalog.pg_publication o JOIN pg_catalog.pg_publication_rel r ON r.prpubid = o.oid WHERE ` + apart("pg_publication", "o.oid"),
			attributes: []attribute{
				{name: "columns", sql: `(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attname COLLATE "C") FROM pg_catalog.unnest(r.prattrs) k JOIN pg_catalog.pg_attribute a ON a.attrelid = r.prrelid AND a.attnum = k)`, since: 15},
				{name: "where", sql: `pg_catalog.pg_get_expr(r.prqual, r.prrelid)`, spelled: true, since: 15},
			},
		},
		{
			name: "published schemas", since: 15, identity: `pg_catalog.format('publication %I of schema %I', o.pubname, n.nspname)`,
			places: places(place("pg_publication_namespace", "p.oid"), place("pg_publication", "o.oid")),
			from:   `pg_catalog.pg_publication o JOIN pg_catalog.pg_publication_namespace p ON p.pnpubid = o.oid JOIN pg_catalog.pg_namespace n ON n.oid = p.pnnspid`,
		},
		{
			// Only a superuser's dump holds them, and always switched off.
			name: "subscriptions", superuser: true, identity: `'subscription ' || pg_catalog.quote_ident(o.subname)`,
			places: places(place("pg_subscription", "o.oid")),
			from:   `pg_catalog.pg_subscription o WHERE o.subdbid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())`,
			attributes: []attribute{
				owner("o.subowner"),
				{name: "publications", sql: sorted("o.subpublications")},
				{name: "slot", sql: `o.subslotname`},
				{name: "hash of its connection", sql: `pg_catalog.md5(o.subconninfo)`},
				{name: "binary", sql: `o.subbinary`, since: 14},
				{name: "streaming", sql: `o.substream`, since: 14},
				{name: "two-phase", sql: `o.subtwophasestate <> 'd'`, since: 15},
				{name: "disabled by an error", sql: `o.subdisableonerr`, since: 15},
				{name: "password required", sql: `o.subpasswordrequired`, since: 16},
				{name: "runs as its owner", sql: `o.subrunasowner`, since: 16},
				{name: "origin", sql: `o.suborigin`, since: 16},
				{name: "failover", sql: `o.subfailover`, since: 17},
				{name: "synchronous commit", sql: `o.subsynccommit`},
			},
		},
		{
			name: "event triggers", identity: `'event trigger ' || pg_catalog.quote_ident(o.evtname)`,
			places: places(place("pg_event_trigger", "o.oid")),
			from:   `pg_catalog.pg_event_trigger o WHERE ` + apart("pg_event_trigger", "o.oid"),
			attributes: []attribute{
				owner("o.evtowner"),
				{name: "event", sql: `o.evtevent`},
				{name: "function", sql: `o.evtfoid::pg_catalog.regprocedure`},
				{name: "enabled", sql: enabled("o.evtenabled")},
				{name: "tags", sql: sorted("o.evttags")},
			},
		},
	}
}

// about is what is said of objects: extensions, comments, labels, and privileges that were changed or will be given.
func about() []kind {
	const subscription = `o.classoid = 'pg_catalog.pg_subscription'::pg_catalog.regclass`
	said := func(kindName, word, catalog, which string, a attribute) kind {
		return kind{
			name: kindName, identity: word + ` || i.type || ' ' || i.identity`, places: placesOf("o.classoid", "o.objoid"),
			from: `pg_catalog.` + catalog + ` o, LATERAL pg_catalog.pg_identify_object(CASE WHEN ` + which + ` THEN o.classoid END, o.objoid, o.objsubid) i
 WHERE (o.objoid >= ` + firstNormal + ` OR o.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND o.objoid = (SELECT s.oid FROM pg_catalog.pg_namespace s WHERE s.nspname = 'public')) AND i.identity !~ '(^| on )pg_(temp|toast)'
 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = o.classoid AND x.objid = o.objoid AND x.deptype = 'e')`,
			attributes: []attribute{a},
		}
	}
	comments := said("comments", `'comment on '`, "pg_description", `NOT `+subscription, attribute{name: "text", sql: `o.description`})
	// A subscription that is dropped leaves its comment, with which nothing can be done.
	ofSubscriptions := said("comments on subscriptions", `'comment on '`, "pg_description", subscription+` AND EXISTS (SELECT FROM pg_catalog.pg_subscription s WHERE s.oid = o.objoid)`, attribute{name: "text", sql: `o.description`})
	ofSubscriptions.superuser = true
	labels := said("security labels", `'security label ' || pg_catalog.quote_ident(o.provider) || ' on '`, "pg_seclabel", `NOT `+subscription, attribute{name: "text", sql: `o.label`})
	const current = `d.datname = pg_catalog.current_database()`
	return []kind{
		{
			name: databaseKind, identity: `'database'`, places: `'` + AtDatabase + `'`,
			from: `pg_catalog.pg_database d WHERE ` + current,
			attributes: []attribute{
				owner("d.datdba"), privileges("d.datacl", "'d'", "d.datdba"),
				{name: "encoding", sql: `pg_catalog.pg_encoding_to_char(d.encoding)`},
				{name: "collation and character type", sql: `pg_catalog.concat_ws(' ', d.datcollate, d.datctype)`},
				{name: "locale provider", sql: `d.datlocprovider`, since: 15},
				{name: "locale", sql: `d.daticulocale`, spelled: true, since: 15, until: 16},
				{name: "locale", sql: `d.datlocale`, spelled: true, since: 17},
				{name: "rules of its collation", sql: `d.daticurules`, since: 16},
				{name: "tablespace", sql: `(SELECT s.spcname FROM pg_catalog.pg_tablespace s WHERE s.oid = d.dattablespace)`},
				{name: "connection limit", sql: `d.datconnlimit`},
				{name: isTemplate, sql: `d.datistemplate`},
				{name: "comment", sql: `pg_catalog.shobj_description(d.oid, 'pg_database')`},
			},
		},
		{
			name: "settings of the database", identity: `'setting ' || pg_catalog.split_part(c, '=', 1) || coalesce(' of role ' || pg_catalog.quote_ident(r.rolname), '')`,
			places: `'` + AtDatabase + `'`,
			from: `pg_catalog.pg_database d JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = d.oid LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, pg_catalog.unnest(s.setconfig) c
 WHERE ` + current + ` AND (s.setrole = 0 OR r.oid IS NOT NULL)`,
			attributes: []attribute{{name: "value", sql: `pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)`}},
		},
		{
			name: extensionsKind, identity: `'extension ' || pg_catalog.quote_ident(o.extname)`,
			places: places(place("pg_extension", "o.oid")),
			from:   `pg_catalog.pg_extension o JOIN pg_catalog.pg_namespace n ON n.oid = o.extnamespace`,
			attributes: []attribute{
				{name: "schema", sql: `n.nspname`},
				{name: extensionVersion, sql: `o.extversion`},
				{name: extensionMembers, sql: `(SELECT pg_catalog.count(*) || ' ' || pg_catalog.md5(pg_catalog.string_agg(i.type || ' ' || i.identity, ', ' ORDER BY (i.type || ' ' || i.identity) COLLATE "C"))
  FROM pg_catalog.pg_depend p, LATERAL pg_catalog.pg_identify_object(p.classid, p.objid, 0) i WHERE p.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND p.refobjid = o.oid AND p.deptype = 'e')`},
			},
		},
		comments,
		ofSubscriptions,
		labels,
		initial("pg_class", "o.relacl", "o.relowner", "CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END", "o.relnamespace"),
		initialOfColumns(),
		initial("pg_proc", "o.proacl", "o.proowner", "'f'", "o.pronamespace"),
		initial("pg_type", "o.typacl", "o.typowner", "'T'", "o.typnamespace"),
		initial("pg_language", "o.lanacl", "o.lanowner", "'l'", ""),
		initial("pg_namespace", "o.nspacl", "o.nspowner", "'n'", ""),
		initial("pg_foreign_data_wrapper", "o.fdwacl", "o.fdwowner", "'F'", ""),
		initial("pg_foreign_server", "o.srvacl", "o.srvowner", "'S'", ""),
		{
			name: defaultPrivileges, identity: `pg_catalog.format('default privileges of %I on %s%s', pg_catalog.pg_get_userbyid(o.defaclrole), CASE o.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END, ' in schema ' || pg_catalog.quote_ident(n.nspname))`,
			places:     places(place("pg_default_acl", "o.oid")),
			from:       `pg_catalog.pg_default_acl o LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.defaclnamespace`,
			attributes: []attribute{{name: privilegesAttribute, sql: granted("o.defaclacl", "o.defaclrole")}},
		},
		{
			name: largeObjects, identity: `'large object ' || o.oid`,
			places:     `'` + AtLargeObjects + `'`,
			from:       `pg_catalog.pg_largeobject_metadata o`,
			attributes: []attribute{owner("o.lomowner"), privileges("o.lomacl", "'L'", "o.lomowner")},
		},
	}
}

// initial reads the privileges of objects that a dump does not make, the server's own and those of extensions,
// if they are no longer those with which the objects came.
func initial(catalog, acl, own, letter, namespace string) kind {
	from := `pg_catalog.` + catalog + ` o`
	where := ` WHERE (o.oid < ` + firstNormal + ` OR ` + member(catalog, "o.oid") + `)`
	if catalog == "pg_namespace" {
		where += ` AND o.nspname <> 'public' AND o.nspname !~ '^pg_(temp|toast)'`
	} else if namespace != "" {
		from += ` JOIN pg_catalog.pg_namespace n ON n.oid = ` + namespace + ` AND n.nspname !~ '^pg_(temp|toast)'`
	}
	list := []string{place(catalog, "o.oid")}
	if namespace != "" {
		list = append(list, inSchema("n.nspname"))
	}
	from += ` LEFT JOIN pg_catalog.pg_init_privs p ON p.classoid = 'pg_catalog.` + catalog + `'::pg_catalog.regclass AND p.objoid = o.oid AND p.objsubid = 0`
	now := granted(`coalesce(`+acl+`, pg_catalog.acldefault(`+letter+`::"char", `+own+`))`, own)
	first := granted(`coalesce(p.initprivs, pg_catalog.acldefault(`+letter+`::"char", `+own+`))`, own)
	return kind{
		name:     changedPrivileges + " (" + catalog + ")",
		identity: `'privileges on ' || ` + identified(catalog, "o.oid"),
		places:   places(list...),
		from:     from + where + ` AND ` + acl + ` IS DISTINCT FROM p.initprivs AND ` + now + ` IS DISTINCT FROM ` + first,
		attributes: []attribute{
			{name: privilegesAttribute, sql: now},
		},
	}
}

// initialOfColumns is initial for the columns of such tables.
func initialOfColumns() kind {
	now, first := granted("a.attacl", "o.relowner"), granted("p.initprivs", "o.relowner")
	return kind{
		name:     changedPrivileges + " (pg_attribute)",
		identity: `'privileges on ' || (SELECT i.type || ' ' || i.identity FROM pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, o.oid, a.attnum) i)`,
		places:   places(place("pg_class", "o.oid"), inSchema("n.nspname")),
		from: `pg_catalog.pg_attribute a JOIN pg_catalog.pg_class o ON o.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace AND n.nspname !~ '^pg_(temp|toast)'
 LEFT JOIN pg_catalog.pg_init_privs p ON p.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.objoid = o.oid AND p.objsubid = a.attnum
 WHERE a.attnum > 0 AND (a.attacl IS NOT NULL OR p.initprivs IS NOT NULL) AND (o.oid < ` + firstNormal + ` OR ` + member("pg_class", "o.oid") + `) AND ` + now + ` IS DISTINCT FROM ` + first,
		attributes: []attribute{{name: privilegesAttribute, sql: `coalesce(` + now + `, 'none')`}},
	}
}
