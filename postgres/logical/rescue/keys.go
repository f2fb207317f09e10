package rescue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// makeKey makes a foreign key. One that rows break is made without a word about the rows that are there, if what is lost is to be left
// out, and remembered.
//
// Errors: the server's.
func (r *tableRestore) makeKey(ctx context.Context, tx pgx.Tx, e *pgarchive.Entry, sql string, out *TableOutcome) error {
	err := r.attempt(ctx, tx, e, sql)
	key, _, _, ok := foreignkey.Archived(sql)
	captured, _, _, _ := foreignkey.Archived(e.Defn)
	if !foreignkey.Broken(err) || !ok || !r.o.Loss.Without {
		return err
	}
	if err = r.attempt(ctx, tx, e, foreignkey.NotValid(sql)); foreignkey.RefusesNotValid(err) {
		key.Gone, r.without[e.DumpID], err = true, true, nil
	}
	if err == nil {
		r.open = append(r.open, captured)
		out.Open = append(out.Open, key)
		out.differs(cofre.Say("table.open_key", "constraint {{.key}}: {{.state}}", "key", key, "state", key.State()))
	}
	return err
}

// explainKey adds to the error of a foreign key how the table comes back all the same.
func (r *tableRestore) explainKey(e *pgarchive.Entry, err error) error {
	hint := cofre.Say("table.leads_to", "restore the table that it leads to first, or bring this one back without what ties it to others: --bare")
	if foreignkey.Broken(err) && r.o.Loss.Command != "" {
		hint = leadsTo(r.o.Loss)
	}
	return cofre.WithHint(fmt.Errorf("make %s %s: %w", strings.ToLower(e.Desc), e.Tag, err), hint)
}

// opened reports whether a difference of the catalogs is that of a key that does not hold.
func (r *tableRestore) opened(difference string) bool {
	for _, k := range r.open {
		if k.Is(difference) {
			return true
		}
	}
	return false
}

// finish says what makes the keys hold again.
func finish(keys []foreignkey.Key) (next []cofre.Next) {
	for _, k := range keys {
		next = append(next, cofre.Next{Do: cofre.DoFinish, Command: k.Next(), Said: cofre.Say("database.key_validate", "when the rows are back, in psql: {{.sql}}", "sql", k.Next())})
	}
	return next
}

// errBroken is a merge that would leave a key broken.
var errBroken = fmt.Errorf("%w", cofre.ErrPreflight)

// lookAtKeys looks at the foreign keys once all is written. Those that do not hold end the merge, or say so if what is lost is left out.
func (m *Merge) lookAtKeys(ctx context.Context, tx pgx.Tx) error {
	for i, k := range m.Open {
		var err error
		if m.Open[i], err = k.Reopen(ctx, tx); err != nil {
			return fmt.Errorf("make foreign key %s again: %w", k, err)
		}
	}
	err := m.checkForeignKeys(ctx, tx)
	if !m.o.Loss.Without || !errors.Is(err, errBroken) {
		return err
	}
	opened, err := foreignkey.Open(ctx, tx, [][2]string{{m.schema, m.table}})
	m.Open = append(m.Open, opened...)
	return err
}

// writeOver writes what was compared. A server whose foreign keys look at each row as it is written does without those that rows
// break, if what is lost is left out, until all is written.
func (m *Merge) writeOver(ctx context.Context, tx pgx.Tx, out *MergeOutcome) error {
	m.Open = nil
	for {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			if err := m.write(ctx, tx, out); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE") // what waits for the end would keep tables from being altered
			return err
		})
		if !foreignkey.Broken(err) {
			return err
		}
		if !m.o.Loss.Without && m.o.Loss.Command == "" {
			return err
		}
		if !m.o.Loss.Without {
			return cofre.WithHint(err, leadsTo(m.o.Loss))
		}
		k, err := foreignkey.Suspend(ctx, tx, err)
		if err != nil {
			return err
		}
		m.Open = append(m.Open, k)
	}
}

func leadsTo(loss logical.LossOptions) cofre.Message {
	return cofre.Say("table.leads_to_lost", "restore or merge the table that it leads to first; if rows are gone for good, this leaves the key as not validated, and names it: {{.command}}", "command", loss.Command)
}
