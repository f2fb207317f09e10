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
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
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
	problem := func(hint, format string, args ...any) {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
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
		problem("restore on the primary server", "the server is a standby and takes no writes")
	}
	source := logical.MajorOf(t.Facts.ServerVersion)
	if source > server.Version.Major() {
		problem(fmt.Sprintf("restore on PostgreSQL %d or newer", source),
			"the database was captured on PostgreSQL %d and the server is %d: definitions of a newer version may not exist there", source, server.Version.Major())
	} else if source != 0 && source < server.Version.Major() {
		p.Notes = append(p.Notes, fmt.Sprintf("this is an upgrade from PostgreSQL %d to %d", source, server.Version.Major()))
	}
	if t.server.tools, err = postgres.FindTools(ctx, max(server.Version, logical.RestoreNeeds(t.TOC.Version))); errors.Is(err, cofre.ErrNotFound) {
		problem(cofre.Hint(err), "%v", err)
	} else if err != nil {
		return err
	}
	if !server.Role.Superuser && !server.Role.CreateDB {
		problem(fmt.Sprintf("ALTER ROLE %s CREATEDB, or connect as a superuser", pgarchive.Quote(server.Role.Name)), "role %s may not create databases", server.Role.Name)
	}
	for _, look := range []func(context.Context, *pgx.Conn, *cofre.Plan) error{
		t.leaveBound, t.lookAtName, t.lookAtRoles, t.lookAtExtensions, t.lookAtTablespaces, t.lookAtLocale, t.lookAtTables,
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

// openMaintenance connects to the configured database, or to another one where that is the one to be replaced,
// since a database cannot be renamed by a session that is in it, or where it does not exist, which may be the
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
	problem := func(hint, format string, args ...any) {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	switch {
	case exists && !t.o.Replace:
		problem("--replace keeps the old one under another name; or choose another name with --to", "database %s exists already", t.o.Name)
	case exists && template:
		problem("choose another name with --to", "database %s is a template and is not replaced", t.o.Name)
	case exists && sessions > 0:
		p.Notes = append(p.Notes, fmt.Sprintf("database %s has %d sessions now; those that are left at the rename are ended", t.o.Name, sessions))
	}
	if t.fromTemplate() {
		if !exists {
			problem("restore everything, or name a database that has the definitions", "database %s does not exist, and the chosen part of the point has no definitions", t.o.Name)
		} else if sessions > 0 {
			problem("end them, or stop what opens them", "database %s has %d sessions, and a copy of it can only be made while there is none", t.o.Name, sessions)
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
		p.Notes = append(p.Notes, fmt.Sprintf("database %s is left by an earlier restore, or one that runs now; to remove it: %s", n, t.dropCommand(n)))
	}
	return nil
}

// neededRoles are the roles without which statements of the restore fail.
func (t *Target) neededRoles() []string {
	need := map[string]bool{}
	for _, e := range t.sel.TOC.Entries {
		if t.sel.Has(&e) && e.Owner != "" && !t.o.NoOwner {
			need[e.Owner] = true
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

func (t *Target) lookAtRoles(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	rows, err := conn.Query(ctx, `SELECT rolname, pg_catalog.pg_has_role(current_user, oid, 'MEMBER') FROM pg_catalog.pg_roles`)
	if err != nil {
		return fmt.Errorf("list the roles: %w", err)
	}
	t.server.roles = map[string]bool{}
	member := map[string]bool{}
	var name string
	var may bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &may}, func() error {
		t.server.roles[name], member[name] = true, may
		return nil
	}); err != nil {
		return fmt.Errorf("list the roles: %w", err)
	}
	needed := t.neededRoles()
	missing := slices.DeleteFunc(slices.Clone(needed), func(r string) bool { return t.server.roles[r] })
	problem := func(hint, format string, args ...any) {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	if len(missing) > 0 && !t.o.Roles {
		problem("--roles creates them as they were captured; --no-owner and --no-privileges do without owners and grants",
			"%s missing on the server: %s", logical.Plural(len(missing), "role is", "roles are"), strings.Join(missing, ", "))
	}
	if err := t.chooseRoles(ctx, conn, p, needed); err != nil {
		return err
	}
	if !t.server.Role.Superuser && !t.o.NoOwner {
		var not []string
		for _, r := range needed {
			if owns := slices.ContainsFunc(t.TOC.Entries, func(e pgarchive.Entry) bool { return e.Owner == r }); owns && t.server.roles[r] && !member[r] && !slices.Contains(missing, r) {
				not = append(not, r)
			}
		}
		if len(not) > 0 {
			problem(fmt.Sprintf("connect as a superuser, or GRANT %s TO %s, or use --no-owner", strings.Join(not, ", "), pgarchive.Quote(t.server.user)),
				"role %s is not a member of %s, and so cannot give objects to them", t.server.user, strings.Join(not, ", "))
		}
	}
	for _, s := range t.Facts.Database.Settings {
		if s.Role != "" && !t.server.roles[s.Role] {
			p.Notes = append(p.Notes, fmt.Sprintf("setting %s of role %s is left out: the role is not there", s.Name, s.Role))
		}
	}
	return nil
}

// chooseRoles decides which roles are made, and says which are not: an application that cannot log in after a restore is
// as good as none.
func (t *Target) chooseRoles(ctx context.Context, conn *pgx.Conn, p *cofre.Plan, needed []string) error {
	note := func(format string, args ...any) { p.Notes = append(p.Notes, fmt.Sprintf(format, args...)) }
	problem := func(hint, format string, args ...any) {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	statements, unknown, left := rolesToCreate(t.Globals, needed, t.server.roles)
	names := roleNames(statements)
	memberships, err := readMemberships(ctx, conn)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, m := range memberships {
		have[m] = true
	}
	if absent := membershipsMissing(t.Globals, t.server.roles, have); len(absent) > 0 && !t.sel.Partial {
		note("memberships that were captured and are not on the server, whose roles exist, are not made: %s", strings.Join(absent, "; "))
	}
	if !t.o.Roles {
		if users := slices.DeleteFunc(names, func(r string) bool { return slices.Contains(needed, r) }); len(users) > 0 && !t.sel.Partial {
			note("%s missing on the server that use this database, as members of others, and not made without --roles: %s", logical.Plural(len(users), "role is", "roles are"), strings.Join(users, ", "))
		}
		return nil
	}
	t.roles = statements
	if len(unknown) > 0 {
		problem("create them by hand", "the point's globals do not hold %s", strings.Join(unknown, ", "))
	}
	if len(statements) > 0 && !t.server.Role.Superuser && !t.server.Role.CreateRole {
		problem("connect as a superuser, or as a role with CREATEROLE", "role %s may not create roles", t.server.user)
	}
	if len(names) > 0 {
		note("roles that are created stay, even if the restore fails; without a captured password they cannot log in by password until one is set")
	}
	if len(left) > 0 {
		note("%s captured and not made, as not of this database's users: %s", logical.Plural(len(left), "role was", "roles were"), strings.Join(left, ", "))
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
	var missing, denied []string
	for _, n := range needed {
		a, ok := have[n]
		switch {
		case !ok:
			missing = append(missing, strings.TrimSpace(n+" "+captured[n]))
		case a.superuser && !a.trusted && !t.server.Role.Superuser:
			denied = append(denied, n)
		}
		if ok && captured[n] != "" && a.defaultVersion != captured[n] {
			p.Notes = append(p.Notes, fmt.Sprintf("extension %s becomes version %s; %s was captured", n, a.defaultVersion, captured[n]))
		}
	}
	if len(missing) > 0 {
		hint := "install their packages on the server, for its major version"
		if t.Facts.Flavour == "supabase" {
			hint = "restore on a server of Supabase's own image (supabase/postgres), which has them"
		}
		p.Problems = append(p.Problems, cofre.Problem{What: "the server does not have " + logical.Plural(len(missing), "extension: ", "extensions: ") + strings.Join(missing, ", "), Hint: hint})
	}
	if len(denied) > 0 {
		p.Problems = append(p.Problems, cofre.Problem{
			What: fmt.Sprintf("role %s may not create %s: only a superuser may", t.server.user, strings.Join(denied, ", ")), Hint: "connect as a superuser (with Supabase: supabase_admin)",
		})
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
		p.Problems = append(p.Problems, cofre.Problem{
			What: "the server does not have " + logical.Plural(len(missing), "tablespace: ", "tablespaces: ") + strings.Join(missing, ", "),
			Hint: fmt.Sprintf("CREATE TABLESPACE %s LOCATION '/a/directory/of/the/server'", pgarchive.Quote(missing[0])),
		})
	}
	return nil
}

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
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf("the database has locale provider %s, which PostgreSQL %d does not know", d.LocaleProvider, major)})
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
		if err != nil && strings.Contains(err.Error(), "could not create locale") {
			p.Problems = append(p.Problems, cofre.Problem{
				What: fmt.Sprintf("the server's operating system does not have locale %s", locale),
				Hint: "generate it there (locale-gen, localedef or the locales package) and restart PostgreSQL",
			})
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
				p.Notes = append(p.Notes, fmt.Sprintf("the collation's version is %s here and was %s: text may sort differently; indexes are built anew", *here, d.CollationVersion))
			}
		}
	}
	return nil
}

// lookAtTables asks, where rows go into tables that exist, whether those are empty: rows that are there would
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
	for _, e := range t.sel.Entries(pgarchive.SectionData) {
		if e.Desc == "BLOBS" && t.o.DataOnly && len(full) == 0 {
			var some bool
			if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)").Scan(&some); err != nil {
				return fmt.Errorf("look for large objects: %w", err)
			}
			if some {
				full = append(full, "the large objects")
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
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf("database %s does not have %s", t.o.Name, strings.Join(missing, ", ")), Hint: "restore the definitions first, or leave the tables out with --exclude-table"})
	}
	if len(full) > 0 {
		p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf("%s of database %s have rows already", strings.Join(full, ", "), t.o.Name), Hint: "restore a table beside them (cofre restore table), or leave the tables out with --exclude-table"})
	}
	return nil
}

// lookAtDisk compares the size that the database had with the space of the server's disk, where that can be seen.
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
		p.Problems = append(p.Problems, cofre.Problem{
			What: fmt.Sprintf("the database took %s and the disk of %s has %s free", humanize.IBytes(uint64(need)), t.server.DataDir, humanize.IBytes(uint64(free))),
			Hint: "make room there, for the restored database stands beside the one that it replaces",
		})
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
		p.Notes = append(p.Notes, "the database is of Supabase and the server is not: roles and extensions that it lacks are listed as problems")
	}
	if !t.server.Role.Superuser {
		p.Notes = append(p.Notes, "schemas auth, storage and realtime belong to roles of Supabase: connect as supabase_admin to restore them with their owners")
	}
	for _, e := range t.Facts.Extensions {
		if e.Name == "supabase_vault" || e.Name == "pgsodium" {
			p.Notes = append(p.Notes, "secrets of the vault can be read only with the root key of the captured server (pgsodium_root.key), which is not in the database")
			break
		}
	}
}
