package rescue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
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

	// Loss is what the repository has lost of the component.
	Loss logical.LossOptions

	Observer cofre.Observer
}

// TableOutcome says what a restore of one table made.
type TableOutcome struct {
	Table    string // quoted
	Rows     int64
	Bytes    int64    // of rows read from the repository
	Checksum string   // of the rows as read back from the table, of each partition added up
	Lost     []string // which rows could not be read and were left out as asked for, and what else of the component
	Left     []string // what of the table was left out as asked for: "foreign key answers_profile_fkey"
	Missing  []string // what others had that leads to the table and could not be made again, with the reason
	Differs  []string // what of the table is otherwise than it was captured, with the reason if no dump holds it
	Made     []string // what others had that leads to the table and was made again: "view happy"

	Messages cofre.Messages // of Lost, Left, Missing, Differs and Made
}

func (o *TableOutcome) left(what ...cofre.Message) { o.tell(&o.Left, what...) }
func (o *TableOutcome) missing(what cofre.Message) { o.tell(&o.Missing, what) }
func (o *TableOutcome) differs(what cofre.Message) { o.tell(&o.Differs, what) }
func (o *TableOutcome) made(what cofre.Message)    { o.tell(&o.Made, what) }

func (o *TableOutcome) tell(list *[]string, what ...cofre.Message) {
	for _, m := range what {
		*list = append(*list, m.Text)
		if m.Code != "" {
			o.Messages = append(o.Messages, m)
		}
	}
}

// RestoreTable makes one table of a component in a database and fills it, reading of the component only the
// table of contents, the facts and that table's rows. Everything happens in one transaction: the table is
// there whole and compared with what was captured, or not at all.
//
// Errors: cofre.ErrNotFound if the point has no such table; cofre.ErrExists if the database has one of
// that name; cofre.ErrCorrupt; cofre.ErrUnproven if what is read back differs; *pgconn.PgError.
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
	opened, err := logical.OpenComponent(ctx, tree)
	if err != nil {
		return nil, err
	}
	c, encoding := opened.InUTF8()
	a, to, err := o.find(c.TOC)
	if err != nil {
		return nil, err
	}
	tree, lost, err := o.Loss.Leave(ctx, tree, &c, o.needs(&c, a))
	if err != nil {
		return nil, err
	}
	if why := o.unsafe(a, to); why != nil {
		return nil, cofre.WithHint(cofre.Fail(why.Messages.Of(why.What), cofre.ErrPreflight), why.Messages.Of(why.Hint))
	}
	conn, err := logical.ConnectForLoad(ctx, c.RowsOn(o.Server), encoding)
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
		out, err = (&tableRestore{Component: c, a: a, tree: tree, o: o, to: to, without: map[int]bool{}}).run(ctx, tx)
		return err
	})
	if logical.IsLost(err) && !errors.Is(err, cofre.ErrUnproven) && cofre.Hint(err) == "" {
		err = cofre.WithHint(err, cofre.Say("table.met_loss", "nothing was restored; what can be read, with what is lost named: {{.command}}", "command", o.Loss.Command))
	}
	if out != nil {
		out.tell(&out.Lost, lost...)
	}
	return out, err
}

// needs are the paths that are known to be lost of what the table is made of.
func (o TableOptions) needs(c *logical.Component, a *logical.ArchivedTable) []string {
	return o.Loss.Of(c, a.Data, logical.FingerprintFile)
}

// find collects the table, and says in which schema it is made.
func (o TableOptions) find(toc *pgarchive.TOC) (*logical.ArchivedTable, string, error) {
	from, _, err := logical.TableName(o.Table)
	if err != nil {
		return nil, "", err
	}
	to := from
	if o.ToSchema != "" {
		parts, err := pgarchive.ParseName(o.ToSchema)
		if err != nil || len(parts) != 1 {
			return nil, "", cofre.WithHint(fmt.Errorf("schema %s: %w", o.ToSchema, cofre.ErrConfig), cofre.Say("table.one_name", "write one name, in double quotes if it holds more than letters, digits and underscores"))
		}
		to = parts[0]
	}
	a, err := logical.FindArchived(toc, o.Table, o.Full || to == from && !o.Bare)
	return a, to, err
}

// unsafe says why a table must not come back bare.
func (o TableOptions) unsafe(a *logical.ArchivedTable, to string) *cofre.Problem {
	if a.Whole || !a.Secured || to != a.Schema || o.WithoutSecurity {
		return nil
	}
	why := cofre.NewProblem(
		cofre.Say("table.unsecured", "table {{.table}} had row-level security, and would come back without it", "table", pgarchive.Quote(a.Schema, a.Name)),
		cofre.Say("table.whole", "leave out --bare to bring it back whole, or accept it with --without-row-security"))
	return &why
}

// tableRestore makes one archived table within a transaction.
type tableRestore struct {
	logical.Component
	a    *logical.ArchivedTable
	tree cofre.Tree
	o    TableOptions
	to   string
	// without are entries that could not be made, and are named.
	without map[int]bool
}

