package rescue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/internal/stamp"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// MergeOptions describe the comparison of a captured table with the live one.
type MergeOptions struct {
	Server postgres.Config // leads to the database with the live table
	Table  string          // schema.table as PostgreSQL reads it
	// Preview is how many rows of each kind are shown; 0 is 20. The counts are exact whatever it is.
	Preview int
	// DeleteExtra lets Apply delete live rows that the point does not have.
	DeleteExtra bool
	// Columns limits what is compared and brought back to these, as PostgreSQL reads names. Rows that the live table does not
	// have are then left out, as only a part of their values was asked for. Empty is all columns.
	Columns []string

	// Loss is what the repository has lost of the component.
	Loss logical.LossOptions

	Now func() time.Time // a clock for tests; nil is the real one
}

// Comparison is how a live table differs from the captured one, by primary key.
type Comparison struct {
	Missing int64 `json:"missing"` // captured rows that the live table does not have
	Changed int64 `json:"changed"` // rows whose values differ
	Extra   int64 `json:"extra"`   // live rows that the point does not have
	Same    int64 `json:"same"`
}

// RowDifference is one row of a preview.
type RowDifference struct {
	Kind    string             `json:"kind"` // missing, changed or extra
	Key     []string           `json:"key"`
	Columns []ColumnDifference `json:"columns,omitempty"` // of a changed row
}

// ColumnDifference is one value of a changed row; nil is NULL. Long values are cut.
type ColumnDifference struct {
	Name     string  `json:"name"`
	Captured *string `json:"captured"`
	Live     *string `json:"live"`
}

// LeftRows are rows that differ and that a merge leaves as they are.
type LeftRows struct {
	Kind string     `json:"kind"` // missing or extra
	Rows int64      `json:"rows"`
	Keys [][]string `json:"keys"` // of the first namedKeys of them, in the order of the key
}

// namedKeys is how many of the rows that are left are named.
const namedKeys = 20

// Merge brings what a live table lacks back from a component, by primary key. It is a cofre.Target: Stage puts the captured rows into a
// schema of their own and compares, and Publish changes the live table, which until then is only read. What is to change is known
// after Stage.
type Merge struct {
	Comparison Comparison
	Preview    []RowDifference
	Notes      []string
	Messages   cofre.Messages   // of Notes
	Left       []LeftRows       // what Publish leaves; after it, what it has left
	Lost       []cofre.Message  // which captured rows could not be read, and were left out as asked for
	Open       []foreignkey.Key // of Publish: keys that do not hold over rows that are lost, and say so
	Schema     string           // where the captured rows are, and the undo will be

	o        MergeOptions
	tree     cofre.Tree
	c        *logical.Component
	encode   string
	rows     *Table // the captured rows
	staged   bool
	ended    bool
	done     *MergeOutcome
	schema   string
	table    string
	live     string // quoted
	captured string // quoted
	undo     string // quoted
	only     string // "ONLY " unless the live table is partitioned
	key      []keyColumn
	columns  []string // of both, key included, without generated ones
	all      []string // of the live table, without generated ones
}

// keyColumn is a column by which rows are found.
type keyColumn struct {
	name  string
	equal string // the operator of the primary key: nothing is in the search path
	// exact says that values that are equal are the same. 1.0 equals 1.00, and what a collation or citext takes for equal may
	// be written in two ways.
	exact   bool
	derived bool // generated: compared, and never written
}

var _ cofre.Target = (*Merge)(nil)

// MergeOutcome says what was applied and how to take it back.
type MergeOutcome struct {
	Inserted, Updated, Deleted int64
	Sequences                  []string // set anew: "public.answers_id_seq to 2000"
	UndoTable                  string   // quoted; holds the rows as they were, and cofre_action
	Undo                       string   // SQL
	Next                       []cofre.Next
}

