package logical

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// TableOptions describe the restore of one table.
type TableOptions struct {
	Server postgres.Config // leads to the database into which the table is restored
	Table  string          // schema.table as PostgreSQL reads it; without a schema, of public
	// ToSchema is where the table is made, an identifier as PostgreSQL reads one; the schema is created if it is
	// missing. Empty is the table's own schema.
	ToSchema string
	// Bare leaves out what ties the table to others: foreign keys, triggers, rules, policies, owner, grants,
	// publications. It then has its columns, defaults, identity, checks, keys and indexes, and is its restorer's alone.
	// Under its own name a table comes back whole otherwise; in another schema it is bare unless Full is set.
	Bare, Full bool
	// WithoutSecurity accepts that a table which had row-level security comes back under its own name without it.
	WithoutSecurity bool

	Observer cofre.Observer
}

// TableOutcome says what a restore of one table made.
type TableOutcome struct {
	Table    string // quoted
	Rows     int64
	Bytes    int64    // of rows read from the repository
	Checksum string   // of the rows as read back from the table, of each partition added up
	Left     []string // what of the table was left out as asked for: "foreign key answers_profile_fkey"
	Missing  []string // what others had that leads to the table and could not be made again, with the reason
	Made     []string // what others had that leads to the table and was made again: "view happy"
}

// archivedTable is a table of an archive with everything that makes it.
type archivedTable struct {
	schema, name string
	whole        bool
	secured      bool               // row-level security is on, or there are policies
	tables       []*pgarchive.Entry // the table, then its partitions
	pre, post    []*pgarchive.Entry
	last         []*pgarchive.Entry // what makes it part of another table
	sets         []*pgarchive.Entry // sequence values
	data         []*pgarchive.Entry
	left         []string
	names        [][2]string        // of everything that is made
	others       []*pgarchive.Entry // what of other objects leads to the table, and went with it by DROP … CASCADE
}

// findArchived collects a table and its partitions.
//
// Errors: cofre.ErrNotFound; cofre.ErrConfig where the name cannot be read.
func findArchived(toc *pgarchive.TOC, table string, whole bool) (*archivedTable, error) {
	schema, name, err := tableName(table)
	if err != nil {
		return nil, err
	}
	made := madeTables(toc)
	root, ok := made[[2]string{schema, name}]
	if !ok {
		err := fmt.Errorf("table %s in the point: %w", pgarchive.Quote(schema, name), cofre.ErrNotFound)
		var like []string
		for i := range toc.Entries {
			if e := &toc.Entries[i]; e.Desc == "TABLE" && (strings.EqualFold(e.Tag, name) || e.Tag == table) {
				like = append(like, pgarchive.Quote(e.Namespace, e.Tag))
			}
		}
		if len(like) > 0 {
			return nil, cofre.WithHint(err, "the point has %s; names are folded to lower case outside double quotes", strings.Join(like, ", "))
		}
		return nil, cofre.WithHint(err, "cofre show --tables lists the tables of a point")
	}
	a := &archivedTable{schema: schema, name: name, whole: whole}
	a.takeRoot(root)
	in := map[int]bool{root.DumpID: true}
	// A partition is attached by an entry that depends on it and on its parent; partitions may have their own.
	var attach []*pgarchive.Entry
	for again := true; again; {
		again = false
		for i := range toc.Entries {
			e := &toc.Entries[i]
			if in[e.DumpID] {
				continue
			}
			if e.Desc == "TABLE" && attaching().MatchString(e.Defn) && slices.ContainsFunc(e.Depends, func(d int) bool { return in[d] }) {
				in[e.DumpID], again = true, true
				a.tables = append(a.tables, e)
				continue
			}
			if e.Desc != "TABLE ATTACH" {
				continue
			}
			// The entry stands for the partition: its tag is the partition's name.
			part, ok := made[[2]string{e.Namespace, e.Tag}]
			if !ok || in[part.DumpID] || !slices.ContainsFunc(e.Depends, func(d int) bool { return d != part.DumpID && in[d] }) {
				continue
			}
			in[part.DumpID], in[e.DumpID], again = true, true, true
			a.tables = append(a.tables, part)
			attach = append(attach, e)
		}
	}
	a.collect(toc, in, attach)
	if whole {
		a.collectOthers(toc, in)
	}
	return a, nil
}

