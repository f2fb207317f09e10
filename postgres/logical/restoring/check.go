package restoring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Check compares the staged database with what was captured: rows, sequences, large objects, and what the catalogs
// say of every object; of a part, of those that are in it. Each kind is one comparison of the proof, and each object that
// differs is another, as is each statement that failed. A component without a fingerprint, or with one that does not
// tell what belongs to a part, is compared by what the table of contents and the facts say of extensions, tables,
// policies, row-level security and grants.
//
// Errors: of the connection. What differs is in the proof, not an error.
func (t *Target) Check(ctx context.Context, obs cofre.Observer) (*cofre.Proof, error) {
	c := &checker{Target: t, obs: obs, proof: &cofre.Proof{}}
	if err := c.run(ctx); err != nil {
		return nil, fmt.Errorf("check database %s: %w", t.staged, postgres.Explain(err))
	}
	c.losses()
	c.loadedOtherwise()
	return c.proof, nil
}

type checker struct {
	*Target
	obs   cofre.Observer
	proof *cofre.Proof
	gone  []string // members of extensions that the copy does not have: "table public.t"
	// decoded has, in UTF-8, the names of an archive in another encoding; see decodeNames.
	decoded map[string]string
}

func (c *checker) add(what cofre.Message, want, got string) {
	c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(what, cofre.Verbatim(want), cofre.Verbatim(got), want == got))
}

func ownersAndGrants() cofre.Message { return cofre.Say("database.check_owners", "owners and grants") }

func gotMissing() cofre.Message  { return cofre.Say("database.got_missing", "missing") }
func wantNothing() cofre.Message { return cofre.Say("database.want_nothing", "nothing") }

// compare adds one comparison of two sets and one for each thing that is in only one of them.
func (c *checker) compare(what cofre.Message, want, got []string) {
	if slices.ContainsFunc(want, func(s string) bool { return strings.ContainsRune(s, utf8.RuneError) }) {
		want, got = recorded(want), recorded(got)
	}
	missing, extra := logical.OnlyIn(want, got), logical.OnlyIn(got, want)
	if len(missing) == 0 && len(extra) == 0 {
		c.add(what, fmt.Sprint(len(want)), fmt.Sprint(len(got)))
		return
	}
	differs := func(want, got cofre.Message) {
		c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(what, want, got, false))
	}
	differs(cofre.Verbatim(strconv.Itoa(len(want))), cofre.Say("database.got_some", "{{.got}}, {{.same}} of them as captured", "got", len(got), "same", len(want)-len(missing)))
	for _, m := range missing {
		differs(cofre.Verbatim(m), gotMissing())
	}
	for _, e := range extra {
		differs(wantNothing(), cofre.Verbatim(e))
	}
}

// recorded returns texts as facts of before have them, in which a byte that is no UTF-8 became U+FFFD.
func recorded(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = string([]rune(s))
	}
	return out
}

// decodeNames reads the names in the archive, which is in the encoding of its database, as the UTF-8 that facts
// and this session are in. The server knows every encoding it ever had.
func (c *checker) decodeNames(ctx context.Context, conn *pgx.Conn) error {
	encoding := c.ClientEncoding()
	if encoding == "UTF8" || postgres.IsBytes(encoding) {
		return nil
	}
	c.decoded = map[string]string{}
	var names [][]byte
	for i := range c.TOC.Entries {
		e := &c.TOC.Entries[i]
		for _, name := range []string{e.Namespace, e.Tag} {
			if _, seen := c.decoded[name]; !seen {
				c.decoded[name] = name
				names = append(names, []byte(name))
			}
		}
	}
	rows, err := conn.Query(ctx, "SELECT name, pg_catalog.convert_from(name, $2) FROM pg_catalog.unnest($1::bytea[]) name", names, encoding)
	if err != nil {
		return fmt.Errorf("read names in %s: %w", encoding, err)
	}
	var raw []byte
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&raw, &name}, func() error {
		c.decoded[string(raw)] = name
		return nil
	}); err != nil {
		return fmt.Errorf("read names in %s: %w", encoding, err)
	}
	return nil
}

// name is a name of the archive in UTF-8.
func (c *checker) name(s string) string {
	if d, ok := c.decoded[s]; ok {
		return d
	}
	return s
}

