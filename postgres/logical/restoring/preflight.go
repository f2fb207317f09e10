package restoring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/globals"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// serverFacts is what preflight learnt of the server that a database is restored to.
type serverFacts struct {
	postgres.Server
	version      postgres.Version
	user         string
	tools        postgres.Tools
	maintenance  postgres.Config // a database other than the one restored
	roles        map[string]bool
	targetExists bool
}

// preflight looks at everything that could make the restore fail later and adds it to p, all of it at once.
func (t *Target) preflight(ctx context.Context, p *cofre.Plan) error {
	conn, err := t.openMaintenance(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	server, err := postgres.ReadServer(ctx, conn)
	if err != nil {
		return err
	}
	t.server.Server, t.server.version, t.server.user = server, server.Version, server.Role.Name
	if server.InRecovery {
		p.Refuse(cofre.Say("database.standby", "the server is a standby, and takes no writes"), cofre.Say("database.primary", "restore on the primary server"))
	}
	t.compareVersions(p)
	if t.server.tools, err = postgres.FindTools(ctx, max(server.Version, logical.RestoreNeeds(t.TOC.Version))); errors.Is(err, cofre.ErrNotFound) {
		p.Refuse(cofre.SayError(err), cofre.HintOf(err))
	} else if err != nil {
		return err
	}
	if !server.Role.Superuser && !server.Role.CreateDB {
		p.Refuse(cofre.Say("database.no_createdb", "role {{.role}} may not create databases", "role", server.Role.Name),
			t.createDB(pgarchive.Quote(server.Role.Name)))
	}
	for _, look := range []func(context.Context, *pgx.Conn, *cofre.Plan) error{
		t.leaveBound, t.lookAtSafe, t.lookAtName, t.lookAtRoles, t.lookAtExtensions, t.lookAtTablespaces, t.lookAtLocale, t.lookAtTables,
	} {
		if err := look(ctx, conn, p); err != nil {
			return err
		}
	}
	if err := t.lookForKept(ctx, conn); err != nil {
		return err
	}
	if err := t.lookAtLost(ctx, p); err != nil {
		return err
	}
	t.lookAtDisk(p)
	t.lookAtFlavour(p)
	return nil
}

// compareVersions looks whether the server knows what is restored.
func (t *Target) compareVersions(p *cofre.Plan) {
	source, here := logical.MajorOf(t.Facts.ServerVersion), t.server.version.Major()
	switch {
	case source > here:
		p.Refuse(cofre.Say("database.older_server", "the database was captured on PostgreSQL {{.source}}, and the server is PostgreSQL {{.server}}, which may not have what the definitions use", "source", source, "server", here),
			cofre.Say("database.newer_server", "restore on PostgreSQL {{.major}} or newer", "major", source))
	case source != 0 && source < here:
		p.Note(cofre.Say("database.upgrade", "this is an upgrade from PostgreSQL {{.source}} to {{.server}}", "source", source, "server", here))
	}
}

// openMaintenance connects to the configured database, or to another one if that is the one to be replaced,
// since a database cannot be renamed by a session that is in it, or if it does not exist, which may be the
// very reason for the restore.
func (t *Target) openMaintenance(ctx context.Context) (*pgx.Conn, error) {
	t.server.maintenance = t.o.Server
	var first error
	if t.o.Server.DatabaseName() != t.o.Name {
		conn, err := logical.Connect(ctx, t.server.maintenance, nil)
		if !errors.Is(err, cofre.ErrNotFound) {
			return conn, err
		}
		first = err
	}
	for _, name := range []string{"postgres", "template1"} {
		if name == t.o.Name {
			continue
		}
		t.server.maintenance = t.o.Server.With(name)
		conn, err := logical.Connect(ctx, t.server.maintenance, nil)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (t *Target) lookAtName(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	var sessions int
	var template bool
	err := conn.QueryRow(ctx, `
SELECT d.datistemplate, (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid AND a.backend_type = 'client backend')
FROM pg_catalog.pg_database d WHERE d.datname = $1`, t.o.Name).Scan(&template, &sessions)
	exists := err == nil
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("look for database %s: %w", t.o.Name, err)
	}
	t.server.targetExists = exists
	switch {
	case exists && !t.o.Replace:
		p.Refuse(cofre.Say("database.exists", "database {{.name}} exists already", "name", t.o.Name),
			cofre.Say("database.replace", "--replace keeps the old one under another name; or choose another name with --to"))
	case exists && template:
		p.Refuse(cofre.Say("database.template", "database {{.name}} is a template and is not replaced", "name", t.o.Name), cofre.Say("database.other_name", "choose another name with --to"))
	case exists && sessions > 0:
		p.Note(cofre.SayN("database.sessions_end", sessions, "database {{.name}} has 1 session now; if it is still there at the rename, it is ended", "database {{.name}} has {{.n}} sessions now; those that are still there at the rename are ended", "name", t.o.Name))
	}
	if t.fromTemplate() {
		if !exists {
			p.Refuse(cofre.Say("database.no_definitions", "database {{.name}} does not exist, and the chosen part of the point has no definitions", "name", t.o.Name),
				cofre.Say("database.with_definitions", "restore everything, or name a database that has the definitions"))
		} else if sessions > 0 {
			p.Refuse(cofre.SayN("database.copied_in_use", sessions, "database {{.name}} has 1 session, and it can only be copied while there is none", "database {{.name}} has {{.n}} sessions, and it can only be copied while there is none", "name", t.o.Name),
				cofre.Say("database.end_sessions", "end them, or stop what opens them"))
		}
	}
	left, err := conn.Query(ctx, `SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.starts_with(datname, $1) ORDER BY 1`, t.o.Name+"_restore_")
	if err != nil {
		return fmt.Errorf("look for staged databases: %w", err)
	}
	names, err := pgx.CollectRows(left, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for staged databases: %w", err)
	}
	for _, n := range names {
		p.Note(cofre.Say("database.left", "database {{.name}} was left by an earlier restore, or belongs to one that runs now; to remove it: {{.sql}}", "name", n, "sql", t.dropCommand(n)))
	}
	return nil
}

// neededRoles are the roles without which statements of the restore fail.
func (t *Target) neededRoles() []string {
	need := map[string]bool{}
	for _, e := range t.sel.TOC.Entries {
		if t.sel.Has(&e) && e.Owner != "" && !t.o.NoOwner {
			need[t.Decode(e.Owner)] = true
		}
	}
	if t.sel.Sections[pgarchive.SectionPostData] {
		for _, p := range t.Facts.Policies {
			for _, r := range p.Roles {
				need[r] = true
			}
		}
	}
	if !t.o.NoOwner && !t.fromTemplate() {
		need[t.Facts.Database.Owner] = true
	}
	if !t.o.NoPrivileges {
		lists := [][]string{t.Facts.Database.ACL}
		for _, g := range t.Facts.Grants {
			lists = append(lists, g.ACL)
		}
		for _, list := range lists {
			for _, text := range list {
				if item, err := logical.ParseACLItem(text); err == nil && !(t.o.NoOwner && item.Grantee == t.Facts.Database.Owner) {
					need[item.Grantee] = true
				}
			}
		}
	}
	if !t.o.NoOwner && !t.o.NoPrivileges && !t.sel.Partial {
		for _, r := range t.Facts.Roles {
			need[r] = true
		}
	}
	delete(need, "")
	delete(need, "public")
	return slices.Sorted(maps.Keys(need))
}

// databaseOwner has one member, who is not written down: the owner of the database that one is connected to.
//
// Source: PostgreSQL 14, src/backend/utils/adt/acl.c, roles_is_member_of.
const databaseOwner = "pg_database_owner"

func (t *Target) lookAtRoles(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	// The server keeps the bytes of a role's name; which name they are depends on the encoding of the database that says it.
	rows, err := conn.Query(ctx, `SELECT `+postgres.RawRoleName+`, pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER') FROM pg_catalog.pg_roles r`)
	if err != nil {
		return fmt.Errorf("list the roles: %w", err)
	}
	t.server.roles = map[string]bool{}
	member := map[string]bool{}
	var raw []byte
	var may bool
	if _, err := pgx.ForEachRow(rows, []any{&raw, &may}, func() error {
		name := t.Decode(string(raw))
		t.server.roles[name], member[name] = true, may
		return nil
	}); err != nil {
		return fmt.Errorf("list the roles: %w", err)
	}
	needed := t.neededRoles()
	missing := slices.DeleteFunc(slices.Clone(needed), func(r string) bool { return t.server.roles[r] })
	if len(missing) > 0 && !t.o.Roles {
		p.Refuse(cofre.SayN("database.roles_missing", len(missing), "1 role is missing on the server: {{.roles}}", "{{.n}} roles are missing on the server: {{.roles}}", "roles", strings.Join(missing, ", ")),
			t.withoutRoles(missing))
	}
	if err := t.chooseRoles(ctx, conn, p, needed); err != nil {
		return err
	}
	if !t.server.Role.Superuser && !t.o.NoOwner {
		var not []string
		for _, r := range needed {
			if owns := slices.ContainsFunc(t.TOC.Entries, func(e pgarchive.Entry) bool { return t.Decode(e.Owner) == r }); owns && t.server.roles[r] && !member[r] && r != databaseOwner && !slices.Contains(missing, r) {
				not = append(not, r)
			}
		}
		if len(not) > 0 {
			way := cofre.Say("database.be_member", "connect as a superuser, or GRANT {{.owners}} TO {{.role}}, or use --no-owner", "owners", quoted(not), "role", pgarchive.Typed(t.server.user))
			if t.o.Safe {
				way = cofre.Say("database.be_safe_member", "GRANT {{.owners}} TO {{.role}}, or use --no-owner", "owners", quoted(not), "role", pgarchive.Typed(t.server.user))
			}
			p.Refuse(cofre.Say("database.not_member", "role {{.role}} is not a member of {{.owners}}, and so cannot make them the owners of objects", "role", t.server.user, "owners", strings.Join(not, ", ")), way)
		}
	}
	for _, s := range t.Facts.Database.Settings {
		if s.Role != "" && !t.server.roles[s.Role] {
			p.Note(cofre.Say("database.setting_left_out", "setting {{.name}} of role {{.role}} is left out: the server does not have the role", "name", s.Name, "role", s.Role))
			t.settingsLeft = append(t.settingsLeft, s)
		}
	}
	return t.leaveSettings(ctx, conn, p)
}

// leaveSettings leaves out what the role that restores may not set, and says who may. A database is restored without it; whoever may sets it afterwards.
func (t *Target) leaveSettings(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	if t.server.Role.Superuser {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(t.Facts.Database.Settings), func(s logical.Setting) bool { return slices.Contains(t.settingsLeft, s) })
	not, err := logical.NotPermitted(ctx, conn, rest)
	if err != nil {
		return fmt.Errorf("ask which settings of the database may be made: %w", err)
	}
	for _, s := range not {
		p.Note(cofre.Say("database.setting_not_permitted", "setting {{.name}} is left out, since {{.role}} may not make it; afterwards, as a superuser, in psql: {{.sql}}", "name", s.Name, "role", t.server.user, "sql", s.Statement(pgarchive.Typed(t.o.Name))+";"))
	}
	t.settingsLeft = append(t.settingsLeft, not...)
	return nil
}

// withoutRoles says how a restore goes on without roles that the server does not have. No flag leaves out what a policy says of
// whom it is for: without the role it would be for others, or for nobody.
func (t *Target) withoutRoles(missing []string) cofre.Message {
	var named []string
	if t.sel.Sections[pgarchive.SectionPostData] {
		for _, r := range missing {
			if slices.ContainsFunc(t.Facts.Policies, func(p logical.PolicyFacts) bool { return slices.Contains(p.Roles, r) }) {
				named = append(named, r)
			}
		}
	}
	if len(named) == 0 {
		return cofre.Say("database.roles_flags", "--roles creates them as they were captured; --no-owner and --no-privileges do without owners and grants")
	}
	return cofre.Say("database.roles_policies", "--roles creates them as they were captured; policies name {{.roles}}, which --no-owner and --no-privileges do not leave out: without --roles, in psql: {{.sql}}", "roles", strings.Join(named, ", "), "sql", createRoles(named))
}

// createRoles are the statements that make roles with which nobody can log in.
func createRoles(names []string) string {
	sql := make([]string, len(names))
	for i, n := range names {
		sql[i] = "CREATE ROLE " + pgarchive.Typed(n) + ";"
	}
	return strings.Join(sql, " ")
}

// quoted are names as they stand in SQL.
func quoted(names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = pgarchive.Typed(n)
	}
	return strings.Join(all, ", ")
}

// chooseRoles decides which roles are made, and says which are not: an application that cannot log in after a restore is
// as good as none.
func (t *Target) chooseRoles(ctx context.Context, conn *pgx.Conn, p *cofre.Plan, needed []string) error {
	// The script has names as the server keeps them; the facts have what they are in the encoding of this database.
	script := t.DecodeLines(t.Globals)
	statements, unknown, left := globals.ToCreate(script, needed, t.server.roles)
	names := globals.Roles(statements)
	memberships, err := readMemberships(ctx, conn)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, m := range memberships {
		have[m] = true
	}
	if absent := globals.MissingMemberships(script, t.server.roles, have); len(absent) > 0 && !t.sel.Partial {
		p.Note(cofre.Say("database.memberships_absent", "these memberships were captured and are not on the server; their roles exist, and so they are not created: {{.sql}}", "sql", strings.Join(absent, "; ")))
	}
	if !t.o.Roles {
		if users := slices.DeleteFunc(names, func(r string) bool { return slices.Contains(needed, r) }); len(users) > 0 && !t.sel.Partial {
			p.Note(cofre.SayN("database.users_missing", len(users), "1 role is missing on the server that uses this database, as a member of another, and is not created without --roles: {{.roles}}",
				"{{.n}} roles are missing on the server that use this database, as members of others, and are not created without --roles: {{.roles}}", "roles", strings.Join(users, ", ")))
		}
		return nil
	}
	t.roles = statements
	if len(unknown) > 0 {
		p.Refuse(cofre.Say("database.roles_unknown", "the globals of the point do not have {{.roles}}", "roles", strings.Join(unknown, ", ")), cofre.Say("database.roles_by_hand", "create these roles by hand, in psql: {{.sql}}", "sql", createRoles(unknown)))
	}
	if len(statements) > 0 && !t.server.Role.Superuser && !t.server.Role.CreateRole {
		p.Refuse(cofre.Say("database.no_createrole", "role {{.role}} may not create roles", "role", t.server.user), cofre.Say("database.createrole", "connect as a superuser, or as a role with CREATEROLE"))
	}
	if len(names) > 0 {
		p.Note(cofre.Say("database.roles_stay", "roles that are created stay, even if the restore fails; a role whose password was not captured cannot log in by password until one is set"))
	}
	if len(left) > 0 {
		p.Note(cofre.SayN("database.roles_left", len(left), "1 role was captured and is not created, because it does not use this database: {{.roles}}",
			"{{.n}} roles were captured and are not created, because they do not use this database: {{.roles}}", "roles", strings.Join(left, ", ")))
	}
	for _, r := range names {
		t.server.roles[r] = true
	}
	return nil
}

func (t *Target) lookAtExtensions(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	var needed []string
	for _, e := range t.sel.Entries(pgarchive.SectionPreData) {
		if e.Desc == "EXTENSION" {
			needed = append(needed, e.Tag)
		}
	}
	if len(needed) == 0 {
		return nil
	}
	type available struct {
		superuser      bool
		trusted        bool
		all            []string
		defaultVersion string
	}
	rows, err := conn.Query(ctx, `
SELECT a.name, coalesce(a.default_version, ''), v.superuser, v.trusted,
       (SELECT pg_catalog.array_agg(x.version) FROM pg_catalog.pg_available_extension_versions x WHERE x.name = a.name)
FROM pg_catalog.pg_available_extensions a JOIN pg_catalog.pg_available_extension_versions v ON v.name = a.name AND v.version = a.default_version
WHERE a.name = ANY($1)`, needed)
	if err != nil {
		return fmt.Errorf("list the available extensions: %w", err)
	}
	have := map[string]available{}
	var name string
	var a available
	if _, err := pgx.ForEachRow(rows, []any{&name, &a.defaultVersion, &a.superuser, &a.trusted, &a.all}, func() error {
		a.all = slices.Clone(a.all)
		have[name] = a
		return nil
	}); err != nil {
		return fmt.Errorf("list the available extensions: %w", err)
	}
	captured := map[string]string{}
	for _, e := range t.Facts.Extensions {
		captured[e.Name] = e.Version
	}
	var missing, absent, denied []string
	for _, n := range needed {
		a, ok := have[n]
		switch {
		case !ok:
			missing, absent = append(missing, strings.TrimSpace(n+" "+captured[n])), append(absent, n)
		case a.superuser && !a.trusted && !t.server.Role.Superuser:
			denied = append(denied, n)
		}
		if ok && captured[n] != "" && a.defaultVersion != captured[n] {
			p.Note(cofre.Say("database.extension_version", "extension {{.name}} will have version {{.here}}; {{.captured}} was captured", "name", n, "here", a.defaultVersion, "captured", captured[n]))
		}
	}
	if len(missing) > 0 {
		hint := cofre.Say("database.extension_packages", "install their packages on the server, for its major version")
		if command := postgres.ExtensionPackages(t.server.version.Major(), absent); command != "" {
			hint = cofre.Say("database.extension_install", "install them on the server; on Debian and Ubuntu: {{.command}}", "command", command)
		}
		if t.Facts.Flavour == "supabase" {
			hint = cofre.Say("database.extension_supabase", "restore on a server of Supabase's own image (supabase/postgres), which has them")
		}
		p.Refuse(cofre.SayN("database.extensions_missing", len(missing), "the server does not have 1 extension: {{.names}}", "the server does not have {{.n}} extensions: {{.names}}", "names", strings.Join(missing, ", ")), hint)
	}
	if len(denied) > 0 {
		p.Refuse(cofre.Say("database.extensions_denied", "role {{.role}} may not create {{.names}}: only a superuser may", "role", t.server.user, "names", strings.Join(denied, ", ")),
			cofre.Say("database.superuser", "connect as a superuser (with Supabase: supabase_admin)"))
	}
	return nil
}

func (t *Target) lookAtTablespaces(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	need := map[string]bool{}
	if !t.fromTemplate() && t.Facts.Database.Tablespace != "" {
		need[t.Facts.Database.Tablespace] = true
	}
	for i := range t.TOC.Entries {
		if e := &t.TOC.Entries[i]; t.sel.Has(e) && e.Tablespace != "" {
			need[e.Tablespace] = true
		}
	}
	names := slices.Sorted(maps.Keys(need))
	rows, err := conn.Query(ctx, `SELECT n FROM pg_catalog.unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_tablespace WHERE spcname = n)`, names)
	if err != nil {
		return fmt.Errorf("list the tablespaces: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the tablespaces: %w", err)
	}
	if len(missing) > 0 {
		p.Refuse(cofre.SayN("database.tablespaces_missing", len(missing), "the server does not have 1 tablespace: {{.names}}", "the server does not have {{.n}} tablespaces: {{.names}}", "names", strings.Join(missing, ", ")),
			cofre.Say("database.create_tablespace", "CREATE TABLESPACE {{.name}} LOCATION '/a/directory/of/the/server'", "name", pgarchive.Typed(missing[0])))
	}
	return nil
}

// noLocale is the function of the server that says that it could not create a locale. The SQLSTATE is that of a locale in another encoding, too.
//
// Source: PostgreSQL 13 to 18, src/backend/utils/adt/pg_locale.c.
const noLocale = "report_newlocale_failure"

// lookAtLocale asks the server for a collation of the recorded locale, in a transaction that is rolled back:
// only the server knows what its operating system has.
func (t *Target) lookAtLocale(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	d := t.Facts.Database
	if t.fromTemplate() {
		return nil
	}
	major := t.server.version.Major()
	switch {
	case d.LocaleProvider == "icu" && major < 15, d.LocaleProvider == "builtin" && major < 17:
		since := map[string]int{"icu": 15, "builtin": 17}[d.LocaleProvider]
		p.Refuse(cofre.Say("database.locale_provider", "the database has locale provider {{.provider}}, which PostgreSQL {{.major}} does not know", "provider", d.LocaleProvider, "major", major),
			cofre.Say("database.newer_server", "restore on PostgreSQL {{.major}} or newer", "major", since))
		return nil
	}
	for _, locale := range slices.Compact([]string{d.Collate, d.CType}) {
		if locale == "" {
			continue
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
		_, err = tx.Exec(ctx, "CREATE COLLATION pg_temp.cofre_probe (provider = libc, locale = "+logical.Literal(locale)+")")
		if rb := tx.Rollback(ctx); rb != nil {
			return fmt.Errorf("roll back: %w", rb)
		}
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Routine == noLocale {
			p.Refuse(cofre.Say("database.locale", "the server's operating system does not have locale {{.locale}}", "locale", locale),
				cofre.Say("database.locale_gen", "generate it there (locale-gen, localedef or the locales package), and restart PostgreSQL"))
		}
	}
	if d.CollationVersion != "" {
		var here *string
		// Databases of the server share its C library: what this one says of its own is what the new one gets.
		if major >= 15 {
			err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_database_collation_actual_version(oid) FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() AND datcollate = $1`, d.Collate).Scan(&here)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("read the version of the collation: %w", err)
			}
			if here != nil && *here != d.CollationVersion {
				p.Note(cofre.Say("database.collation_version", "the collation's version is {{.here}} here, and {{.captured}} was captured: text may sort differently; indexes are built again", "here", *here, "captured", d.CollationVersion))
			}
		}
	}
	return nil
}

// lookAtTables asks, if rows go into tables that exist, whether those are empty: rows that are there would
// be mixed with those of the point.
func (t *Target) lookAtTables(ctx context.Context, _ *pgx.Conn, p *cofre.Plan) error {
	if !t.fromTemplate() || !t.sel.Sections[pgarchive.SectionData] || !t.server.targetExists {
		return nil
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.o.Name), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	var missing, full []string
	objects := false
	for _, e := range t.sel.Entries(pgarchive.SectionData) {
		if e.Desc == "BLOBS" && t.o.DataOnly && !objects {
			if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)").Scan(&objects); err != nil {
				return fmt.Errorf("look for large objects: %w", err)
			}
		}
		if e.Desc != "TABLE DATA" {
			continue
		}
		schema, table, _, err := e.CopyTarget()
		if err != nil {
			return fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		name := pgarchive.Quote(schema, table)
		var some bool
		err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM ONLY "+name+")").Scan(&some)
		switch {
		case logical.HasCode(err, "42P01") || logical.HasCode(err, "3F000"):
			missing = append(missing, name)
		case err != nil:
			return fmt.Errorf("look at table %s: %w", name, err)
		case some:
			full = append(full, name)
		}
	}
	if len(missing) > 0 {
		p.Refuse(cofre.SayN("database.tables_missing", len(missing), "database {{.name}} does not have 1 table: {{.tables}}", "database {{.name}} does not have {{.n}} tables: {{.tables}}", "name", t.o.Name, "tables", strings.Join(missing, ", ")),
			cofre.Say("database.definitions_first", "restore the definitions first, or leave the tables out with --exclude-table"))
	}
	if len(full) > 0 {
		p.Refuse(cofre.SayN("database.tables_full", len(full), "1 table of database {{.name}} has rows already: {{.tables}}", "{{.n}} tables of database {{.name}} have rows already: {{.tables}}", "name", t.o.Name, "tables", strings.Join(full, ", ")),
			cofre.Say("database.restore_beside", "restore each table next to the one that is there (cofre restore table TABLE POINT --to SCHEMA), or leave the tables out with --exclude-table"))
	}
	if objects {
		p.Refuse(cofre.Say("database.objects_full", "database {{.name}} has large objects already", "name", t.o.Name),
			cofre.Say("database.objects_elsewhere", "restore the whole database under another name (cofre restore database POINT --to NAME), and copy the large objects from there"))
	}
	return nil
}

// lookAtDisk compares the size that the database had with the space of the server's disk, if that can be seen.
func (t *Target) lookAtDisk(p *cofre.Plan) {
	need := t.Facts.Database.Bytes
	if t.adopted || t.sel.Partial || !t.sel.Sections[pgarchive.SectionData] || need == 0 || t.server.DataDir == "" {
		return
	}
	// A server elsewhere may have a data directory of the same name as one here: its identity is compared.
	if _, err := os.Stat(t.server.DataDir + "/global/pg_control"); err != nil || !t.isLocal() {
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(t.server.DataDir, &fs); err != nil {
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	if free < need {
		p.Refuse(cofre.Say("database.no_space", "the database took {{.need}}, and the disk of {{.directory}} has {{.free}} free", "need", humanize.IBytes(uint64(need)), "directory", t.server.DataDir, "free", humanize.IBytes(uint64(free))),
			cofre.Say("database.free_space", "free space there: the restored database is made before the one that it replaces is removed"))
	}
}

// isLocal reports whether pg_control here is the server's own.
func (t *Target) isLocal() bool {
	f, err := os.Open(t.server.DataDir + "/global/pg_control")
	if err != nil {
		return false
	}
	defer f.Close()
	var id [8]byte
	if _, err := f.ReadAt(id[:], 0); err != nil || t.server.SystemID == 0 {
		return false
	}
	// The system identifier is the first field, in the byte order of the server's machine, which is this one.
	var v uint64
	for i := range id {
		v |= uint64(id[i]) << (8 * i)
	}
	return cofre.SystemID(v) == t.server.SystemID
}

func (t *Target) lookAtFlavour(p *cofre.Plan) {
	if t.Facts.Flavour != "supabase" {
		return
	}
	if !t.server.roles["supabase_admin"] {
		p.Note(cofre.Say("database.not_supabase", "the database was captured from Supabase, and this server is not Supabase: the problems name the roles and extensions that it does not have"))
	}
	if !t.server.Role.Superuser {
		p.Note(cofre.Say("database.supabase_admin", "schemas auth, storage and realtime belong to roles of Supabase: connect as supabase_admin to restore them with their owners"))
	}
	for _, e := range t.Facts.Extensions {
		if e.Name == "supabase_vault" || e.Name == "pgsodium" {
			p.Note(cofre.Say("database.vault_key", "secrets of the vault can be read only with the root key of the captured server (pgsodium_root.key), which is not in the database"))
			break
		}
	}
}