// attaching is how pg_dump up to 13 makes a table a partition: in the definition of the table. Later ones have an
// entry of its own for it.
var attaching = pattern.Lazy(`(?m)^ALTER TABLE ONLY .* ATTACH PARTITION .*;\n?`)

// takeRoot takes the table itself. One that is a partition is attached last, by itself or not at all.
func (a *archivedTable) takeRoot(root *pgarchive.Entry) {
	attach := attaching().FindString(root.Defn)
	if attach == "" {
		a.tables = []*pgarchive.Entry{root}
		return
	}
	alone, last := *root, *root
	alone.Defn = strings.Replace(root.Defn, attach, "", 1)
	last.Desc, last.Defn = "TABLE ATTACH", attach
	a.tables = []*pgarchive.Entry{&alone}
	a.takeAttach(&last)
}

// takeAttach takes what makes the table a partition of another. What its parent brings along is made by it, so that it
// comes last.
func (a *archivedTable) takeAttach(e *pgarchive.Entry) {
	if a.whole {
		a.last = append(a.last, e)
	} else {
		a.left = append(a.left, "its being a partition")
	}
}

// collect sorts every entry that belongs to the tables into what is made and what is left out.
func (a *archivedTable) collect(toc *pgarchive.TOC, in map[int]bool, attach []*pgarchive.Entry) {
	a.pre = slices.Clone(a.tables)
	touches := func(e *pgarchive.Entry) bool {
		return slices.ContainsFunc(e.Depends, func(d int) bool { return in[d] })
	}
	// A sequence that a column owns is tied to both by an entry of its own, and may be made before the table.
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if e.Desc == "SEQUENCE OWNED BY" && touches(e) {
			for _, d := range e.Depends {
				if s, ok := toc.Entry(d); ok && s.Desc == "SEQUENCE" && !in[d] {
					in[d] = true
					a.pre = append(a.pre, s)
				}
			}
		}
	}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if in[e.DumpID] || !touches(e) {
			continue
		}
		switch e.Desc {
		case "SEQUENCE", "SEQUENCE OWNED BY", "DEFAULT":
			in[e.DumpID] = true
			a.pre = append(a.pre, e)
		case "TABLE DATA":
			a.data = append(a.data, e)
		case "CONSTRAINT", "INDEX", "CHECK CONSTRAINT", "COMMENT", "STATISTICS":
			in[e.DumpID] = true
			a.post = append(a.post, e)
		case "TABLE ATTACH":
			a.takeAttach(e)
		case "FK CONSTRAINT", "TRIGGER", "POLICY", "ROW SECURITY", "ACL", "RULE", "SECURITY LABEL", "PUBLICATION TABLE", "STATISTICS DATA":
			// A foreign key of another table to this one depends on both; its tag begins with its own table.
			if e.Desc == "FK CONSTRAINT" && !a.owns(e) {
				continue
			}
			a.secured = a.secured || e.Desc == "POLICY" || e.Desc == "ROW SECURITY"
			if a.whole {
				in[e.DumpID] = true
				a.post = append(a.post, e)
			} else {
				a.left = append(a.left, strings.ToLower(strings.Replace(e.Desc, "FK CONSTRAINT", "foreign key", 1))+" "+e.Tag)
			}
		}
	}
	for i := range toc.Entries {
		switch e := &toc.Entries[i]; {
		case e.Desc == "SEQUENCE SET" && touches(e):
			a.sets = append(a.sets, e)
		case e.Desc == "INDEX ATTACH" && all(e.Depends, func(d int) bool { return in[d] }):
			// A partition that is restored alone has no parent's index to be attached to.
			a.post = append(a.post, e)
		}
	}
	// The archive's order is one in which each finds what it needs: a partition's default its parent's sequence.
	a.pre = append(a.pre, attach...)
	at := make(map[int]int, len(toc.Entries))
	for i := range toc.Entries {
		at[toc.Entries[i].DumpID] = i
	}
	slices.SortFunc(a.pre, func(x, y *pgarchive.Entry) int { return cmp.Compare(at[x.DumpID], at[y.DumpID]) })
	// Grants come last: some of what is made before them is made by the table's owner alone.
	slices.SortStableFunc(a.post, func(x, y *pgarchive.Entry) int { return cmp.Compare(postRank(x), postRank(y)) })
	for _, e := range append(slices.Clone(a.pre), a.post...) {
		switch e.Desc {
		case "TABLE", "SEQUENCE", "INDEX":
			a.names = append(a.names, [2]string{e.Namespace, e.Tag})
		case "CONSTRAINT":
			// The tag is table and constraint; the index has the constraint's name.
			for _, t := range a.tables {
				if c, ok := strings.CutPrefix(e.Tag, t.Tag+" "); ok {
					a.names = append(a.names, [2]string{e.Namespace, c})
				}
			}
		}
	}
}

