package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
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

	keyed bool // the copy is of no use without its primary key
}

// TableOutcome says what a restore of one table made.
type TableOutcome struct {
	Table      string // quoted
	Rows       int64
	Bytes      int64            // of rows read from the repository
	Checksum   string           // of the rows as read back from the table, of each partition added up
	Unkeyed    bool             // the rows were compared by a sum without a key
	Unsummed   bool             // no sum of the rows was recorded under this repository's key: they were counted
	Lost       []string         // which rows could not be read and were left out as asked for, and what else of the component
	Unrecorded bool             // what was recorded of the rows is lost: they were compared with nothing
	Left       []string         // what of the table was left out as asked for: "foreign key answers_profile_fkey"
	Missing    []string         // what others had that leads to the table and could not be made again, with the reason
	Differs    []string         // what of the table is otherwise than it was captured, with the reason if no dump holds it
	Made       []string         // what others had that leads to the table and was made again: "view happy"
	Open       []foreignkey.Key // keys that do not hold over rows that are lost, and say so; Differs names them, too

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

// Table restores one table of a component, reading of it only the table of contents, the facts and that table's rows. It is a
// cofre.Target: Stage makes the table, fills it and reads it back, Check compares it, and Publish commits. All of it is one
// transaction: the table is there whole and compared with what was captured, or not at all.
type Table struct {
	o      TableOptions
	tree   cofre.Tree
	c      logical.Component
	encode string // of the session
	a      *logical.ArchivedTable
	to     string          // the schema in which it is made
	lost   []cofre.Message // what is left out as asked for

	conn *pgx.Conn
	tx   pgx.Tx
	made *tableRestore
	out  TableOutcome
	done bool
}

var _ cofre.Target = (*Table)(nil)

// NewTable makes a target. Nothing is contacted before Plan.
func NewTable(o TableOptions) *Table { return &Table{o: o} }

// Promise says that nobody sees the table before it is proven.
func (*Table) Promise() cofre.Promise {
	return cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
}

// Made says what was made. Before Publish nobody else sees it.
func (t *Table) Made() *TableOutcome { return &t.out }

// Stage makes the table and fills it, within a transaction.
//
// Errors: cofre.ErrExists if the database has one of that name since Plan; cofre.ErrCorrupt; cofre.ErrUnproven if the rows that are
// read back differ; *pgconn.PgError.
func (t *Table) Stage(ctx context.Context, obs cofre.Observer) error {
	return t.explained(t.stage(ctx, obs))
}

func (t *Table) explained(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("restore table %s: %w", t.o.Table, postgres.Explain(err))
}

func (t *Table) stage(ctx context.Context, obs cofre.Observer) (err error) {
	if t.conn, err = logical.ConnectForLoad(ctx, t.c.RowsOn(t.o.Server).LeavingAsFound("TimeZone"), t.encode); err != nil {
		return err
	}
	if t.tx, err = t.conn.Begin(ctx); err != nil {
		return err
	}
	// One transaction is all that this session does: its commit is what makes the table durable.
	if _, err := t.tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
		return err
	}
	if err := t.lock(ctx); err != nil {
		return err
	}
	t.out = TableOutcome{Table: pgarchive.Quote(t.to, t.a.Name)}
	t.out.left(t.a.Left...)
	t.out.tell(&t.out.Lost, t.lost...)
	t.made = &tableRestore{Component: t.c, a: t.a, tree: t.tree, o: t.o, to: t.to, obs: obs, without: map[int]bool{}, names: moved{}}
	err = t.made.run(ctx, t.tx, &t.out)
	if err == nil { // what is compared was read under it
		_, err = t.tx.Exec(ctx, "SET LOCAL TimeZone = 'UTC'")
	}
	if logical.IsLost(err) && !errors.Is(err, cofre.ErrUnproven) && cofre.Hint(err) == "" {
		err = cofre.WithHint(err, cofre.Say("table.met_loss", "nothing was restored; what can be read, with what is lost named: {{.command}}", "command", t.o.Loss.Command))
	}
	return err
}