// NewMerge makes a target. Nothing is contacted before Plan.
func NewMerge(o MergeOptions) *Merge {
	if o.Preview == 0 {
		o.Preview = 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Merge{o: o}
}

// Done says what was applied; nil if nothing was.
func (m *Merge) Done() *MergeOutcome { return m.done }

// Promise says that until Publish the captured rows stand in a schema of their own, and the rows as they were stay in a table,
// from which the outcome's Undo brings them back.
func (m *Merge) Promise() cofre.Promise {
	return cofre.Promise{
		Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true,
		KeptAt: cofre.Say("merge.kept", "the rows as they were, in table {{.table}}", "table", m.undo),
	}
}

func (m *Merge) explained(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("compare table %s: %w", m.o.Table, postgres.Explain(err))
}

// Plan finds the table in the point and in the database, and the columns that both have. Nothing is changed.
//
// Errors: cofre.ErrNotFound if the point or the database has no such table; cofre.ErrPreflight if the
// table has no primary key or that key is not in both.
func (m *Merge) Plan(ctx context.Context, _ cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	p, err := m.plan(ctx, tree)
	return p, m.explained(err)
}

func (m *Merge) plan(ctx context.Context, tree cofre.Tree) (*cofre.Plan, error) {
	tree, opened, err := m.o.Loss.Open(ctx, tree)
	if err != nil {
		return nil, err
	}
	m.tree = tree
	c, encoding := opened.InUTF8()
	a, err := logical.FindArchived(c.TOC, m.o.Table, false)
	if err != nil {
		return nil, err
	}
	m.c, m.encode = &c, encoding
	if err := m.refuseLost(ctx, &c, a); err != nil {
		return nil, err
	}
	if m.o.Loss.Without {
		m.note(cofre.Say("merge.open_keys", "foreign keys that do not hold over what is lost are left as not validated, and named"))
	}
	m.schema, m.table, m.live = a.Schema, a.Name, pgarchive.Quote(a.Schema, a.Name)
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	if err := m.describe(ctx, conn, &c, a); err != nil {
		return nil, err
	}
	m.Schema = logical.CutName("cofre_rescue_"+a.Name, "_"+stamp.New(m.o.Now()))
	m.captured, m.undo = pgarchive.Quote(m.Schema, a.Name), pgarchive.Quote(m.Schema, undoName(a))
	p := cofre.NewPlan(cofre.Say("merge.title", "merge table {{.table}} of database {{.database}}, captured {{.taken}}, into the one on {{.server}}",
		"table", m.live, "database", c.Facts.Database.Name, "taken", c.Facts.TakenAt, "server", m.o.Server))
	table := func(name string) cofre.Message { return cofre.Say("kind.table", "table {{.name}}", "name", name) }
	p.Do(cofre.Say("step.create", "create"), cofre.Say("kind.schema", "schema {{.name}}", "name", pgarchive.Quote(m.Schema)), cofre.Message{})
	p.Do(cofre.Say("step.load", "load"), table(m.captured), cofre.Message{})
	p.Do(cofre.Say("step.merge", "merge"), table(m.live), cofre.Say("merge.step", "compared by primary key, in one transaction"))
	for _, n := range m.Messages {
		p.Note(n)
	}
	facts := c.TableFacts()
	for _, e := range a.Data {
		if f := facts[e.DumpID]; f != nil {
			p.Bytes += f.Bytes
		}
	}
	return p, nil
}

func (m *Merge) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := logical.Connect(ctx, m.o.Server, nil)
	if err != nil {
		return nil, err
	}
	if err := logical.SetEncoding(ctx, conn, m.encode); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}

// Stage puts the captured rows into a schema of their own, and compares the live ones with them.
//
// Errors: as of Table. Discard removes the schema.
func (m *Merge) Stage(ctx context.Context, obs cofre.Observer) error {
	return m.explained(m.stage(ctx, obs))
}

func (m *Merge) stage(ctx context.Context, obs cofre.Observer) error {
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	// Made here and not by the restore, which would take one that is there: Discard drops what this made alone.
	_, err = conn.Exec(ctx, "CREATE SCHEMA "+pgarchive.Quote(m.Schema))
	m.staged = err == nil || !logical.IsServerError(err) // if only the connection says that it failed, it may be there
	if err != nil {
		return fmt.Errorf("make schema %s: %w", m.Schema, err)
	}
	if err := closeToOthers(ctx, conn, "SCHEMA", pgarchive.Quote(m.Schema)); err != nil {
		return err
	}
	if err := m.bring(ctx, obs); err != nil {
		return err
	}
	// One snapshot for counts and preview.
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if m.Comparison, err = m.count(ctx, tx); err != nil {
			return err
		}
		if m.Left, err = m.leave(ctx, tx, m.Comparison); err != nil {
			return err
		}
		return m.preview(ctx, tx)
	})
}