func postRank(e *pgarchive.Entry) int {
	switch e.Desc {
	case "INDEX ATTACH":
		return 1
	case "FK CONSTRAINT":
		return 2
	case "TRIGGER", "RULE":
		return 3
	case "ROW SECURITY", "POLICY":
		return 4
	case "COMMENT", "SECURITY LABEL", "PUBLICATION TABLE", "STATISTICS DATA":
		return 5
	case "ACL":
		return 6
	}
	return 0
}

// collectOthers finds what DROP TABLE … CASCADE took along of others: foreign keys that lead to the table, views over
// it and what belongs to these.
func (a *archivedTable) collectOthers(toc *pgarchive.TOC, in map[int]bool) {
	follows := map[int]bool{}
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if in[e.DumpID] {
			continue
		}
		on := func(set map[int]bool) bool {
			return slices.ContainsFunc(e.Depends, func(d int) bool { return set[d] })
		}
		switch e.Desc {
		case "FK CONSTRAINT":
			if on(in) {
				a.others = append(a.others, e)
			}
		case "VIEW", "MATERIALIZED VIEW", "FUNCTION", "PROCEDURE":
			if on(in) || on(follows) {
				follows[e.DumpID] = true
				a.others = append(a.others, e)
			}
		case "ACL", "COMMENT", "RULE", "TRIGGER", "INDEX", "SECURITY LABEL", "MATERIALIZED VIEW DATA", "STATISTICS", "DEFAULT":
			if on(follows) {
				a.others = append(a.others, e)
			}
		}
	}
}

func (a *archivedTable) owns(e *pgarchive.Entry) bool {
	return slices.ContainsFunc(a.tables, func(t *pgarchive.Entry) bool {
		return e.Namespace == t.Namespace && strings.HasPrefix(e.Tag, t.Tag+" ")
	})
}

// RestoreTable makes one table of a component in a database and fills it, reading of the component only the
// table of contents, the facts and that table's rows. Everything happens in one transaction: the table is
// there whole and compared with what was captured, or not at all.
//
// Errors: cofre.ErrNotFound where the point has no such table; cofre.ErrExists where the database has one of
// that name; cofre.ErrCorrupt; cofre.ErrUnproven where what is read back differs; *pgconn.PgError.
func RestoreTable(ctx context.Context, tree cofre.Tree, o TableOptions) (*TableOutcome, error) {
	if o.Observer == nil {
		o.Observer = cofre.Discard
	}
	out, err := restoreTable(ctx, tree, o)
	if err != nil {
		return nil, fmt.Errorf("restore table %s: %w", o.Table, postgres.Explain(err))
	}
	return out, nil
}

