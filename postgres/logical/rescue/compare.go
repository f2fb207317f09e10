package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/fingerprint"
	"github.com/trustlayer/cofre/postgres/logical"
)

// compare compares the table, and what belongs to it, with what was captured of them, object by object. What opens it to
// others than before ends the restore; whatever else is otherwise is named.
//
// Errors: cofre.ErrUnproven, with every difference of the first sort.
func (r *tableRestore) compare(ctx context.Context, tx pgx.Tx, names moved, out *TableOutcome) (err error) {
	ok, err := logical.HasFingerprint(ctx, r.tree, true)
	if err != nil {
		return err
	}
	if !ok {
		return r.compareAsBefore(ctx, tx)
	}
	within, err := r.places(ctx, tx)
	if err != nil {
		return err
	}
	var restored bytes.Buffer
	if err := fingerprint.Write(ctx, tx.Conn(), &restored, within...); err != nil {
		return err
	}
	captured, err := r.tree.Open(ctx, logical.FingerprintFile)
	if err != nil {
		return fmt.Errorf("open %s: %w", logical.FingerprintFile, err)
	}
	defer func() { err = errors.Join(err, captured.Close()) }()
	var opens []string
	o := r.asked()
	if r.to != r.a.Schema {
		if o.Renamed, err = r.renamed(ctx, tx, names); err != nil {
			return err
		}
	}
	_, err = fingerprint.Compare(captured, &restored, o, func(d fingerprint.Difference) error {
		switch {
		case r.opened(d.Name):
		case !d.Lost.IsZero():
			out.differs(cofre.Say("table.differs_because", "{{.name}}: captured {{.want}}, restored {{.got}} ({{.why}})", "name", d.Name, "want", d.Want, "got", d.Got, "why", d.Lost))
		case d.Security:
			opens = append(opens, d.String())
		default:
			out.differs(cofre.Say("table.differs", "{{.name}}: captured {{.want}}, restored {{.got}}", "name", d.Name, "want", d.Want, "got", d.Got))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare the catalogs: %w", err)
	}
	if len(opens) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(opens, "; "), cofre.ErrUnproven)
	}
	return nil
}

// asked limits the comparison to the entries that the restore makes.
func (r *tableRestore) asked() fingerprint.Options {
	taken := map[int]bool{}
	for _, e := range slices.Concat(r.a.Pre, r.a.Post, r.a.Last) {
		taken[e.DumpID] = !r.without[e.DumpID]
	}
	at := logical.ArchivePlaces(r.TOC)
	return fingerprint.Options{NoOwner: !r.a.Whole, NoPrivileges: !r.a.Whole, Part: &fingerprint.Part{
		Made: func(place string) fingerprint.Standing {
			e, ok := at[place]
			switch {
			case !ok:
				return fingerprint.Unknown
			case taken[e.DumpID]:
				return fingerprint.Taken
			}
			return fingerprint.LeftOut
		},
		Schema: func(string) bool { return false },
	}}
}

// renamed gives what was made in another schema the names that it was captured with, as the server prints them.
func (r *tableRestore) renamed(ctx context.Context, tx pgx.Tx, names moved) (func(string) string, error) {
	back := map[[2]string]string{}
	for name, to := range names {
		var quoted string
		if err := tx.QueryRow(ctx, "SELECT pg_catalog.format('%I.%I', "+logical.Literal(name[0])+"::text, "+logical.Literal(name[1])+"::text)").Scan(&quoted); err != nil {
			return nil, fmt.Errorf("quote a name: %w", err)
		}
		back[[2]string{to, name[1]}] = quoted
	}
	return func(text string) string {
		return rewriteNames(text, func(name [2]string) (string, bool) { q, ok := back[name]; return q, ok })
	}, nil
}

// places are those of the tables, sequences and statistics that were made.
func (r *tableRestore) places(ctx context.Context, tx pgx.Tx) ([]string, error) {
	var schemas, tags []string
	for _, n := range r.a.Names {
		schemas, tags = append(schemas, r.in(n[0])), append(tags, n[1])
	}
	return logical.Collect(ctx, tx, "the objects of the table", fmt.Sprintf(`
WITH made AS (SELECT c.oid, c.relkind FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) m(schema, tag)
 JOIN pg_catalog.pg_namespace n ON n.nspname = m.schema JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = m.tag)
SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::oid || ':' || oid FROM made WHERE relkind IN ('r', 'p', 'S')
UNION ALL
SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid || ':' || s.oid FROM pg_catalog.pg_statistic_ext s JOIN made ON s.stxrelid = made.oid`,
		arrayLiteral(schemas), arrayLiteral(tags)), pgx.RowTo[string])
}

func arrayLiteral(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = logical.Literal(t)
	}
	return "ARRAY[" + strings.Join(quoted, ", ") + "]"
}
