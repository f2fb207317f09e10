package dump

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// tocLockTimeout bounds pg_dump's wait for locks. Ours are held by then, so it waits only behind somebody who
// waits for us: the capture lets them through by beginning again, rather than make everybody wait.
const tocLockTimeout = 2 * time.Second

// readTOC has pg_dump write the archive under the snapshot and reads the table of contents, which comes first.
// The data behind it stays unread: pg_dump is ended, and cancels its statement as it goes. Left alone it would
// keep a page of the first table pinned for as long as the capture lasts, against VACUUM and, on a standby,
// against recovery.
func (d *dump) readTOC(ctx context.Context) (_ *pgarchive.TOC, err error) {
	if len(d.s.o.ExcludeTableData) > 0 {
		d.warning(cofre.Say("database.rows_excluded", "the rows of tables like {{.patterns}} are left out, as configured", "patterns", strings.Join(d.s.o.ExcludeTableData, ", ")))
	}
	args := []string{
		"--format=custom", "--compress=0", "--snapshot=" + d.snap, "--no-password",
		"--encoding=" + d.server.Encoding, // that of the rows, whatever role and database have set for their clients
		"--lock-wait-timeout=" + strconv.FormatInt(min(d.s.o.LockTimeout, tocLockTimeout).Milliseconds(), 10),
	}
	for _, p := range d.s.o.ExcludeTableData {
		args = append(args, "--exclude-table-data="+logical.Encoded(d.server.Encoding, p))
	}
	cmd, err := d.tools.Command(d.s.config, d.conn, "pg_dump", args...)
	if err != nil {
		return nil, err
	}
	// On SIGTERM pg_dump cancels what its session is doing, which a killed client does not.
	cmd.PipeStdout, cmd.Pdeathsig = true, syscall.SIGTERM
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	p, err := process.Start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	toc, err := pgarchive.Parse(bufio.NewReaderSize(p.Stdout, 256<<10))
	if err != nil {
		_ = p.Stdout.Close()
		if failed := p.Wait(); failed != nil {
			return nil, d.explainDump(ctx, failed)
		}
		return nil, fmt.Errorf("read the table of contents of pg_dump: %w", err)
	}
	errRead := errors.New("the table of contents is read")
	end(errRead)
	_ = p.Stdout.Close()
	_ = p.Wait() // ended on purpose, or by itself if there was little to write
	for i := range toc.Entries {
		if e := &toc.Entries[i]; strings.Contains(e.Defn, "::money") {
			if err := postgres.ToolsMoney(d.conn, "pg_dump"); err != nil {
				return nil, fmt.Errorf("the definition of %s %s has an amount of money: %w", strings.ToLower(e.Desc), e.Tag, err)
			}
		}
	}
	for _, line := range strings.Split(p.StderrTail(), "\n") {
		if text, ok := strings.CutPrefix(line, "pg_dump: warning: "); ok {
			d.warning(cofre.Verbatim("pg_dump: " + text))
		}
	}
	return toc, nil
}

// explainDump turns what pg_dump says of a lock, and of a table that is gone, into the conditions they are.
func (d *dump) explainDump(ctx context.Context, err error) error {
	var tool *cofre.ToolError
	if !errors.As(err, &tool) {
		return err
	}
	switch said := tool.Stderr; {
	case strings.Contains(said, "permission denied"):
		return cofre.WithHint(fmt.Errorf("dump the table of contents: %w: %w", cofre.ErrDenied, err),
			cofre.Say("database.grants", "cofre doctor --print-grants prints the SQL for a role that may read everything"))
	case strings.Contains(said, "could not open relation"), strings.Contains(said, "cache lookup failed"):
		return fmt.Errorf("dump the table of contents: %w: %w", err, errChanged) // dropped while it was looked at
	case strings.Contains(said, "max_locks_per_transaction"):
		return cofre.WithHint(fmt.Errorf("dump the table of contents: %w", err),
			cofre.Say("database.max_locks", "too many tables for the lock table: ALTER SYSTEM SET max_locks_per_transaction = 256, then restart PostgreSQL"))
	case strings.Contains(said, "LOCK TABLE ") && !strings.Contains(said, "FATAL") && !strings.Contains(said, "server closed the connection"):
		// pg_dump bounds its wait by statement_timeout, and what the server then says has many languages: the statement that
		// failed has one.
		return cofre.WithHint(fmt.Errorf("dump the table of contents: %s: %w: %w", d.lockHolders(ctx), cofre.ErrLocked, errChanged),
			cofre.Say("database.lock_holder", "let that session finish or end it (SELECT pg_terminate_backend(pid)), or wait longer: --lock-timeout"))
	}
	return postgres.ExplainProgram(fmt.Errorf("dump the table of contents: %w", err), tool.Stderr)
}