func restoreTable(ctx context.Context, tree cofre.Tree, o TableOptions) (*TableOutcome, error) {
	opened, err := openComponent(ctx, tree)
	if err != nil {
		return nil, err
	}
	c, encoding := opened.inUTF8()
	a, to, err := o.find(c.toc)
	if err != nil {
		return nil, err
	}
	if why := o.unsafe(a, to); why != nil {
		return nil, cofre.WithHint(fmt.Errorf("%s: %w", why.What, cofre.ErrPreflight), "%s", why.Hint)
	}
	conn, err := connectForLoad(ctx, c.rowsOn(o.Server), encoding)
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	var out *TableOutcome
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
		// One transaction is all that this session does: its commit is what makes the table durable.
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
			return err
		}
		out, err = (&tableRestore{component: c, a: a, tree: tree, o: o, to: to}).run(ctx, tx)
		return err
	})
	return out, err
}

// find collects the table, and says in which schema it is made.
func (o TableOptions) find(toc *pgarchive.TOC) (*archivedTable, string, error) {
	from, _, err := tableName(o.Table)
	if err != nil {
		return nil, "", err
	}
	to := from
	if o.ToSchema != "" {
		parts, err := pgarchive.ParseName(o.ToSchema)
		if err != nil || len(parts) != 1 {
			return nil, "", cofre.WithHint(fmt.Errorf("schema %s: %w", o.ToSchema, cofre.ErrConfig), "write one name, in double quotes where it holds more than letters, digits and underscores")
		}
		to = parts[0]
	}
	a, err := findArchived(toc, o.Table, o.Full || to == from && !o.Bare)
	return a, to, err
}

// unsafe says why a table must not come back bare.
func (o TableOptions) unsafe(a *archivedTable, to string) *cofre.Problem {
	if a.whole || !a.secured || to != a.schema || o.WithoutSecurity {
		return nil
	}
	return &cofre.Problem{
		What: fmt.Sprintf("table %s had row-level security, and would come back without it", pgarchive.Quote(a.schema, a.name)),
		Hint: "leave --bare out to bring it back whole, or accept it with --without-row-security",
	}
}

// tableRestore makes one archived table within a transaction.
type tableRestore struct {
	component
	a    *archivedTable
	tree cofre.Tree
	o    TableOptions
	to   string
}

