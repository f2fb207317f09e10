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

// apply brings the live table to what was compared: missing rows are inserted unless only some columns were asked for, changed
// ones updated, extra ones deleted if that was asked for. It is one transaction, and the table takes no other writes meanwhile.
//
// Triggers do not fire, so that no audit rows are invented: by session_replication_role = replica if the
// role may set it, and otherwise by disabling the table's triggers within the transaction, which its owner may.
// Foreign keys, which replica does not check either, are checked at the end. Sequences that the table owns are
// moved past its rows. The rows as they were stay in an undo table.
//
// Errors: cofre.ErrRefused if the table has changed since it was compared; cofre.ErrLocked if it is in
// use for longer than 30 s; cofre.ErrUnproven if the result is not what was compared; a violated foreign key,
// by name. After an error nothing has changed.
func (m *Merge) apply(ctx context.Context) (*MergeOutcome, error) {
	// In the time zone of the database: a CHECK may depend on it.
	conn, err := logical.Connect(ctx, m.rows.c.RowsOn(m.o.Server).LeavingAsFound("TimeZone"), map[string]string{"lock_timeout": "30s"})
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	replica, err := logical.ReplicaRole(ctx, conn)
	if err != nil {
		return nil, err
	}
	out := &MergeOutcome{UndoTable: m.undo}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return m.applyIn(ctx, tx, replica, out) })
	if err != nil {
		return nil, err
	}
	out.Undo = m.undoSQL(replica)
	out.Next = finish(m.Open)
	drop := "DROP SCHEMA " + pgarchive.Typed(m.Schema) + " CASCADE;"
	out.Next = append(out.Next, cofre.Next{Do: cofre.DoDropKept, Command: drop, Said: cofre.Say("merge.drop_undo", "when the undo is no longer needed: {{.sql}}", "sql", drop)})
	return out, nil
}

func (m *Merge) applyIn(ctx context.Context, tx pgx.Tx, replica bool, out *MergeOutcome) error {
	if _, err := tx.Exec(ctx, "LOCK TABLE "+m.only+m.live+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return err
	}
	now, err := m.count(ctx, tx)
	if err != nil {
		return err
	}
	if now != m.Comparison {
		return cofre.WithHint(fmt.Errorf("the table has changed since it was compared (%+v, now %+v): %w", m.Comparison, now, cofre.ErrRefused), cofre.Say("merge.again", "compare again"))
	}
	enable, err := m.disableTriggers(ctx, tx, replica)
	if err != nil {
		return err
	}
	if err := m.writeOver(ctx, tx, out); err != nil {
		return err
	}
	for _, sql := range enable {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := m.lookAtKeys(ctx, tx); err != nil {
		return err
	}
	if out.Sequences, err = m.moveSequences(ctx, tx); err != nil {
		return err
	}
	after, err := m.count(ctx, tx)
	if err != nil {
		return err
	}
	changes := m.Changes()
	want := Comparison{Missing: now.Missing - changes.Missing, Extra: now.Extra - changes.Extra, Same: now.Same + changes.Changed + changes.Missing}
	if after != want {
		return fmt.Errorf("after the merge the table differs (%+v, not %+v): %w", after, want, cofre.ErrUnproven)
	}
	if m.Left, err = m.leave(ctx, tx, after); err != nil {
		return err
	}
	// What the live rows are compared with may have been changed by a function that ran since.
	if _, err := m.rows.made.readBack(ctx, tx); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "COMMENT ON TABLE "+out.UndoTable+" IS "+logical.Literal(m.undoSQL(replica)))
	return err
}