// bring restores the captured rows beside the live ones.
func (m *Merge) bring(ctx context.Context, obs cofre.Observer) (err error) {
	tree, loss := m.tree, m.o.Loss
	if lost := loss.Of(m.c, nil, logical.FingerprintFile); len(lost) > 0 {
		// Rows are compared; what the catalogs said of the table is not needed.
		if tree, _, err = logical.Readable(ctx, tree, m.c, lost); err != nil {
			return err
		}
		loss.Known = slices.DeleteFunc(slices.Clone(loss.Known), func(f cofre.Finding) bool { return f.Object == logical.FingerprintFile })
	}
	m.rows = NewTable(TableOptions{Server: m.o.Server, Table: m.o.Table, ToSchema: pgarchive.Quote(m.Schema), Loss: loss, keyed: true})
	if err := m.rows.open(ctx, tree); err != nil {
		return err
	}
	if err := m.rows.leave(ctx); err != nil {
		return err
	}
	m.Lost = m.rows.lost
	defer func() { err = errors.Join(err, m.rows.Discard(ctx)) }()
	if err := m.rows.stage(ctx, obs); err != nil {
		return err
	}
	if _, err := m.rows.Check(ctx, obs); err != nil {
		return err
	}
	_, err = m.rows.Publish(ctx)
	return err
}

// Check says that the rows that the live ones were compared with are the captured ones.
func (m *Merge) Check(context.Context, cofre.Observer) (*cofre.Proof, error) {
	p := &cofre.Proof{Checks: m.rows.made.checks, Unkeyed: m.rows.out.Unkeyed, Counted: m.rows.out.Unsummed || m.rows.out.Unrecorded}
	p.Covers(cofre.Say("merge.captured_rows_of", "the captured rows of table {{.table}}", "table", m.live))
	return p, nil
}

// Publish brings the live table to what was compared, and removes the captured rows. Nothing is done to a table that lacks nothing.
//
// Errors: cofre.ErrRefused if the table has changed since it was compared; cofre.ErrLocked if it is in
// use for longer than 30 s; cofre.ErrUnproven if the result is not what was compared; a violated foreign key,
// by name. After an error nothing has changed.
func (m *Merge) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.ended || !m.staged {
		return nil, fmt.Errorf("merge table %s: %w: nothing is staged", m.o.Table, cofre.ErrRefused)
	}
	o := &cofre.Outcome{Restored: m.live, Done: cofre.Say("kind.table", "table {{.name}}", "name", m.live)}
	if m.Changes() != (Comparison{}) {
		done, err := m.apply(ctx)
		if err != nil {
			return nil, fmt.Errorf("merge table %s: %w", m.o.Table, postgres.Explain(err))
		}
		m.done = done
		o.Keeps(cofre.ThingRows, m.live, done.UndoTable, cofre.Verbatim(done.UndoTable))
		o.Next = append(o.Next, done.Next...)
	}
	for _, k := range m.Open {
		o.Left = append(o.Left, cofre.NewChecked(cofre.Verbatim("constraint "+k.String()), cofre.Say("database.key_valid", "validated"), k.State(), false))
	}
	if len(m.Lost) > 0 {
		o.Left = append(o.Left, cofre.NewChecked(cofre.Say("kind.table", "table {{.name}}", "name", m.live), asCaptured(), m.without(), false))
	}
	if err := m.remove(ctx); err != nil {
		o.Left = append(o.Left, cofre.NewChecked(cofre.Say("merge.captured_rows", "the captured rows, in {{.table}}", "table", m.captured), cofre.Say("merge.removed", "removed"), cofre.Verbatim(cofre.OneLine(err)), false))
		o.Hint = cofre.MessagesOf(err).Of(cofre.Hint(err))
	}
	m.ended = true
	return o, nil
}