func (d *dump) putTOC(ctx context.Context) error {
	// Every session of pg_restore begins with this entry's SQL, as it is, and so does a script: values of type money
	// are read as they were written, wherever they are restored.
	for i := range d.toc.Entries {
		if e := &d.toc.Entries[i]; e.Desc == "SEARCHPATH" {
			e.Defn += fmt.Sprintf("SET %s = '%s';\n", postgres.MoneySetting, postgres.MoneyLocale)
		}
	}
	var b bytes.Buffer
	if err := d.toc.WriteDirectory(&b); err != nil {
		return fmt.Errorf("write the table of contents: %w", err)
	}
	if _, err := d.c.Session.Put(ctx, d.factsEntry(logical.TOCFile, int64(b.Len())), &b); err != nil {
		return fmt.Errorf("store the table of contents: %w", err)
	}
	return nil
}

// readFacts reads, in the snapshot, what the catalogs say.
func (d *dump) readFacts(ctx context.Context) (err error) {
	f := &d.facts
	if f.Database, err = logical.ReadDatabase(ctx, d.conn); err != nil {
		return err
	}
	if f.Extensions, err = logical.ReadExtensions(ctx, d.conn); err != nil {
		return err
	}
	if f.Policies, err = logical.ReadPolicies(ctx, d.conn); err != nil {
		return err
	}
	if f.Grants, err = logical.ReadGrants(ctx, d.conn); err != nil {
		return err
	}
	if f.Roles, err = readRoles(ctx, d.conn); err != nil {
		return err
	}
	if f.Flavour, err = readFlavour(ctx, d.conn); err != nil {
		return err
	}
	if err := d.conn.QueryRow(ctx, `SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata`).Scan(&f.Summary.LargeObjects); err != nil {
		return fmt.Errorf("count the large objects: %w", err)
	}
	if d.server.Encoding != "UTF8" {
		if err := d.readColumns(ctx); err != nil {
			return err
		}
	}
	return d.readSizes(ctx)
}

// readColumns reads the names of the columns of a table's COPY text as UTF-8, if the archive has them in
// another encoding.
func (d *dump) readColumns(ctx context.Context) error {
	type columns struct {
		oid   uint32
		names []string
	}
	all, err := logical.Collect(ctx, d.conn, "the columns", `
SELECT a.attrelid, pg_catalog.array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' GROUP BY 1`,
		func(r pgx.CollectableRow) (c columns, err error) { return c, r.Scan(&c.oid, &c.names) })
	for _, c := range all {
		if t, ok := d.tables[c.oid]; ok {
			t.columns = c.names
			d.tables[c.oid] = t
		}
	}
	return err
}

// readSizes measures the tables, for the order in which they are copied and for progress.
func (d *dump) readSizes(ctx context.Context) error {
	type size struct {
		oid           uint32
		bytes, blocks int64
	}
	sizes, err := logical.Collect(ctx, d.conn, "the sizes of the tables", `
SELECT c.oid, pg_catalog.pg_relation_size(c.oid) + CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_catalog.pg_relation_size(c.reltoastrelid) END,
       pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND pg_catalog.has_table_privilege(c.oid, 'SELECT')`,
		func(r pgx.CollectableRow) (s size, err error) { return s, r.Scan(&s.oid, &s.bytes, &s.blocks) })
	if err != nil {
		return err
	}
	for _, s := range sizes {
		if t, ok := d.tables[s.oid]; ok {
			t.bytes, t.blocks = s.bytes, s.blocks
			d.tables[s.oid] = t
		}
	}
	return nil
}