// in is the schema in which an object of the archive is made: under its own name a partition may be in another one than
// its table.
func (r *tableRestore) in(schema string) string {
	if r.to == r.a.Schema {
		return schema
	}
	return r.to
}

func (r *tableRestore) run(ctx context.Context, tx pgx.Tx) (*TableOutcome, error) {
	out := &TableOutcome{Table: pgarchive.Quote(r.to, r.a.Name)}
	out.left(r.a.Left...)
	names := moved{}
	for _, n := range r.a.Names {
		names[n] = r.in(n[0])
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)`, names[n], n[1]).Scan(&exists); err != nil {
			return nil, err
		}
		if exists {
			return nil, cofre.WithHint(fmt.Errorf("%s: %w", pgarchive.Quote(names[n], n[1]), cofre.ErrExists), cofre.Say("table.beside", "restore it beside the one that is there with --to and another schema, or compare the two with --merge"))
		}
	}
	for _, e := range r.a.Post {
		if e.Desc == "STATISTICS" { // of a catalog of its own
			names[[2]string{e.Namespace, e.Tag}] = r.in(e.Namespace)
		}
	}
	if err := r.makeSchema(ctx, tx); err != nil {
		return nil, err
	}
	for _, e := range r.a.Pre {
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
	for _, e := range slices.Concat(r.a.Post, r.a.Sets, r.a.Last) {
		if e.Desc == "PUBLICATION TABLE" {
			// The publication is another object, and may be gone.
			if err := r.attempt(ctx, tx, e); err != nil {
				r.without[e.DumpID] = true
				out.missing(cofre.Say("table.not_published", "its place in publication {{.name}}: {{.error}}", "name", e.Tag, "error", err))
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
	if err := r.compare(ctx, tx, names, out); err != nil {
		return nil, err
	}
	out.Rows, out.Bytes, out.Checksum = sum.Rows, sum.Bytes, sum.Checksum()
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
			return cofre.WithHint(err, cofre.Say("table.leads_to", "restore the table that it leads to first, or bring this one back without what ties it to others: --bare"))
		}
		// Undefined table, function, object, schema.
		if logical.HasCode(err, "42P01") || logical.HasCode(err, "42883") || logical.HasCode(err, "42704") || logical.HasCode(err, "3F000") {
			err = cofre.WithHint(err, cofre.Say("table.needs", "the table needs something that this database does not have: make it first, or restore the schema into a database of its own (cofre restore database --schema)"))
		}
		return err
	}
	if e.Desc != "TABLE" && e.Desc != "SEQUENCE" {
		return nil
	}
	// The sequence of an identity column follows its table, and must not be given away for itself.
	if r.a.Whole && e.Owner != "" && (e.Desc == "TABLE" || !strings.Contains(e.Defn, "ADD GENERATED")) {
		if _, err := tx.Exec(ctx, "ALTER TABLE "+pgarchive.Quote(r.in(e.Namespace), e.Tag)+" OWNER TO "+pgarchive.Quote(e.Owner)); err != nil {
			return fmt.Errorf("give %s to %s: %w", e.Tag, e.Owner, err)
		}
	}
	return closeToOthers(ctx, tx, e.Desc, pgarchive.Quote(r.in(e.Namespace), e.Tag))
}

// disinherit cuts a copy in another schema off the parent that it was captured with: its rows would show among
// the parent's. The columns stay.
func (r *tableRestore) disinherit(ctx context.Context, tx pgx.Tx) error {
	if r.to == r.a.Schema {
		return nil
	}
	for _, e := range r.a.Tables {
		parents, err := logical.Collect(ctx, tx, "the parents of the table", fmt.Sprintf(`
SELECT i.inhparent::regclass::text FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
WHERE i.inhrelid = %s::regclass AND p.relkind <> 'p'`, logical.Literal(pgarchive.Quote(r.to, e.Tag))), func(row pgx.CollectableRow) (s string, err error) { return s, row.Scan(&s) })
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
func (r *tableRestore) load(ctx context.Context, tx pgx.Tx) (sum logical.Tally, err error) {
	facts := r.TableFacts()
	var total int64
	for _, e := range r.a.Data {
		if f := facts[e.DumpID]; f != nil {
			total += f.Bytes
		}
	}
	p := &logical.Progress{Observer: r.o.Observer, Task: "load table " + r.a.Name, Total: total}
	p.Begin()
	defer func() { p.End(err) }()
	for _, e := range r.a.Data {
		schema, name, columns, err := e.CopyTarget()
		if err != nil {
			return sum, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		f := facts[e.DumpID]
		l := logical.TableLoad{Path: logical.ArchiveDir + "/" + logical.DataFile(r.TOC, e, f), Table: pgarchive.Quote(r.in(schema), name), Columns: columns, Facts: f, Encoding: r.ClientEncoding()}
		if err := l.CopyInto(ctx, tx, r.tree, p); err != nil {
			return sum, err
		}
		var back logical.Tally
		list := make([]string, len(columns))
		for i, c := range columns {
			list[i] = pgarchive.Quote(c)
		}
		if _, err := tx.Conn().PgConn().CopyTo(ctx, &back, fmt.Sprintf("COPY (SELECT %s FROM ONLY %s) TO STDOUT WITH (ENCODING %s)", strings.Join(list, ", "), l.Table, logical.Literal(l.Encoding))); err != nil {
			return sum, fmt.Errorf("read table %s back: %w", l.Table, err)
		}
		if err := l.Verify(&back, back.Rows); err != nil {
			return sum, fmt.Errorf("read table %s back: %w: %v", l.Table, cofre.ErrUnproven, err)
		}
		sum.Merge(&back)
	}
	return sum, nil
}

// PlanTable says what RestoreTable would do, and what stands against it. Nothing is changed.
//
// Errors: cofre.ErrNotFound if the point has no such table; of the repository and the connection.
func PlanTable(ctx context.Context, tree cofre.Tree, o TableOptions) (*cofre.Plan, error) {
	fail := func(err error) (*cofre.Plan, error) {
		return nil, fmt.Errorf("plan the restore of table %s: %w", o.Table, err)
	}
	opened, err := logical.OpenComponent(ctx, tree)
	if err != nil {
		return fail(err)
	}
	c, encoding := opened.InUTF8()
	a, to, err := o.find(c.TOC)
	if err != nil {
		return fail(err)
	}
	p := cofre.NewPlan(cofre.Say("table.title", "restore table {{.table}} of database {{.database}}, captured {{.taken}}, to schema {{.schema}} on {{.server}}",
		"table", pgarchive.Quote(a.Schema, a.Name), "database", c.Facts.Database.Name, "taken", c.Facts.TakenAt, "schema", to, "server", o.Server))
	lost := o.needs(&c, a)
	if what, hint := o.Loss.Refuses(ctx, &c, lost); !what.IsZero() {
		p.Refuse(what, hint)
	} else if _, named, err := o.Loss.Leave(ctx, tree, &c, lost); err != nil {
		return fail(err)
	} else if len(named) > 0 {
		p.Note(cofre.Say("table.without", "left out, because the repository has lost it: {{.what}}", "what", cofre.Series(named...)))
	}
	facts := c.TableFacts()
	var rows int64
	for _, e := range a.Data {
		if f := facts[e.DumpID]; f != nil {
			rows, p.Bytes = rows+f.Rows, p.Bytes+f.Bytes
		}
	}
	conn, err := logical.Connect(ctx, o.Server, nil)
	if err != nil {
		return fail(err)
	}
	defer postgres.Close(ctx, conn)
	if err := logical.SetEncoding(ctx, conn, encoding); err != nil {
		return fail(err)
	}
	var id uint32
	err = conn.QueryRow(ctx, `SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1`, to).Scan(&id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		p.Do(cofre.Say("step.create", "create"), cofre.Say("kind.schema", "schema {{.name}}", "name", pgarchive.Quote(to)), cofre.Message{})
	case err != nil:
		return fail(err)
	}
	for _, n := range a.Names {
		var exists bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = $1 AND relname = $2)`, id, n[1]).Scan(&exists); err != nil {
			return fail(err)
		}
		if exists {
			p.Refuse(cofre.Say("table.exists", "{{.name}} exists already", "name", pgarchive.Quote(to, n[1])), cofre.Say("table.other_schema", "choose another schema with --to, or compare the two with --merge"))
		}
	}
	p.Do(cofre.Say("step.create", "create"), cofre.Say("kind.table", "table {{.name}}", "name", pgarchive.Quote(to, a.Name)),
		cofre.SayN("database.step_definitions", len(a.Pre)+len(a.Post), "1 definition", "{{.n}} definitions"))
	p.Do(cofre.Say("step.load", "load"), logical.Rows(rows), cofre.Message{})
	p.Do(cofre.Say("step.check", "check"), cofre.Say("table.step_check", "count and checksum, read back from the table"), cofre.Message{})
	if why := o.unsafe(a, to); why != nil {
		p.Problems = append(p.Problems, *why)
	}
	switch {
	case len(a.Left) > 0:
		p.Note(cofre.Say("table.left", "left out: {{.objects}}", "objects", cofre.List(a.Left...)))
		p.Note(cofre.Say("table.private", "the table belongs to the role that restores it: nobody else may read it"))
	case a.Whole:
		p.Note(cofre.Say("table.as_captured", "owner, grants, policies, triggers, foreign keys and indexes are those that were captured"))
	}
	p.Promises(cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true})
	for _, e := range a.Others {
		if isObject(e) {
			p.Note(cofre.Say("table.led_to", "{{.object}} leads to it, and is created again if it is not there", "object", described(e)))
		}
	}
	return p, nil
}