// lock keeps other restores of the table out until the transaction ends: without it they would wait for its names, however long
// it takes.
//
// Errors: cofre.ErrLocked.
func (t *Table) lock(ctx context.Context) error {
	name := pgarchive.Quote(t.to, t.a.Name)
	return lockName(ctx, t.tx, "table "+name, cofre.Say("table.busy", "another restore of table {{.table}} runs", "table", name))
}

// lockName takes the lock on what a restore makes until the transaction ends.
//
// Errors: cofre.ErrLocked, saying busy.
func lockName(ctx context.Context, tx pgx.Tx, name string, busy cofre.Message) error {
	// One that was interrupted may not have been taken back yet.
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '5s'"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))", "cofre restore "+name)
	if logical.HasCode(err, "55P03") { // lock_not_available
		return cofre.WithHint(cofre.Fail(busy, cofre.ErrLocked),
			cofre.Say("table.busy_wait", "wait until it has ended, or restore to another schema: --to SCHEMA"))
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "SET LOCAL lock_timeout TO DEFAULT")
	return err
}

// Check compares the table, and what belongs to it, with what was captured. What is otherwise and opens it to nobody does not
// stand in the way: Publish names it.
//
// Errors: cofre.ErrUnproven if it would be open to others than before.
func (t *Table) Check(ctx context.Context, _ cofre.Observer) (*cofre.Proof, error) {
	if err := t.made.compare(ctx, t.tx, t.made.names, &t.out); err != nil {
		return nil, t.explained(err)
	}
	p := &cofre.Proof{Checks: t.made.checks, Unkeyed: t.out.Unkeyed, Counted: t.out.Unsummed || t.out.Unrecorded}
	p.Covers(cofre.Say("kind.table", "table {{.name}}", "name", t.out.Table))
	same := func(what cofre.Message) {
		p.Checks = append(p.Checks, cofre.NewChecked(what, asCaptured(), asCaptured(), true))
	}
	same(cofre.Say("table.rights", "rights of table {{.table}}", "table", t.out.Table))
	if len(t.out.Differs) == 0 {
		same(cofre.Say("table.definitions", "definitions of table {{.table}}", "table", t.out.Table))
	}
	return p, nil
}

// Publish commits.
//
// Errors: those of the connection. If it was lost while the server committed, the table may be there.
func (t *Table) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if t.done || t.tx == nil {
		return nil, fmt.Errorf("publish table %s: %w: nothing is staged", t.o.Table, cofre.ErrRefused)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.tx.Commit(ctx); err != nil {
		return nil, t.explained(err)
	}
	t.done = true
	_ = postgres.Close(ctx, t.conn) // it has nothing to say any more
	table := cofre.Say("kind.table", "table {{.name}}", "name", t.out.Table)
	o := &cofre.Outcome{Restored: t.out.Table, Done: table}
	left := func(what cofre.Message, all []string) {
		for _, text := range all {
			o.Left = append(o.Left, cofre.NewChecked(what, asCaptured(), t.out.Messages.Of(text), false))
		}
	}
	left(table, slices.Concat(t.out.Lost, t.out.Differs))
	left(cofre.Say("table.led", "what led to table {{.table}}", "table", t.out.Table), t.out.Missing)
	o.Next = finish(t.out.Open)
	if len(t.out.Lost)+len(t.out.Differs) == 0 && len(t.out.Missing) > 0 {
		o.Hint = cofre.Say("restore.table_definitions", "cofre export --format sql --schema-only has the definitions; make these by hand once the cause is gone")
	}
	return o, nil
}

func asCaptured() cofre.Message { return cofre.Say("database.as_captured", "as captured") }

// Discard takes the transaction back.
func (t *Table) Discard(ctx context.Context) error {
	if t.conn == nil || t.done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if t.tx != nil {
		_ = t.tx.Rollback(ctx)
	}
	// If the session is lost, the server takes back what was not committed as soon as it sees that.
	_ = postgres.Close(ctx, t.conn)
	t.conn, t.tx = nil, nil
	return nil
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
	obs  cofre.Observer

	names  moved
	loads  []logical.TableLoad
	checks []cofre.Checked // of the rows
	// without are entries that could not be made, and are named.
	without map[int]bool
	open    []foreignkey.Key // that do not hold over rows that are lost, as they were captured
}