// Discard removes the captured rows and their schema. What Publish keeps, the undo, it leaves.
//
// Errors: those of the server, with the SQL that removes them as a hint; it may then be called again.
func (m *Merge) Discard(ctx context.Context) error {
	if !m.staged || m.ended {
		return nil
	}
	err := m.remove(ctx)
	m.ended = err == nil
	return err
}

func (m *Merge) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	sql := "DROP TABLE IF EXISTS " + m.captured + " CASCADE"
	conn, err := logical.Connect(ctx, m.o.Server, nil)
	if err == nil {
		defer postgres.Close(ctx, conn)
		var applied bool
		// Asked of the server: whoever lost the connection at the commit does not know whether it was one.
		if err = conn.QueryRow(ctx, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", m.undo).Scan(&applied); err == nil {
			if !applied {
				sql = "DROP SCHEMA IF EXISTS " + pgarchive.Quote(m.Schema) + " CASCADE"
			}
			_, err = conn.Exec(ctx, sql)
		}
	}
	if err != nil {
		return cofre.WithHint(fmt.Errorf("remove the captured rows of %s: %w", m.o.Table, err), cofre.Verbatim(sql+";"))
	}
	return nil
}

// refuseLost ends the comparison before anything is made, if rows are lost that are not to be left out. A live row must not be
// deleted because the repository has lost it.
func (m *Merge) refuseLost(ctx context.Context, c *logical.Component, a *logical.ArchivedTable) error {
	lost := m.o.Loss.Of(c, a.Data)
	if what, hint := m.o.Loss.Refuses(ctx, c, lost); !what.IsZero() {
		return cofre.WithHint(cofre.Fail(what, cofre.ErrPreflight), hint)
	}
	if len(lost) > 0 && m.o.DeleteExtra {
		return cofre.WithHint(cofre.Fail(cofre.Say("merge.lost_extra", "rows of {{.table}} are lost, and live rows would be deleted because they cannot be read", "table", pgarchive.Quote(a.Schema, a.Name)), cofre.ErrPreflight),
			cofre.Say("merge.keep_extra", "leave --delete-extra out"))
	}
	return nil
}

// Incomplete says whether captured rows could not be read, and so were neither compared nor brought back. Publish names them
// among what is left.
//
// Errors: cofre.ErrPartial, which names them.
func (m *Merge) Incomplete() error {
	if len(m.Lost) == 0 {
		return nil
	}
	return cofre.Fail(m.without(), cofre.ErrPartial)
}

func (m *Merge) without() cofre.Message {
	return cofre.Say("merge.lost", "what the repository has lost was neither compared nor brought back, and its rows may be among those called extra: {{.what}}", "what", cofre.Series(m.Lost...))
}

// undoName is the name of the undo table: none of those that the captured table brings.
func undoName(a *logical.ArchivedTable) string {
	name := "undo"
	for slices.ContainsFunc(a.Names, func(n [2]string) bool { return n[1] == name }) {
		name += "_rows"
	}
	return name
}

// liveColumn is a column of the live table.
type liveColumn struct {
	name      string
	generated bool
	always    bool // GENERATED ALWAYS AS IDENTITY
}