// write keeps the rows as they are and changes them. Extra rows go first: a missing one may need their value
// of a unique column.
func (m *Merge) write(ctx context.Context, tx pgx.Tx, out *MergeOutcome) error {
	undo := out.UndoTable
	missing := fmt.Sprintf("NOT EXISTS (SELECT FROM %s WHERE %s)", m.liveFrom(), m.sameKey())
	extra := fmt.Sprintf("NOT EXISTS (SELECT FROM %s r WHERE %s)", m.captured, m.sameKey())
	if !m.o.DeleteExtra {
		extra = "false"
	}
	if m.partial() {
		missing = "false"
	}
	var set []string
	for _, c := range m.compared() {
		set = append(set, fmt.Sprintf("%[1]s = r.%[1]s", pgarchive.Quote(c)))
	}
	kept := logical.ColumnList("l", m.withDerived(m.all))
	run := func(n *int64, format string, args ...any) error {
		tag, err := tx.Exec(ctx, fmt.Sprintf(format, args...))
		if n != nil {
			*n = tag.RowsAffected()
		}
		return err
	}
	if err := run(nil, `CREATE TABLE %s AS SELECT 'updated'::text AS cofre_action, %s FROM %s JOIN %s r ON %s WHERE %s
UNION ALL SELECT 'deleted', %s FROM %s WHERE %s`, undo, kept, m.liveFrom(), m.captured, m.sameKey(), m.differ(), kept, m.liveFrom(), extra); logical.HasCode(err, "42883") || logical.HasCode(err, "42804") {
		return fmt.Errorf("keep the rows as they are: %w", err)
	} else if err != nil {
		return err
	}
	// The keys of the rows to come, before they are there.
	if err := run(nil, "INSERT INTO %s (cofre_action, %s) SELECT 'inserted', %s FROM %s r WHERE %s", undo, logical.ColumnList("", m.keys()), logical.ColumnList("r", m.keys()), m.captured, missing); err != nil {
		return err
	}
	if m.o.DeleteExtra {
		if err := run(&out.Deleted, "DELETE FROM %s WHERE %s", m.liveFrom(), extra); err != nil {
			return err
		}
	}
	if len(set) > 0 {
		if err := run(&out.Updated, "UPDATE %s SET %s FROM %s r WHERE %s AND %s", m.liveFrom(), strings.Join(set, ", "), m.captured, m.sameKey(), m.differ()); err != nil {
			return err
		}
	}
	return run(&out.Inserted, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s r WHERE %s", m.live, logical.ColumnList("", m.columns), logical.ColumnList("r", m.columns), m.captured, missing)
}

// disableTriggers silences what would fire all the same, and returns the statements that undo it. As replica
// those are the triggers enabled ALWAYS or for REPLICA; otherwise all of the user's.
func (m *Merge) disableTriggers(ctx context.Context, tx pgx.Tx, replica bool) (enable []string, err error) {
	type trigger struct{ table, name, enabled string }
	triggers, err := logical.Collect(ctx, tx, "the triggers", fmt.Sprintf(`
WITH RECURSIVE t(oid) AS (SELECT %s::regclass::oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN t ON t.oid = i.inhparent)
SELECT g.tgrelid::regclass::text, g.tgname, g.tgenabled::text FROM pg_catalog.pg_trigger g JOIN t ON t.oid = g.tgrelid
WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' ORDER BY 1, 2`, logical.Literal(m.live)), func(r pgx.CollectableRow) (t trigger, err error) {
		return t, r.Scan(&t.table, &t.name, &t.enabled)
	})
	if err != nil {
		return nil, err
	}
	for _, t := range triggers {
		if replica && t.enabled == "O" {
			continue
		}
		how := map[string]string{"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}[t.enabled]
		if _, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE ONLY %s DISABLE TRIGGER %s", t.table, pgarchive.Quote(t.name))); err != nil {
			return nil, cofre.WithHint(fmt.Errorf("disable trigger %s: %w", t.name, err), cofre.Say("merge.owner", "connect as the table's owner or as a superuser"))
		}
		enable = append(enable, fmt.Sprintf("ALTER TABLE ONLY %s %s TRIGGER %s", t.table, how, pgarchive.Quote(t.name)))
	}
	var rules int
	if err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*) FROM pg_catalog.pg_rewrite WHERE ev_class = %s::regclass AND ev_enabled = ANY($1)`, logical.Literal(m.live)),
		map[bool][]string{true: {"A", "R"}, false: {"O", "A"}}[replica]).Scan(&rules); err != nil {
		return nil, err
	}
	if rules > 0 {
		return nil, cofre.WithHint(fmt.Errorf("table %s has %d rules that would rewrite the merge: %w", m.live, rules, cofre.ErrPreflight), cofre.Say("merge.rules", "merge as a superuser, or disable the rules meanwhile"))
	}
	return enable, nil
}

// foreignKey is a validated foreign key from or to the live table.
type foreignKey struct {
	name, from, to string
	only, onlyTo   bool // of a table that is not partitioned: rows of tables that inherit from it are not its own
	columns, refs  []string
	equal          []string // operators: referenced = referencing
	full, period   bool
}

// checkForeignKeys looks for rows that a validated foreign key forbids, of this table and of those that lead to it.
func (m *Merge) checkForeignKeys(ctx context.Context, tx pgx.Tx) error {
	// conperiod came with PostgreSQL 18.
	keys, err := logical.Collect(ctx, tx, "the foreign keys", fmt.Sprintf(`
SELECT c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text, f.relkind = 'r', t.relkind = 'r', c.confmatchtype = 'f', coalesce((pg_catalog.to_jsonb(c) ->> 'conperiod')::bool, false),
  (SELECT pg_catalog.array_agg(a.attname ORDER BY k.at) FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY k(n, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n),
  (SELECT pg_catalog.array_agg(a.attname ORDER BY k.at) FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY k(n, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n),
  (SELECT pg_catalog.array_agg(pg_catalog.format('OPERATOR(%%I.%%s)', n.nspname, o.oprname) ORDER BY k.at) FROM pg_catalog.unnest(c.conpfeqop) WITH ORDINALITY k(op, at) JOIN pg_catalog.pg_operator o ON o.oid = k.op JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace)
FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class f ON f.oid = c.conrelid JOIN pg_catalog.pg_class t ON t.oid = c.confrelid
WHERE c.contype = 'f' AND c.convalidated AND c.conparentid = 0 AND %[1]s::regclass IN (c.conrelid, c.confrelid)`, logical.Literal(m.live)),
		func(r pgx.CollectableRow) (k foreignKey, err error) {
			return k, r.Scan(&k.name, &k.from, &k.to, &k.only, &k.onlyTo, &k.full, &k.period, &k.columns, &k.refs, &k.equal)
		})
	if err != nil {
		return err
	}
	for _, k := range keys {
		var broken int64
		var example *string
		err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT count(*), min((ROW(%s))::text) FROM %s c WHERE %s`, logical.ColumnList("c", k.columns), only(k.only)+k.from, k.broken())).Scan(&broken, &example)
		if err != nil {
			return fmt.Errorf("check foreign key %s: %w", k.name, err)
		}
		if broken > 0 {
			hint := cofre.Say("merge.first", "restore or merge table {{.table}} first", "table", k.to)
			if m.o.Loss.Command != "" {
				hint = cofre.Say("merge.first_lost", "restore or merge table {{.table}} first; if its rows are gone for good, this leaves the key as not validated, and names it: {{.command}}", "table", k.to, "command", m.o.Loss.Command)
			}
			return cofre.WithHint(fmt.Errorf("%d rows of %s would break foreign key %s to %s, %s among them: %w", broken, k.from, k.name, k.to, *example, errBroken), hint)
		}
	}
	return nil
}