// in is the schema in which an object of the archive is made: under its own name a partition may be in another one than
// its table.
func (r *tableRestore) in(schema string) string {
	if r.to == r.a.Schema {
		return schema
	}
	return r.to
}

func (r *tableRestore) run(ctx context.Context, tx pgx.Tx, out *TableOutcome) error {
	names := r.names
	for _, n := range r.a.Names {
		names[n] = r.in(n[0])
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)`, names[n], n[1]).Scan(&exists); err != nil {
			return err
		}
		if exists {
			return cofre.WithHint(fmt.Errorf("%s: %w", pgarchive.Quote(names[n], n[1]), cofre.ErrExists), cofre.Say("table.beside", "restore it next to the one that is there with --to and another schema, or compare the two with --merge"))
		}
	}
	for _, e := range r.a.Post {
		if e.Desc == "STATISTICS" { // of a catalog of its own
			names[[2]string{e.Namespace, e.Tag}] = r.in(e.Namespace)
		}
	}
	if err := r.setMeaning(ctx, tx); err != nil {
		return err
	}
	if err := r.makeSchema(ctx, tx); err != nil {
		return err
	}
	for _, e := range r.a.Pre {
		if err := r.make(ctx, tx, names, e); err != nil {
			return err
		}
	}
	if err := r.disinherit(ctx, tx); err != nil {
		return err
	}
	var err error
	if r.loads, err = r.load(ctx, tx); err != nil {
		return err
	}
	for _, e := range slices.Concat(r.a.Post, r.a.Sets, r.a.Last) {
		if r.dispensable(e) {
			if err := r.attempt(ctx, tx, e, names.rewrite(e.Defn)); err != nil {
				if ctx.Err() != nil || tx.Conn().IsClosed() {
					return err
				}
				r.without[e.DumpID] = true
				out.differs(notMade(logical.Named(e.Desc, e.Tag), err))
			}
			continue
		}
		if e.Desc == "PUBLICATION TABLE" {
			// The publication is another object, and may be gone.
			if err := r.attempt(ctx, tx, e, e.Defn); err != nil {
				r.without[e.DumpID] = true
				out.missing(cofre.Say("table.not_published", "its place in publication {{.name}}: {{.error}}", "name", e.Tag, "error", err))
			}
			continue
		}
		if e.Desc == "FK CONSTRAINT" {
			if err := r.makeKey(ctx, tx, e, names.rewrite(e.Defn), out); err != nil {
				return r.explainKey(e, err)
			}
			continue
		}
		if err := r.make(ctx, tx, names, e); err != nil {
			return err
		}
	}
	if err := r.makeOthers(ctx, tx, out); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "ANALYZE "+out.Table); err != nil {
		return err
	}
	sum, err := r.readBack(ctx, tx)
	if err != nil {
		return err
	}
	out.Unrecorded = len(r.a.Data) > 0 && len(r.Facts.Tables) == 0
	out.Unsummed, out.Unkeyed = r.Sums(r.a.Data)
	out.Rows, out.Bytes, out.Checksum = sum.Rows, sum.Bytes, sum.Sum().String()
	return nil
}

func (r *tableRestore) make(ctx context.Context, tx pgx.Tx, names moved, e *pgarchive.Entry) error {
	sql := names.rewrite(e.Defn)
	if strings.TrimSpace(sql) == "" {
		return nil
	}
	// The definition may hold several statements: the simple protocol runs them all.
	if _, err := tx.Conn().PgConn().Exec(ctx, r.storage(e)+sql).ReadAll(); err != nil {
		err = fmt.Errorf("make %s %s: %w", strings.ToLower(e.Desc), e.Tag, err)
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

// load copies the rows in, before indexes and constraints are made.
func (r *tableRestore) load(ctx context.Context, tx pgx.Tx) (loads []logical.TableLoad, err error) {
	facts := r.TableFacts()
	var total int64
	for _, e := range r.a.Data {
		if f := facts[e.DumpID]; f != nil {
			total += f.Bytes
		}
	}
	p := &logical.Progress{Observer: r.obs, Task: cofre.Say("table.task_load", "load table {{.table}}", "table", r.a.Name), Total: total}
	p.Begin()
	defer func() { p.End(err) }()
	for _, e := range r.a.Data {
		l, err := r.tableLoad(e, facts[e.DumpID])
		if err != nil {
			return nil, err
		}
		if err := l.CopyInto(ctx, tx, r.tree, p); err != nil {
			return nil, err
		}
		// The root spreads the rows of all its partitions anew: they are compared together.
		at := slices.IndexFunc(loads, func(o logical.TableLoad) bool { return o.Table == l.Table })
		if at < 0 {
			if l.Facts != nil {
				together := *l.Facts
				l.Facts = &together
			}
			loads = append(loads, l)
		} else if loads[at].Facts != nil && l.Facts != nil {
			if err := loads[at].Facts.Add(l.Facts, r.Key); err != nil {
				return nil, err
			}
		}
	}
	return loads, nil
}

// readBack reads the rows back as they are when everything was made: a function of an index, of extended statistics or of a
// materialized view may have changed some of them, and so may a trigger that waits for the end of the transaction.
func (r *tableRestore) readBack(ctx context.Context, tx pgx.Tx) (sum logical.Tally, err error) {
	sum.Key = r.Key
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return sum, err
	}
	r.checks = nil
	for _, l := range r.loads {
		back, err := r.readLoaded(ctx, tx, l)
		if err != nil {
			return sum, err
		}
		sum.Merge(back)
	}
	return sum, nil
}

// tableLoad says where the rows of an entry go. Those of a partition whose root is not made go into the partition.
func (r *tableRestore) tableLoad(e *pgarchive.Entry, f *logical.TableFacts) (logical.TableLoad, error) {
	schema, name, columns, err := e.CopyTarget()
	if err != nil {
		return logical.TableLoad{}, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
	}
	byRoot := e.ByRoot()
	if byRoot && !slices.ContainsFunc(r.a.Tables, func(t *pgarchive.Entry) bool { return t.Namespace == schema && t.Tag == name }) {
		schema, name, byRoot = e.Namespace, e.Tag, false
	}
	return logical.TableLoad{
		Path: logical.ArchiveDir + "/" + logical.DataFile(r.TOC, e, f), Table: pgarchive.Quote(r.in(schema), name), Columns: columns,
		Facts: f, Key: r.Key, Encoding: r.ClientEncoding(), Whole: byRoot,
	}, nil
}

// readLoaded reads the rows of a table back and compares them.
//
// Errors: cofre.ErrUnproven.
func (r *tableRestore) readLoaded(ctx context.Context, tx pgx.Tx, l logical.TableLoad) (*logical.Tally, error) {
	from := "ONLY " + l.Table
	if l.Whole {
		from = l.Table
	}
	// Policies hide rows from the owner, too, if the table says so.
	var forced bool
	if err := tx.QueryRow(ctx, "SELECT c.relforcerowsecurity AND pg_catalog.row_security_active(c.oid) FROM pg_catalog.pg_class c WHERE c.oid = "+logical.Literal(l.Table)+"::regclass").Scan(&forced); err != nil {
		return nil, fmt.Errorf("read table %s back: %w", l.Table, err)
	}
	if forced {
		if _, err := tx.Exec(ctx, "ALTER TABLE ONLY "+l.Table+" NO FORCE ROW LEVEL SECURITY"); err != nil {
			return nil, fmt.Errorf("read table %s back: %w", l.Table, err)
		}
	}
	back := logical.Tally{Key: r.Key}
	if err := readBack(ctx, tx, &back, fmt.Sprintf("COPY (SELECT %s FROM %s) TO STDOUT WITH (ENCODING %s)", logical.ColumnList("", l.Columns), from, logical.Literal(l.Encoding))); err != nil {
		return nil, fmt.Errorf("read table %s back: %w", l.Table, err)
	}
	if forced {
		if _, err := tx.Exec(ctx, "ALTER TABLE ONLY "+l.Table+" FORCE ROW LEVEL SECURITY"); err != nil {
			return nil, fmt.Errorf("read table %s back: %w", l.Table, err)
		}
	}
	if err := l.Verify(&back, back.Rows); err != nil {
		return nil, fmt.Errorf("read table %s back: %w: %v", l.Table, cofre.ErrUnproven, err)
	}
	rows := cofre.Say("table.rows", "{{.rows}}, checksum {{.checksum}}", "rows", back.Rows, "checksum", back.Sum())
	r.checks = append(r.checks, cofre.NewChecked(cofre.Say("table.rows_of", "rows of {{.table}}", "table", l.Table), rows, rows, true)) // Verify has compared them
	return &back, nil
}

// setMeaning puts the settings in force on which expressions of the captured database depend: a CHECK is evaluated under them.
// What only the server or the role had set is as it is found.
func (r *tableRestore) setMeaning(ctx context.Context, tx pgx.Tx) error {
	for _, s := range r.Facts.Database.Settings {
		if !s.HasMeaning() {
			continue
		}
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true)", s.Name, s.Value)
			return err
		})
		if err != nil && !logical.IsServerError(err) { // one that this role may not set, or this server does not know, stays
			return err
		}
	}
	_, err := tx.Exec(ctx, "SET LOCAL DateStyle = 'ISO'") // as rows are written; the order of day and month stays
	return err
}

// readBack reads rows as they are written: under UTC.
func readBack(ctx context.Context, tx pgx.Tx, to io.Writer, sql string) error {
	return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		var zone string
		if err := tx.QueryRow(ctx, "SELECT pg_catalog.current_setting('TimeZone')").Scan(&zone); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL TimeZone = 'UTC'"); err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().CopyTo(ctx, to, sql); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT pg_catalog.set_config('TimeZone', $1, true)", zone)
		return err
	})
}

func (t *Table) open(ctx context.Context, tree cofre.Tree) error {
	tree, opened, err := t.o.Loss.Open(ctx, tree)
	if err != nil {
		return err
	}
	t.tree = tree
	t.c, t.encode = opened.InUTF8()
	t.a, t.to, err = t.o.find(t.c.TOC)
	return err
}

// leave has the rows that can be read stand for those that are lost, as asked for.
func (t *Table) leave(ctx context.Context) (err error) {
	t.tree, t.lost, err = t.o.Loss.Leave(ctx, t.tree, &t.c, t.o.needs(&t.c, t.a))
	return err
}

// Plan finds the table in the point, and says what stands against making it. Nothing is changed.
//
// Errors: cofre.ErrNotFound if the point has no such table; of the repository and the connection.
func (t *Table) Plan(ctx context.Context, _ cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	o := t.o
	fail := func(err error) (*cofre.Plan, error) {
		return nil, postgres.Explain(fmt.Errorf("plan the restore of table %s: %w", o.Table, err))
	}
	if err := t.open(ctx, tree); err != nil {
		return fail(err)
	}
	c, encoding, a, to := t.c, t.encode, t.a, t.to
	p := cofre.NewPlan(cofre.Say("table.title", "restore table {{.table}} of database {{.database}}, captured {{.taken}}, to schema {{.schema}} on {{.server}}",
		"table", pgarchive.Quote(a.Schema, a.Name), "database", c.Facts.Database.Name, "taken", c.Facts.TakenAt, "schema", to, "server", o.Server))
	if what, hint := o.Loss.Refuses(ctx, &c, o.needs(&c, a)); !what.IsZero() {
		p.Refuse(what, hint)
	} else if err := t.leave(ctx); err != nil {
		return fail(err)
	} else if len(t.lost) > 0 {
		p.Note(cofre.Say("table.without", "left out, because the repository has lost it: {{.what}}", "what", cofre.Series(t.lost...)))
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
	for _, e := range a.Others {
		if isObject(e) {
			p.Note(cofre.Say("table.led_to", "{{.object}} leads to it, and is created again if it is not there", "object", described(e)))
		}
	}
	return p, nil
}