func (c *checker) run(ctx context.Context) error {
	conn, err := logical.Connect(ctx, c.RowsOn(c.o.Server.With(c.staged)), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if err := c.decodeNames(ctx, conn); err != nil {
		return err
	}
	whole, err := c.hasFingerprint(ctx)
	if err != nil {
		return err
	}
	c.limit(whole)
	if whole {
		return c.wholly(ctx, conn)
	}
	if err := c.data(ctx, conn); err != nil {
		return err
	}
	c.failures()
	if c.sel.Sections[pgarchive.SectionPreData] {
		if err := c.extensions(ctx, conn); err != nil {
			return err
		}
		if err := c.tables(ctx, conn); err != nil {
			return err
		}
	}
	if c.sel.Sections[pgarchive.SectionPostData] {
		for _, check := range []func(context.Context, *pgx.Conn) error{c.policies, c.rowSecurity, c.validity} {
			if err := check(ctx, conn); err != nil {
				return err
			}
		}
	}
	if c.o.Filter.All() {
		return c.grants(ctx, conn)
	}
	return nil
}

// limit says what is not looked at, so that nobody takes a comparison for more than it is.
func (c *checker) limit(whole bool) {
	switch unsummed, unkeyed := c.Sums(c.sel.Entries(pgarchive.SectionData)); {
	case !c.sel.Sections[pgarchive.SectionData]:
	case c.o.Check == CheckChecksum && unsummed:
		c.proof.Counted = true
		c.proof.Omits(cofre.Say("database.unsummed_rows", "the contents of rows, only how many there are: of what was captured there are no checksums that this repository's key makes"))
	case c.o.Check == CheckChecksum:
		c.proof.Unkeyed = unkeyed
	default:
		c.proof.Counted = true
		c.proof.Omits(cofre.Say("database.unread_rows", "the contents of rows, only how many there are, as --check counts asks; --check checksum compares them"))
	}
	if c.o.NoOwner {
		c.proof.Omits(cofre.Say("database.unread_owners", "owners, which --no-owner leaves out: everything belongs to the role that restores"))
	}
	if c.o.NoPrivileges {
		c.proof.Omits(cofre.Say("database.unread_privileges", "privileges, which --no-privileges leaves out"))
	}
	c.proof.Covers(c.o.Filter.Message())
	if whole {
		return
	}
	c.proof.Part = true
	why := cofre.Say("database.unread_never", "the point was made before catalogs were captured, or without them")
	if c.hasLost(lostCatalogs) {
		why = cofre.Say("database.unread_lost", "the repository has lost what the catalogs said")
	}
	c.proof.Omits(cofre.Say("database.unread_definitions", "definitions of views, functions, types, indexes and triggers, owners and comments: {{.why}}", "why", why))
}

// wholly compares the rows and, at the same time, the catalogs.
func (c *checker) wholly(ctx context.Context, conn *pgx.Conn) error {
	beside := *c
	beside.proof = &cofre.Proof{}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.data(gctx, conn) })
	if c.wantsFingerprint() {
		g.Go(func() error {
			err := beside.catalogs(gctx)
			if logical.IsLost(err) && gctx.Err() == nil {
				c.lose(lostFingerprint(cofre.OneLine(err)))
				beside.proof = &cofre.Proof{}
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.gone = beside.gone
	c.failures()
	c.proof.Checks = append(c.proof.Checks, beside.proof.Checks...)
	return nil
}

// data compares rows, sequences and large objects.
func (c *checker) data(ctx context.Context, conn *pgx.Conn) error {
	if !c.sel.Sections[pgarchive.SectionData] {
		return nil
	}
	if err := c.rows(ctx); err != nil {
		return err
	}
	if err := c.sequences(ctx, conn); err != nil {
		return err
	}
	return c.largeObjects(ctx, conn)
}

// rows counts every table, or reads it back.
func (c *checker) rows(ctx context.Context) error {
	tables, err := c.LoadedTables(c.sel.Entries(pgarchive.SectionData))
	if err != nil {
		return err
	}
	back := logical.ReadBack{Jobs: c.o.Jobs, Sums: c.o.Check == CheckChecksum, Key: c.Key, Observer: c.obs, Open: func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := logical.Connect(ctx, c.RowsOn(c.o.Server.With(c.staged)), nil)
		if err != nil {
			return nil, err
		}
		return conn, logical.SetEncoding(ctx, conn, c.ClientEncoding())
	}}
	checks, err := back.Compare(ctx, tables)
	c.proof.Checks = append(c.proof.Checks, checks...)
	return err
}

func (c *checker) sequences(ctx context.Context, conn *pgx.Conn) error {
	chosen := map[string]bool{}
	for _, e := range c.sel.Entries(pgarchive.SectionData) {
		if e.Desc == "SEQUENCE SET" {
			chosen[pgarchive.Quote(c.name(e.Namespace), c.name(e.Tag))] = true
		}
	}
	wanted := func(f logical.SequenceFacts) bool { return chosen[pgarchive.Quote(f.Schema, f.Name)] }
	text := func(all []logical.SequenceFacts) []string {
		var s []string
		for _, f := range all {
			if wanted(f) {
				s = append(s, fmt.Sprintf("%s at %d, called %t", pgarchive.Quote(f.Schema, f.Name), f.LastValue, f.IsCalled))
			}
		}
		return s
	}
	got, err := logical.ReadSequences(ctx, conn, wanted)
	if err != nil {
		return err
	}
	c.compare(cofre.Say("database.check_sequences", "sequences"), text(c.Facts.Sequences), text(got))
	return nil
}

func (c *checker) largeObjects(ctx context.Context, conn *pgx.Conn) error {
	if len(slices.DeleteFunc(c.sel.Entries(pgarchive.SectionData), func(e *pgarchive.Entry) bool { return e.Desc != "BLOBS" })) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, `SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid`)
	if err != nil {
		return fmt.Errorf("list the large objects: %w", err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return fmt.Errorf("list the large objects: %w", err)
	}
	c.add(cofre.Say("database.check_large_objects", "large objects"), fmt.Sprint(c.Facts.LargeObjects.Count), fmt.Sprint(len(oids)))
	if c.o.Check != CheckChecksum || c.Facts.LargeObjects.RowSum.IsZero() {
		return nil
	}
	if c.lostObjects() {
		c.proof.Omits(cofre.Say("database.unread_objects", "the contents of large objects: what was captured is one checksum of all of them"))
		return nil
	}
	sum := logical.Tally{Key: c.Key}
	for _, oid := range oids {
		hash := logical.NewObjectHash(c.Key)
		for at := int64(0); ; {
			var part []byte
			if err := conn.QueryRow(ctx, "SELECT pg_catalog.lo_get($1, $2, $3)", oid, at, 1<<20).Scan(&part); err != nil {
				return fmt.Errorf("read large object %d: %w", oid, err)
			}
			_, _ = hash.Write(part)
			if at += int64(len(part)); len(part) < 1<<20 {
				break
			}
		}
		hash.AddTo(&sum, oid)
	}
	c.add(cofre.Say("database.check_large_objects_sum", "checksum of large objects"), c.Facts.LargeObjects.RowSum.String(), sum.Sum().String())
	return nil
}

func (c *checker) extensions(ctx context.Context, conn *pgx.Conn) error {
	// Versions may differ, and the plan said so; what must not happen is that one is missing.
	var want []string
	for _, e := range c.sel.Entries(pgarchive.SectionPreData) {
		if e.Desc == "EXTENSION" {
			want = append(want, c.name(e.Tag))
		}
	}
	got, err := logical.ReadExtensions(ctx, conn)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range got {
		if e.Name != "plpgsql" || slices.Contains(want, "plpgsql") {
			names = append(names, e.Name)
		}
	}
	c.compare(cofre.Say("database.check_extensions", "extensions"), want, names)
	return nil
}

func (c *checker) tables(ctx context.Context, conn *pgx.Conn) error {
	var want []string
	// A materialized view that needs a primary key comes after it, in the last section.
	for i := range c.TOC.Entries {
		e := &c.TOC.Entries[i]
		if !c.sel.Has(e) {
			continue
		}
		switch e.Desc {
		case "TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE":
			want = append(want, pgarchive.Quote(c.name(e.Namespace), c.name(e.Tag)))
		}
	}
	rows, err := logical.Collect(ctx, conn, "the tables", `
SELECT n.nspname, o.relname FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE o.relkind IN ('r','p','f','v','m','S') AND `+logical.UserObject, func(r pgx.CollectableRow) ([2]string, error) {
		var n [2]string
		return n, r.Scan(&n[0], &n[1])
	})
	if err != nil {
		return err
	}
	got := make([]string, len(rows))
	for i, r := range rows {
		got[i] = pgarchive.Quote(r[0], r[1])
	}
	// A view that another object needs early is made as a dummy and named twice; identity sequences have
	// entries of their own.
	slices.Sort(want)
	c.compare(cofre.Say("database.check_relations", "tables, views and sequences"), slices.Compact(want), got)
	return nil
}

func (c *checker) policies(ctx context.Context, conn *pgx.Conn) error {
	chosen := map[string]bool{}
	for _, e := range c.sel.Entries(pgarchive.SectionPostData) {
		if e.Desc == "POLICY" {
			chosen[c.name(e.Namespace)+"\x00"+c.name(e.Tag)] = true // the tag is table and policy, with a space between
		}
	}
	text := func(all []logical.PolicyFacts) []string {
		var s []string
		for _, p := range all {
			if chosen[p.Schema+"\x00"+p.Table+" "+p.Name] {
				s = append(s, fmt.Sprintf("%s on %s: %s for %v, permissive %t, using %s, check %s", p.Name, pgarchive.Quote(p.Schema, p.Table), p.Command, p.Roles, p.Permissive, p.Using, p.Check))
			}
		}
		return s
	}
	got, err := logical.ReadPolicies(ctx, conn)
	if err != nil {
		return err
	}
	want, have := text(c.Facts.Policies), text(got)
	c.add(cofre.Say("database.check_policies", "row-level security policies"), fmt.Sprint(len(chosen)), fmt.Sprint(len(have)))
	if major := logical.MajorOf(c.Facts.ServerVersion); major == c.server.version.Major() {
		// Another major may print the same expression in another way.
		c.compare(cofre.Say("database.check_policy_texts", "policies as captured"), want, have)
	}
	return nil
}

func (c *checker) rowSecurity(ctx context.Context, conn *pgx.Conn) error {
	var want []string
	for _, e := range c.sel.Entries(pgarchive.SectionPostData) {
		if e.Desc == "ROW SECURITY" {
			want = append(want, pgarchive.Quote(c.name(e.Namespace), c.name(e.Tag)))
		}
	}
	rows, err := logical.Collect(ctx, conn, "the tables with row-level security", `
SELECT n.nspname, o.relname FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE o.relrowsecurity AND `+logical.UserObject, func(r pgx.CollectableRow) ([2]string, error) {
		var n [2]string
		return n, r.Scan(&n[0], &n[1])
	})
	if err != nil {
		return err
	}
	got := make([]string, len(rows))
	for i, r := range rows {
		got[i] = pgarchive.Quote(r[0], r[1])
	}
	c.compare(cofre.Say("database.check_row_security", "tables with row-level security"), want, got)
	return nil
}

// validity looks for what CREATE INDEX can leave half done.
func (c *checker) validity(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT indexrelid::regclass::text FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class o ON o.oid = i.indexrelid WHERE NOT i.indisvalid AND o.relkind = 'i'`)
	if err != nil {
		return fmt.Errorf("look for invalid indexes: %w", err)
	}
	invalid, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for invalid indexes: %w", err)
	}
	c.compare(cofre.Say("database.check_invalid_indexes", "invalid indexes"), nil, invalid)
	return nil
}

func (c *checker) grants(ctx context.Context, conn *pgx.Conn) error {
	if c.o.NoOwner && c.o.NoPrivileges || len(c.Facts.Grants) == 0 {
		return nil
	}
	got, err := logical.ReadGrants(ctx, conn)
	if err != nil {
		return err
	}
	text := func(all []logical.GrantFacts) []string {
		var s []string
		for _, g := range all {
			line := g.Type + " " + g.Object
			if !c.o.NoOwner {
				line += " owner " + g.Owner
			}
			if !c.o.NoPrivileges && !c.o.NoOwner {
				line += " " + strings.Join(grantsOf(g), " ")
			}
			if g.Type == "language" {
				continue // those of the server's own languages are in no dump
			}
			s = append(s, line)
		}
		return s
	}
	want := text(c.Facts.Grants)
	have := text(got)
	if logical.MajorOf(c.Facts.ServerVersion) != c.server.version.Major() {
		// A newer major has privileges and objects of its own; what was captured must be there.
		have = slices.DeleteFunc(have, func(s string) bool { return !slices.Contains(want, s) })
		if missing := logical.OnlyIn(want, have); len(missing) > 0 {
			c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(ownersAndGrants(), cofre.Verbatim(strconv.Itoa(len(want))), cofre.Verbatim(strconv.Itoa(len(have))), true))
			c.obs.Observe(cofre.Event{Type: cofre.TypeWarning}.Doing(grantsTask()).Saying(cofre.Say("database.grants_differ", "on the newer server these owners and grants read otherwise: {{.grants}}", "grants", strings.Join(missing, "; "))))
			return nil
		}
	}
	c.compare(ownersAndGrants(), want, have)
	return nil
}

// grantsOf writes an access list by its meaning: who holds what. Who granted it, the order, and whether a list says
// the default or is absent make no difference; nor does the privilege that PostgreSQL 17 brought, which facts of
// before cannot tell from the default.
func grantsOf(g logical.GrantFacts) []string {
	list := g.ACL
	if list == nil && g.Type != "default privileges" && g.Type != "column" {
		owner := logical.ACLName(g.Owner)
		letters := map[string]string{
			"table": "arwdDxt", "view": "arwdDxt", "materialized view": "arwdDxt", "foreign table": "arwdDxt",
			"sequence": "rwU", "schema": "UC", "function": "X", "procedure": "X", "aggregate": "X", "type": "U", "domain": "U",
			"foreign-data wrapper": "U", "server": "U",
		}[g.Type]
		list = []string{owner + "=" + letters + "/" + owner}
		switch g.Type {
		case "function", "procedure", "aggregate", "type", "domain":
			list = append(list, "="+letters+"/"+owner)
		}
	}
	held := map[string]bool{}
	for _, text := range list {
		item, err := logical.ParseACLItem(text)
		if err != nil {
			held[text] = true
			continue
		}
		for i := 0; i < len(item.Privileges); i++ {
			letter, option := string(item.Privileges[i]), false
			if i+1 < len(item.Privileges) && item.Privileges[i+1] == '*' {
				option = item.Grantee != g.Owner
				i++
			}
			switch {
			case letter == "m":
			case option:
				held[item.Grantee+"="+letter+"*"] = true
			default:
				held[item.Grantee+"="+letter] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(held))
}

// analyze gathers statistics for every table: without them the first queries after a restore are planned blind. They
// decide about nothing: a table that cannot be analyzed, because a partition of it is on a server that does not answer,
// or an expression fails, is named in a warning.
func analyze(ctx context.Context, c postgres.Config, jobs int, obs cofre.Observer) (err error) {
	conn, err := logical.Connect(ctx, c, nil)
	if err != nil {
		return err
	}
	type table struct {
		name   string
		leaves []string // of a partitioned one, those that are here
	}
	tables, err := logical.Collect(ctx, conn, "the tables", `
SELECT n.nspname, o.relname, CASE WHEN o.relkind = 'p' THEN
  (SELECT pg_catalog.array_agg(p.relid::pg_catalog.regclass::text) FROM pg_catalog.pg_partition_tree(o.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid WHERE l.relkind = 'r') END
FROM pg_catalog.pg_class o JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
WHERE (o.relkind = 'p' OR o.relkind IN ('r', 'm')) AND NOT o.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped)
ORDER BY pg_catalog.pg_relation_size(o.oid) DESC`, func(r pgx.CollectableRow) (t table, err error) {
		var schema, name string
		err = r.Scan(&schema, &name, &t.leaves)
		t.name = pgarchive.Quote(schema, name)
		return t, err
	})
	err = errors.Join(err, postgres.Close(ctx, conn))
	if err != nil {
		return err
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Total: int64(len(tables)), Unit: cofre.UnitItems}.Doing(analyzeTask()))
	defer func() {
		obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: int64(len(tables)), Total: int64(len(tables)), Unit: cofre.UnitItems, Err: err}.Doing(analyzeTask()))
	}()
	return logical.EachParallel(ctx, jobs, tables, func(ctx context.Context) (*pgx.Conn, error) {
		return logical.Connect(ctx, c, nil)
	}, func(ctx context.Context, conn *pgx.Conn, t table) error {
		_, err := conn.Exec(ctx, "ANALYZE "+t.name)
		if err == nil {
			return nil
		}
		if !logical.IsServerError(err) || postgres.IsConnectionLost(err) {
			return fmt.Errorf("analyze %s: %w", t.name, err)
		}
		obs.Observe(cofre.Event{Type: cofre.TypeWarning, Item: t.name}.Doing(analyzeTask()).Saying(cofre.Say("database.no_statistics", "table {{.table}} has no statistics: {{.error}}; when the cause is gone: ANALYZE {{.table}};", "table", t.name, "error", err)))
		for _, leaf := range t.leaves {
			if _, err := conn.Exec(ctx, "ANALYZE "+leaf); err != nil && (!logical.IsServerError(err) || postgres.IsConnectionLost(err)) {
				return fmt.Errorf("analyze %s: %w", leaf, err)
			}
		}
		return nil
	})
}

func grantsTask() cofre.Message { return cofre.Say("database.task_grants", "check grants") }

func analyzeTask() cofre.Message { return cofre.Say("database.task_analyze", "analyze") }