func only(yes bool) string {
	if yes {
		return "ONLY "
	}
	return ""
}

// broken is the condition of rows c that refer to nothing. A period is covered by all rows of its key together.
//
// Source: PostgreSQL, src/backend/utils/adt/ri_triggers.c, RI_FKey_check and RI_Initial_Check.
func (k foreignKey) broken() string {
	var join, set, period []string
	for i, column := range k.columns {
		set = append(set, fmt.Sprintf("c.%s IS NOT NULL", pgarchive.Quote(column)))
		if k.period && i == len(k.columns)-1 {
			period = []string{pgarchive.Quote(column), pgarchive.Quote(k.refs[i])}
			continue
		}
		join = append(join, fmt.Sprintf("p.%s %s c.%s", pgarchive.Quote(k.refs[i]), k.equal[i], pgarchive.Quote(column)))
	}
	refers := strings.Join(set, " AND ")
	if k.full { // some and not all of the columns are null: forbidden, too
		refers = strings.Join(set, " OR ")
	}
	from := fmt.Sprintf("FROM %s p WHERE %s", only(k.onlyTo)+k.to, strings.Join(append(join, "true"), " AND "))
	if period != nil {
		return fmt.Sprintf("(%s) AND NOT coalesce(c.%s OPERATOR(pg_catalog.<@) (SELECT pg_catalog.range_agg(p.%s) %s), false)", refers, period[0], period[1], from)
	}
	return fmt.Sprintf("(%s) AND NOT EXISTS (SELECT %s)", refers, from)
}