func (r *tableRestore) run(ctx context.Context, tx pgx.Tx) (*TableOutcome, error) {
	out := &TableOutcome{Table: pgarchive.Quote(r.to, r.a.name), Left: r.a.left}
	names := moved{}
	for _, n := range r.a.names {
		names[n] = r.to
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)`, r.to, n[1]).Scan(&exists); err != nil {
			return nil, err
		}
		if exists {
			return nil, cofre.WithHint(fmt.Errorf("%s: %w", pgarchive.Quote(r.to, n[1]), cofre.ErrExists), "restore it beside the one that is there with --to and another schema, or compare the two with --merge")
		}
	}
	for _, e := range r.a.post {
		if e.Desc == "STATISTICS" { // of a catalog of its own
			names[[2]string{e.Namespace, e.Tag}] = r.to
		}
	}
	if err := r.makeSchema(ctx, tx); err != nil {
		return nil, err
	}
	for _, e := range r.a.pre {
		if err := r.make(ctx, tx, names, e); err != nil {
			return nil, err
		}
	}
	if err := r.disinherit(ctx, tx); err != nil {
		return nil, err
	}
	sum, err := r.load(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Concat(r.a.post, r.a.sets, r.a.last) {
		if e.Desc == "PUBLICATION TABLE" {
			// The publication is another object, and may be gone.
			if err := r.attempt(ctx, tx, e); err != nil {
				out.Missing = append(out.Missing, fmt.Sprintf("its place in publication %s: %v", e.Tag, err))
			}
			continue
		}
		if err := r.make(ctx, tx, names, e); err != nil {
			return nil, err
		}
	}
	if err := r.makeOthers(ctx, tx, out); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, "ANALYZE "+out.Table); err != nil {
		return nil, err
	}
	if err := r.compare(ctx, tx); err != nil {
		return nil, err
	}
	out.Rows, out.Bytes, out.Checksum = sum.rows, sum.bytes, sum.checksum()
	return out, nil
}

func (r *tableRestore) make(ctx context.Context, tx pgx.Tx, names moved, e *pgarchive.Entry) error {
	sql := names.rewrite(e.Defn)
	if strings.TrimSpace(sql) == "" {
		return nil
	}
	// The definition may hold several statements: the simple protocol runs them all.
	if _, err := tx.Conn().PgConn().Exec(ctx, r.storage(e)+sql).ReadAll(); err != nil {
		err = fmt.Errorf("make %s %s: %w", strings.ToLower(e.Desc), e.Tag, err)
		if e.Desc == "FK CONSTRAINT" {
			return cofre.WithHint(err, "restore the table that it leads to first, or bring this one back without what ties it to others: --bare")
		}
		// Undefined table, function, object, schema.
		if hasCode(err, "42P01") || hasCode(err, "42883") || hasCode(err, "42704") || hasCode(err, "3F000") {
			err = cofre.WithHint(err, "the table needs something that this database does not have: make it first, or restore the schema into a database of its own (cofre restore database --schema)")
		}
		return err
	}
	if e.Desc != "TABLE" && e.Desc != "SEQUENCE" {
		return nil
	}
	// The sequence of an identity column follows its table, and must not be given away for itself.
	if r.a.whole && e.Owner != "" && (e.Desc == "TABLE" || !strings.Contains(e.Defn, "ADD GENERATED")) {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+pgarchive.Quote(r.to, e.Tag)+" OWNER TO "+pgarchive.Quote(e.Owner)); err != nil {
			return fmt.Errorf("give %s to %s: %w", e.Tag, e.Owner, err)
		}
	}
	return closeToOthers(ctx, tx, e.Desc, pgarchive.Quote(r.to, e.Tag))
}

// disinherit cuts a copy in another schema off the parent that it was captured with: its rows would show among
// the parent's. The columns stay.
func (r *tableRestore) disinherit(ctx context.Context, tx pgx.Tx) error {
	if r.to == r.a.schema {
		return nil
	}
	for _, e := range r.a.tables {
		parents, err := collect(ctx, tx, "the parents of the table", fmt.Sprintf(`
SELECT i.inhparent::regclass::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE i.inhrelid = %s::regclass AND p.relkind <> 'p'`, literal(pgarchive.Quote(r.to, e.Tag))), func(row pgx.CollectableRow) (s string, err error) { return s, row.Scan(&s) })
		if err != nil {
			return err
		}
		for _, p := range parents {
			if _, err := tx.Exec(ctx, "ALTER TABLE "+pgarchive.Quote(r.to, e.Tag)+" NO INHERIT "+p); err != nil {
				return err
			}
		}
	}
	return nil
}

// load copies the rows in and reads them back, before indexes and constraints are made.
func (r *tableRestore) load(ctx context.Context, tx pgx.Tx) (sum rowTally, err error) {
	facts := r.tableFacts()
	var total int64
	for _, e := range r.a.data {
		if f := facts[e.DumpID]; f != nil {
			total += f.Bytes
		}
	}
	p := &progress{obs: r.o.Observer, task: "load table " + r.a.name, total: total}
	p.begin()
	defer func() { p.end(err) }()
	for _, e := range r.a.data {
		_, name, columns, err := e.CopyTarget()
		if err != nil {
			return sum, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		f := facts[e.DumpID]
		l := tableLoad{path: ArchiveDir + "/" + dataFile(r.toc, e, f), table: pgarchive.Quote(r.to, name), columns: columns, facts: f, encoding: r.clientEncoding()}
		if err := l.copyInto(ctx, tx, r.tree, p); err != nil {
			return sum, err
		}
		var back rowTally
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = pgarchive.Quote(c)
		}
		if _, err := tx.Conn().PgConn().CopyTo(ctx, &back, fmt.Sprintf("COPY (SELECT %s FROM ONLY %s) TO STDOUT WITH (ENCODING %s)", strings.Join(list, ", "), l.table, literal(l.encoding))); err != nil {
			return sum, fmt.Errorf("read table %s back: %w", l.table, err)
		}
		if err := l.verify(&back, back.rows); err != nil {
			return sum, fmt.Errorf("read table %s back: %w: %v", l.table, cofre.ErrUnproven, err)
		}
		sum.merge(&back)
	}
	return sum, nil
}

// PlanTable says what RestoreTable would do, and what stands against it. Nothing is changed.
//
// Errors: cofre.ErrNotFound where the point has no such table; of the repository and the connection.
func PlanTable(ctx context.Context, tree cofre.Tree, o TableOptions) (*cofre.Plan, error) {
	fail := func(err error) (*cofre.Plan, error) {
		return nil, fmt.Errorf("plan the restore of table %s: %w", o.Table, err)
	}
	opened, err := openComponent(ctx, tree)
	if err != nil {
		return fail(err)
	}
	c, encoding := opened.inUTF8()
	a, to, err := o.find(c.toc)
	if err != nil {
		return fail(err)
	}
	p := &cofre.Plan{Title: fmt.Sprintf("restore table %s of database %s, captured %s, to schema %s on %s",
		pgarchive.Quote(a.schema, a.name), c.facts.Database.Name, c.facts.TakenAt.UTC().Format("2006-01-02 15:04:05Z"), to, o.Server)}
	facts := c.tableFacts()
	var rows int64
	for _, e := range a.data {
		if f := facts[e.DumpID]; f != nil {
			rows, p.Bytes = rows+f.Rows, p.Bytes+f.Bytes
		}
	}
	conn, err := connect(ctx, o.Server, nil)
	if err != nil {
		return fail(err)
	}
	defer postgres.Close(ctx, conn)
	if err := setEncoding(ctx, conn, encoding); err != nil {
		return fail(err)
	}
	var id uint32
	err = conn.QueryRow(ctx, `SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1`, to).Scan(&id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		p.Steps = append(p.Steps, cofre.Step{Verb: "create", Object: "schema " + pgarchive.Quote(to)})
	case err != nil:
		return fail(err)
	}
	for _, n := range a.names {
		var exists bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = $1 AND relname = $2)`, id, n[1]).Scan(&exists); err != nil {
			return fail(err)
		}
		if exists {
			p.Problems = append(p.Problems, cofre.Problem{What: fmt.Sprintf("%s exists already", pgarchive.Quote(to, n[1])), Hint: "choose another schema with --to, or compare the two with --merge"})
		}
	}
	p.Steps = append(p.Steps,
		cofre.Step{Verb: "create", Object: "table " + pgarchive.Quote(to, a.name), Detail: plural(len(a.pre)+len(a.post), "definition", "definitions")},
		cofre.Step{Verb: "load", Object: plural(int(rows), "row", "rows")},
		cofre.Step{Verb: "check", Object: "count and checksum, read back from the table"})
	if why := o.unsafe(a, to); why != nil {
		p.Problems = append(p.Problems, *why)
	}
	switch {
	case len(a.left) > 0:
		p.Notes = append(p.Notes, "left out: "+strings.Join(a.left, ", "))
		p.Notes = append(p.Notes, "the table is its restorer's alone: nobody else may read it")
	case a.whole:
		p.Notes = append(p.Notes, "owner, grants, policies, triggers, foreign keys and indexes are those that were captured")
	}
	for _, e := range a.others {
		if isObject(e) {
			p.Notes = append(p.Notes, fmt.Sprintf("%s leads to it, and is made again if it is not there", described(e)))
		}
	}
	return p, nil
}