// readRoles lists the roles that objects of the database name: owners, grantees, policies' roles, settings.
// What only an extension's own objects name comes and goes with the extension.
func readRoles(ctx context.Context, q logical.Querier) ([]string, error) {
	return logical.Collect(ctx, q, "the roles", `
SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.oid IN (
	SELECT s.refobjid FROM pg_catalog.pg_shdepend s
	 WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
	   AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = s.classid AND x.objid = s.objid AND x.deptype = 'e')
	UNION SELECT s.refobjid FROM pg_catalog.pg_shdepend s
	 WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
	   AND s.objid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	UNION SELECT s.setrole FROM pg_catalog.pg_db_role_setting s
	 WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
	UNION SELECT pg_catalog.unnest(p.polroles) FROM pg_catalog.pg_policy p)
ORDER BY 1`, pgx.RowTo[string])
}

// supabaseRoles are those that every Supabase image makes and that its schemas name.
//
// Source: supabase/postgres, migrations/db/init-scripts/00000000000000-initial-schema.sql.
const supabaseRoles = `'anon', 'authenticated', 'service_role', 'supabase_admin'`

func readFlavour(ctx context.Context, q logical.Querier) (string, error) {
	var flavour string
	err := q.QueryRow(ctx, `
SELECT CASE WHEN (SELECT pg_catalog.count(*) FROM pg_catalog.pg_namespace WHERE nspname IN ('auth', 'storage')) = 2
             AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_roles WHERE rolname IN (`+supabaseRoles+`)) = 4
       THEN 'supabase' ELSE '' END`).Scan(&flavour)
	if err != nil {
		return "", fmt.Errorf("read the flavour: %w", err)
	}
	return flavour, nil
}

// completeFacts adds what only the table of contents knows: sequences as it sets them, and the owners it names.
func (d *dump) completeFacts(ctx context.Context) error {
	names, err := logical.Collect(ctx, d.conn, "the sequences", `
SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'`,
		func(r pgx.CollectableRow) (s relation, err error) { return s, r.Scan(&s.OID, &s.Schema, &s.Name) })
	if err != nil {
		return err
	}
	byOID, byName := make(map[string]relation, len(names)), make(map[string]relation, len(names))
	for _, n := range names {
		byOID[strconv.FormatUint(uint64(n.OID), 10)], byName[n.Schema+"\x00"+n.Name] = n, n
	}
	entries := make(map[int]*pgarchive.Entry, len(d.toc.Entries))
	for i := range d.toc.Entries {
		entries[d.toc.Entries[i].DumpID] = &d.toc.Entries[i]
	}
	roles := d.facts.Roles
	for i := range d.toc.Entries {
		e := &d.toc.Entries[i]
		// The archive is in the encoding of the database; names of owners in another one come from the catalogs.
		if e.Owner != "" && d.server.Encoding == "UTF8" {
			roles = append(roles, e.Owner)
		}
		if e.Desc != "SEQUENCE SET" {
			continue
		}
		// A sequence moves under every snapshot: the value is the one that the archive will set, not one that is
		// read a moment before or after it.
		m := setval().FindStringSubmatch(e.Defn)
		n, known := byName[e.Namespace+"\x00"+e.Tag]
		for _, id := range e.Depends { // its SEQUENCE has the oid, whatever the encoding of the name
			if made := entries[id]; made != nil && made.Desc == "SEQUENCE" {
				n, known = byOID[made.OID]
			}
		}
		if m == nil || !known {
			return fmt.Errorf("read the table of contents: sequence %s has the unknown form %.200q", e.Tag, e.Defn)
		}
		last, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return fmt.Errorf("read the table of contents: sequence %s: %w", e.Tag, err)
		}
		d.facts.Sequences = append(d.facts.Sequences, logical.SequenceFacts{Schema: n.Schema, Name: n.Name, LastValue: last, IsCalled: m[2] == "true"})
	}
	for _, g := range d.facts.Grants {
		if g.Owner != "" {
			roles = append(roles, g.Owner) // the bootstrap superuser is in no dependency
		}
	}
	roles = append(roles, d.facts.Database.Owner)
	slices.Sort(roles)
	// Predefined roles are every server's.
	d.facts.Roles = slices.DeleteFunc(slices.Compact(roles), func(r string) bool { return strings.HasPrefix(r, "pg_") })
	slices.SortFunc(d.facts.Sequences, func(a, b logical.SequenceFacts) int {
		return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name)
	})
	return nil
}

// setval is what pg_dump writes: SELECT pg_catalog.setval('public.t_id_seq', 5, true);
var setval = pattern.Lazy(`(?s)^SELECT pg_catalog\.setval\(.*, (-?\d+), (true|false)\);\s*$`)