// moveSequences moves the sequences that columns of the table own past the rows that are there now, never back.
func (m *Merge) moveSequences(ctx context.Context, tx pgx.Tx) ([]string, error) {
	type owned struct {
		sequence, column string
		increment        int64
	}
	sequences, err := logical.Collect(ctx, tx, "the sequences of the table", fmt.Sprintf(`
SELECT s.seqrelid::regclass::text, a.attname, s.seqincrement FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjid = %s::regclass`, logical.Literal(m.live)),
		func(r pgx.CollectableRow) (o owned, err error) {
			return o, r.Scan(&o.sequence, &o.column, &o.increment)
		})
	if err != nil {
		return nil, err
	}
	var done []string
	for _, s := range sequences {
		from := m.liveFrom()
		if slices.Contains(m.all, s.column) {
			// The undo may bring back rows that are gone now.
			from = fmt.Sprintf("(SELECT l.%[1]s FROM %[2]s UNION ALL SELECT u.%[1]s FROM %[3]s u) l", pgarchive.Quote(s.column), m.liveFrom(), m.undo)
		}
		extreme, beyond := "max", ">"
		if s.increment < 0 {
			extreme, beyond = "min", "<"
		}
		var to *int64
		err := tx.QueryRow(ctx, fmt.Sprintf(`SELECT pg_catalog.setval(%s::regclass, m.v::bigint) FROM (SELECT %s(%s) AS v FROM %s) m, %s s
WHERE m.v IS NOT NULL AND (m.v %s s.last_value OR m.v = s.last_value AND NOT s.is_called)`,
			logical.Literal(s.sequence), extreme, "l."+pgarchive.Quote(s.column), from, s.sequence, beyond)).Scan(&to)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("set sequence %s: %w", s.sequence, err)
		}
		done = append(done, fmt.Sprintf("%s to %d", s.sequence, *to))
	}
	return done, nil
}

// undoSQL takes the merge back from the undo table. Rows that were written since are not protected.
func (m *Merge) undoSQL(replica bool) string {
	undo := m.undo
	var set []string
	for _, c := range m.compared() {
		set = append(set, fmt.Sprintf("%[1]s = u.%[1]s", pgarchive.Quote(c)))
	}
	where := m.keyOf("u")
	sql := []string{"BEGIN;"}
	if replica {
		sql = append(sql, "SET LOCAL session_replication_role = replica;")
	} else {
		sql = append(sql, "ALTER TABLE "+m.live+" DISABLE TRIGGER USER;")
	}
	sql = append(sql, fmt.Sprintf("DELETE FROM %s USING %s u WHERE u.cofre_action = 'inserted' AND %s;", m.liveFrom(), undo, where))
	if len(set) > 0 {
		sql = append(sql, fmt.Sprintf("UPDATE %s SET %s FROM %s u WHERE u.cofre_action = 'updated' AND %s;", m.liveFrom(), strings.Join(set, ", "), undo, where))
	}
	sql = append(sql, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s u WHERE u.cofre_action = 'deleted';", m.live, logical.ColumnList("", m.all), logical.ColumnList("u", m.all), undo))
	sql = append(sql, "SET CONSTRAINTS ALL IMMEDIATE;") // what waits for the end would keep tables from being altered
	if !replica {
		sql = append(sql, "ALTER TABLE "+m.live+" ENABLE TRIGGER USER;")
	}
	for _, k := range m.Open {
		sql = append(sql, k.Next())
	}
	return strings.Join(append(sql, "COMMIT;"), "\n")
}