// describe finds the columns that both tables have, and the key.
func (m *Merge) describe(ctx context.Context, conn *pgx.Conn, c *logical.Component, a *logical.ArchivedTable) error {
	var kind string
	err := conn.QueryRow(ctx, `SELECT c.relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2`, a.Schema, a.Name).Scan(&kind)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && kind != "r" && kind != "p" {
		return cofre.WithHint(fmt.Errorf("live table %s: %w", m.live, cofre.ErrNotFound), cofre.Say("merge.nothing", "there is nothing to merge with: restore the table without --merge"))
	}
	if err != nil {
		return err
	}
	if kind == "r" {
		m.only = "ONLY "
	}
	live, err := logical.Collect(ctx, conn, "the columns", fmt.Sprintf(`
SELECT attname, attgenerated <> '', attidentity = 'a' FROM pg_catalog.pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, logical.Literal(m.live)),
		func(r pgx.CollectableRow) (l liveColumn, err error) {
			return l, r.Scan(&l.name, &l.generated, &l.always)
		})
	if err != nil {
		return err
	}
	var captured, known []string
	facts := c.TableFacts()
	for _, e := range a.Data {
		if _, _, captured, err = e.CopyTarget(); err != nil {
			return fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		if f := facts[e.DumpID]; f != nil && known == nil {
			known = f.PrimaryKey
		}
	}
	if err := m.findKey(ctx, conn, known); err != nil {
		return err
	}
	always := m.share(live, captured)
	if len(m.key) == 0 {
		return cofre.WithHint(fmt.Errorf("table %s has no primary key to compare by: %w", m.live, cofre.ErrPreflight), cofre.Say("merge.no_key", "restore it next to the live one with --to and a schema, and compare by hand"))
	}
	for i, k := range m.key {
		m.key[i].derived = slices.ContainsFunc(live, func(l liveColumn) bool { return l.generated && l.name == k.name })
		if !m.key[i].derived && !slices.Contains(m.columns, k.name) {
			return fmt.Errorf("the primary key's column %s is not in both tables: %w", pgarchive.Quote(k.name), cofre.ErrPreflight)
		}
		// Only the server makes it, out of integers.
		m.key[i].exact = k.exact || m.key[i].derived || slices.ContainsFunc(live, func(l liveColumn) bool { return l.always && l.name == k.name })
	}
	return m.limit(always)
}

// findKey takes the live table's key if the point has none, or one that cannot be told from it: the key of a partitioned table is not
// among the facts of its partitions' rows, and earlier points count the columns that an index includes (INCLUDE) among its key.
//
// Source: PostgreSQL, documentation, "B-Tree Support Functions": equalimage is the fourth.
func (m *Merge) findKey(ctx context.Context, conn *pgx.Conn, known []string) error {
	var live []keyColumn
	all, err := logical.Collect(ctx, conn, "the primary key", fmt.Sprintf(`
SELECT a.attname, k.at <= i.indnkeyatts, coalesce(o.operator, '='), coalesce(o.exact, false)
FROM pg_catalog.pg_index i CROSS JOIN pg_catalog.unnest(i.indkey) WITH ORDINALITY k(n, at) JOIN pg_catalog.pg_attribute a ON a.attnum = k.n LEFT JOIN LATERAL (
 SELECT pg_catalog.format('OPERATOR(%%I.%%s)', n.nspname, o.oprname) AS operator, EXISTS (SELECT FROM pg_catalog.pg_amproc s
  WHERE s.amprocfamily = c.opcfamily AND s.amproclefttype = c.opcintype AND s.amprocrighttype = c.opcintype AND s.amprocnum = 4 AND s.amproc = 'pg_catalog.btequalimage(oid)'::pg_catalog.regprocedure) AS exact
 FROM pg_catalog.pg_opclass c JOIN pg_catalog.pg_am h ON h.oid = c.opcmethod AND h.amname = 'btree'
 JOIN pg_catalog.pg_amop s ON s.amopfamily = c.opcfamily AND s.amoplefttype = c.opcintype AND s.amoprighttype = c.opcintype AND s.amopstrategy = 3
 JOIN pg_catalog.pg_operator o ON o.oid = s.amopopr JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
 WHERE k.at <= i.indnkeyatts AND c.oid = i.indclass[k.at::int - 1]) o ON true
WHERE i.indrelid = %[1]s::regclass AND i.indisprimary AND a.attrelid = %[1]s::regclass ORDER BY k.at`, logical.Literal(m.live)),
		func(r pgx.CollectableRow) (name string, err error) {
			var k keyColumn
			var compared bool
			if err = r.Scan(&k.name, &compared, &k.equal, &k.exact); compared {
				live = append(live, k)
			}
			return k.name, err
		})
	if err != nil {
		return err
	}
	if known == nil || slices.Equal(known, all) {
		m.key = live
		return nil
	}
	for _, name := range known {
		k := keyColumn{name: name, equal: "="}
		if at := slices.IndexFunc(live, func(l keyColumn) bool { return l.name == name }); at >= 0 {
			k = live[at]
		}
		m.key = append(m.key, k)
	}
	return nil
}

// isKey reports whether rows are found by a column.
func (m *Merge) isKey(name string) bool {
	return slices.ContainsFunc(m.key, func(k keyColumn) bool { return k.name == name })
}

// keys are the names of the key's columns.
func (m *Merge) keys() []string {
	names := make([]string, len(m.key))
	for i, k := range m.key {
		names[i] = k.name
	}
	return names
}

// compared are the columns whose values are compared and brought back: those of the key that may be equal and not the same, too,
// unless only some columns were asked for.
func (m *Merge) compared() []string {
	return slices.DeleteFunc(slices.Clone(m.columns), func(c string) bool {
		return slices.ContainsFunc(m.key, func(k keyColumn) bool { return k.name == c && (k.exact || m.partial()) })
	})
}

// withDerived adds the generated columns of the key.
func (m *Merge) withDerived(columns []string) []string {
	columns = slices.Clone(columns)
	for _, k := range m.key {
		if k.derived {
			columns = append(columns, k.name)
		}
	}
	return columns
}

// share finds the columns that both tables have, says which ones it leaves out, and returns those whose values only the server
// makes.
func (m *Merge) share(live []liveColumn, captured []string) (always []string) {
	var notes []cofre.Message
	for _, l := range live {
		if l.generated {
			continue
		}
		m.all = append(m.all, l.name)
		if !slices.Contains(captured, l.name) {
			notes = append(notes, cofre.Say("merge.column_new", "column {{.column}} is not in the point: missing rows get its default, changed rows keep its value", "column", pgarchive.Quote(l.name)))
			continue
		}
		if l.always && !m.isKey(l.name) {
			always = append(always, l.name)
			continue
		}
		m.columns = append(m.columns, l.name)
	}
	for _, name := range captured {
		if !slices.Contains(m.columns, name) && !slices.Contains(always, name) {
			notes = append(notes, cofre.Say("merge.column_gone", "column {{.column}} of the point is not in the live table and is left out", "column", pgarchive.Quote(name)))
		}
	}
	for _, name := range always {
		notes = append(notes, cofre.Say("merge.column_always", "column {{.column}} is an identity that is always generated: it is neither compared nor changed", "column", pgarchive.Quote(name)))
	}
	if len(m.o.Columns) == 0 {
		m.note(notes...)
	}
	return always
}

func (m *Merge) note(notes ...cofre.Message) {
	for _, n := range notes {
		m.Notes, m.Messages = append(m.Notes, n.Text), append(m.Messages, n)
	}
}

// limit keeps the key and the columns that were asked for.
func (m *Merge) limit(always []string) error {
	if len(m.o.Columns) == 0 {
		return nil
	}
	var asked []string
	for _, typed := range m.o.Columns {
		parts, err := pgarchive.ParseName(typed)
		if err != nil || len(parts) != 1 {
			return cofre.WithHint(cofre.Fail(cofre.Say("merge.column_name", "{{.typed}} is not the name of a column", "typed", typed), cofre.ErrConfig),
				cofre.Say("merge.column_quote", "a name that is not plain stands in double quotes, as the shell takes it: {{.example}}", "example", shell.Quote(pgarchive.Quote(typed))))
		}
		switch name := parts[0]; {
		case m.isKey(name):
			return cofre.Fail(cofre.Say("merge.column_key", "column {{.column}} is of the primary key, by which rows are compared: it has nothing to bring back", "column", pgarchive.Quote(name)), cofre.ErrPreflight)
		case slices.Contains(always, name):
			return cofre.Fail(cofre.Say("merge.column_identity", "column {{.column}} is an identity that is always generated: only the server changes it", "column", pgarchive.Quote(name)), cofre.ErrPreflight)
		case !slices.Contains(m.columns, name):
			return cofre.WithHint(cofre.Fail(cofre.Say("merge.column_unknown", "column {{.column}} is not in both tables, or is generated", "column", pgarchive.Quote(name)), cofre.ErrNotFound),
				cofre.Say("merge.column_both", "both have: {{.columns}}", "columns", logical.ColumnList("", m.columns)))
		case !slices.Contains(asked, name):
			asked = append(asked, name)
		}
	}
	m.columns = slices.DeleteFunc(m.columns, func(c string) bool { return !m.isKey(c) && !slices.Contains(asked, c) })
	m.note(cofre.Say("merge.column_only", "only these columns are compared and brought back, in rows that the live table has: {{.columns}}", "columns", logical.ColumnList("", asked)))
	return nil
}

// partial reports whether only some columns come back, so that no whole row can be inserted.
func (m *Merge) partial() bool { return len(m.o.Columns) > 0 }

// Changes is how many rows Apply would insert, update and delete.
func (m *Merge) Changes() Comparison {
	c := Comparison{Missing: m.Comparison.Missing, Changed: m.Comparison.Changed}
	if m.partial() {
		c.Missing = 0
	}
	if m.o.DeleteExtra {
		c.Extra = m.Comparison.Extra
	}
	return c
}

// Question asks whether to change the live table.
func (m *Merge) Question() cofre.Message {
	c := m.Changes()
	question := cofre.Say("merge.question", "bring back the rows of {{.table}}: {{.missing}} missing, {{.changed}} changed", "table", m.o.Table, "missing", words.Count(c.Missing), "changed", words.Count(c.Changed))
	if m.o.DeleteExtra {
		question = cofre.Say("merge.question_delete", "{{.question}}, and delete {{.extra}}", "question", question, "extra", words.Count(c.Extra))
	}
	return question
}

// leave names the rows of c that a merge does not touch although they differ.
func (m *Merge) leave(ctx context.Context, q logical.Querier, c Comparison) ([]LeftRows, error) {
	left := []LeftRows{}
	for _, l := range []struct {
		kind, alias, from string
		rows              int64
		stays             bool
	}{
		{"missing", "r", m.missingFrom(), c.Missing, m.partial()},
		{"extra", "l", m.extraFrom(), c.Extra, !m.o.DeleteExtra},
	} {
		if !l.stays || l.rows == 0 {
			continue
		}
		keys, err := logical.Collect(ctx, q, "the keys of rows that are left", fmt.Sprintf("SELECT %s FROM %s ORDER BY %s LIMIT %d",
			shortTexts(l.alias, m.keys()), l.from, logical.ColumnList(l.alias, m.keys()), namedKeys), func(r pgx.CollectableRow) (k []string, err error) {
			return k, r.Scan(&k)
		})
		if err != nil {
			return nil, err
		}
		left = append(left, LeftRows{l.kind, l.rows, keys})
	}
	return left, nil
}

// missingFrom are the captured rows, as r, that the live table does not have.
func (m *Merge) missingFrom() string {
	return fmt.Sprintf("%s r WHERE NOT EXISTS (SELECT FROM %s WHERE %s)", m.captured, m.liveFrom(), m.sameKey())
}

// extraFrom are the live rows, as l, that the point does not have.
func (m *Merge) extraFrom() string {
	return fmt.Sprintf("%s WHERE NOT EXISTS (SELECT FROM %s r WHERE %s)", m.liveFrom(), m.captured, m.sameKey())
}

// shortTexts are columns as an array of texts, each cut.
func shortTexts(alias string, columns []string) string {
	q := make([]string, len(columns))
	for i, c := range columns {
		q[i] = fmt.Sprintf("pg_catalog.left(%s.%s::text, %d)", alias, pgarchive.Quote(c), longestShown)
	}
	return "ARRAY[" + strings.Join(q, ", ") + "]::text[]"
}

// sameKey joins captured rows r and live rows l.
func (m *Merge) sameKey() string {
	return m.keyOf("r")
}

// keyOf joins rows with the live rows l that have their key.
func (m *Merge) keyOf(alias string) string {
	parts := make([]string, len(m.key))
	for i, k := range m.key {
		parts[i] = fmt.Sprintf("%s.%s %s l.%[2]s", alias, pgarchive.Quote(k.name), k.equal)
	}
	return strings.Join(parts, " AND ")
}

// differsIn compares texts: every type has one, not every type has an operator for equality, and 1.0 is not 1.00. They are what the type
// writes, as in a dump: whoever made the type may have made a cast to text as well, which says what they like.
//
// Source: PostgreSQL, src/backend/utils/adt/varlena.c, text_format.
func differsIn(column string) string {
	return fmt.Sprintf(`(pg_catalog.num_nulls(r.%[1]s) <> pg_catalog.num_nulls(l.%[1]s) OR pg_catalog.format('%%s', r.%[1]s) COLLATE "C" <> pg_catalog.format('%%s', l.%[1]s) COLLATE "C")`, pgarchive.Quote(column))
}

func (m *Merge) differ() string {
	var parts []string
	for _, c := range m.compared() {
		parts = append(parts, differsIn(c))
	}
	if len(parts) == 0 {
		return "false"
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func (m *Merge) liveFrom() string { return m.only + m.live + " l" }

func (m *Merge) count(ctx context.Context, q logical.Querier) (c Comparison, err error) {
	err = q.QueryRow(ctx, fmt.Sprintf(`
SELECT count(*) FILTER (WHERE l.cofre IS NULL), count(*) FILTER (WHERE l.cofre IS NOT NULL AND r.cofre IS NOT NULL AND %s),
       count(*) FILTER (WHERE r.cofre IS NULL), count(*) FILTER (WHERE l.cofre IS NOT NULL AND r.cofre IS NOT NULL AND NOT %s)
FROM (SELECT true AS cofre, %s FROM %s r) r FULL JOIN (SELECT true AS cofre, %s FROM %s) l ON %s`,
		m.differ(), m.differ(), logical.ColumnList("r", m.withDerived(m.columns)), m.captured, logical.ColumnList("l", m.withDerived(m.columns)), m.liveFrom(), m.sameKey())).Scan(&c.Missing, &c.Changed, &c.Extra, &c.Same)
	return c, err
}

// longestShown is how much of a value a preview shows, in characters.
const longestShown = 200

func (m *Merge) preview(ctx context.Context, tx pgx.Tx) error {
	compared := m.compared()
	order := func(alias string) string { return " ORDER BY " + logical.ColumnList(alias, m.keys()) }
	for _, part := range []struct{ kind, sql string }{
		{"missing", fmt.Sprintf("SELECT %s, NULL::text[], NULL::text[], NULL::bool[] FROM %s%s", shortTexts("r", m.keys()), m.missingFrom(), order("r"))},
		{"changed", fmt.Sprintf("SELECT %s, %s, %s, %s FROM %s r JOIN %s ON %s WHERE %s%s", shortTexts("r", m.keys()), shortTexts("r", compared), shortTexts("l", compared), m.differing(), m.captured, m.liveFrom(), m.sameKey(), m.differ(), order("r"))},
		{"extra", fmt.Sprintf("SELECT %s, NULL::text[], NULL::text[], NULL::bool[] FROM %s%s", shortTexts("l", m.keys()), m.extraFrom(), order("l"))},
	} {
		rows, err := logical.Collect(ctx, tx, part.kind+" rows", fmt.Sprintf("%s LIMIT %d", part.sql, m.o.Preview), func(r pgx.CollectableRow) (RowDifference, error) {
			d := RowDifference{Kind: part.kind}
			var captured, live []*string
			var differ []bool
			if err := r.Scan(&d.Key, &captured, &live, &differ); err != nil {
				return d, err
			}
			for i := range differ {
				if differ[i] {
					d.Columns = append(d.Columns, ColumnDifference{compared[i], captured[i], live[i]})
				}
			}
			return d, nil
		})
		if err != nil {
			return err
		}
		m.Preview = append(m.Preview, rows...)
	}
	return nil
}

func (m *Merge) differing() string {
	compared := m.compared()
	q := make([]string, len(compared))
	for i, c := range compared {
		q[i] = differsIn(c)
	}
	return "ARRAY[" + strings.Join(q, ", ") + "]::bool[]"
}
