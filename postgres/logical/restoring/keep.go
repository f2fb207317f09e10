package restoring

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// mark is the comment on a copy that was kept, by which a later restore knows that it is the copy that it would make.
type mark struct {
	Cofre     string            `json:"cofre"` // markedKept
	Component cofre.ObjectID    `json:"component"`
	Name      string            `json:"name"` // of the database that it was to become
	Options   string            `json:"options"`
	Failed    []failedStatement `json:"failed,omitempty"`
	Lost      []lost            `json:"lost,omitempty"`
}

const markedKept = "a restored copy that differs and was kept"

// mark is what this restore would write on its copy.
func (t *Target) mark() mark {
	options := struct {
		logical.Filter
		NoOwner, NoPrivileges bool
		SearchPath            string
		Safe                  bool `json:",omitempty"`
	}{t.o.Filter, t.o.NoOwner, t.o.NoPrivileges, t.o.SearchPath, t.o.Safe}
	text, _ := json.Marshal(options) // of strings and bools, which it never fails on
	return mark{Cofre: markedKept, Component: t.root, Name: t.o.Name, Options: string(text), Failed: t.failed, Lost: t.lost}
}

// Keep leaves the staged database under its name, with a comment that says what it is.
//
// Errors: of the connection; the database is then as it was.
func (t *Target) Keep(ctx context.Context, _ *cofre.Proof) (cofre.KeptCopy, error) {
	conn, err := t.maintenance(ctx)
	if err != nil {
		return cofre.KeptCopy{}, err
	}
	defer postgres.Close(ctx, conn)
	text, err := json.Marshal(t.mark())
	if err != nil {
		return cofre.KeptCopy{}, err
	}
	if _, err := conn.Exec(ctx, "COMMENT ON DATABASE "+pgarchive.Quote(t.staged)+" IS "+logical.Literal(string(text))); err != nil {
		return cofre.KeptCopy{}, fmt.Errorf("mark database %s: %w", t.staged, err)
	}
	t.created = false
	return cofre.KeptCopy{Name: t.staged, Drop: t.dropCommand(t.staged)}, nil
}

// lookForKept finds the copy that an earlier restore made of the same component with the same options, and kept. It is
// taken only if differences are to be accepted, and compared anew, row by row: it has stood open since. A copy that lacks
// what the repository has again is not taken.
func (t *Target) lookForKept(ctx context.Context, conn *pgx.Conn) error {
	if len(t.o.Accept) == 0 && !t.o.Loss.Without || t.fromTemplate() {
		return nil
	}
	type kept struct{ name, comment string }
	all, err := logical.Collect(ctx, conn, "the comments on databases", `
SELECT d.datname, pg_catalog.shobj_description(d.oid, 'pg_database') FROM pg_catalog.pg_database d
WHERE pg_catalog.shobj_description(d.oid, 'pg_database') LIKE '{"cofre":%' AND d.datallowconn ORDER BY d.oid DESC`,
		func(r pgx.CollectableRow) (k kept, err error) { return k, r.Scan(&k.name, &k.comment) })
	if err != nil {
		return err
	}
	want := t.mark()
	for _, k := range all {
		var m mark
		if json.Unmarshal([]byte(k.comment), &m) != nil || m.Cofre != want.Cofre || m.Component != want.Component || m.Name != want.Name || m.Options != want.Options {
			continue
		}
		if len(t.o.Accept) == 0 && (len(m.Lost) == 0 || !t.stillLost(m.Lost)) {
			continue
		}
		t.staged, t.adopted, t.failed, t.lost = k.name, true, m.Failed, m.Lost
		t.o.Check = CheckChecksum
		return nil
	}
	return nil
}

// Discard removes the staged database if Stage made it, and nothing else: neither roles that were created nor
// the database that should have been replaced. A copy that an earlier restore kept stays.
//
// Errors: those of the server, with the SQL that removes the database as a hint; it may then be called again.
func (t *Target) Discard(ctx context.Context) error {
	if !t.created {
		return nil
	}
	// The restore's context may be the reason for which it ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := t.drop(ctx); err != nil {
		return cofre.WithHint(fmt.Errorf("remove the staged database %s: %w", t.staged, err), cofre.Verbatim(t.dropCommand(t.staged)))
	}
	t.created = false
	return nil
}

// drop removes the staged database with the subscriptions in it, which hold it, and the sessions.
func (t *Target) drop(ctx context.Context) error {
	if len(t.subscriptions()) > 0 {
		if err := t.dropSubscriptions(ctx); err != nil {
			return err
		}
	}
	conn, err := t.maintenance(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgarchive.Quote(t.staged)+" WITH (FORCE)")
	return err
}

func (t *Target) dropSubscriptions(ctx context.Context) error {
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	names, err := logical.Collect(ctx, conn, "the subscriptions", `
SELECT s.subname FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = pg_catalog.current_database()`, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, n := range names {
		for _, sql := range withoutSlot(n) {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return postgres.Explain(err)
			}
		}
	}
	return nil
}

// withoutSlot drops a subscription and leaves the publisher's slot, which belongs to the original, alone.
func withoutSlot(name string) []string {
	n := pgarchive.Quote(name)
	return []string{"ALTER SUBSCRIPTION " + n + " DISABLE", "ALTER SUBSCRIPTION " + n + " SET (slot_name = NONE)", "DROP SUBSCRIPTION " + n}
}

// subscriptions are those that the restore makes.
func (t *Target) subscriptions() []string {
	var names []string
	for i := range t.TOC.Entries {
		if e := &t.TOC.Entries[i]; e.Desc == "SUBSCRIPTION" && t.sel.Has(e) {
			names = append(names, e.Tag)
		}
	}
	return names
}

// dropCommand removes a database in psql, whatever holds it: the sessions in it, and the subscriptions that a restore
// made, which are let go without touching the publisher.
func (t *Target) dropCommand(name string) string {
	drop := "DROP DATABASE " + pgarchive.Typed(name) + " WITH (FORCE);"
	subscriptions := t.subscriptions()
	if len(subscriptions) == 0 || name != t.staged {
		return drop
	}
	var b strings.Builder
	fmt.Fprintf(&b, `\connect %s \\ `, pgarchive.Quote(name))
	for _, s := range subscriptions {
		b.WriteString(strings.Join(withoutSlot(s), "; ") + "; ")
	}
	fmt.Fprintf(&b, `\connect %s \\ %s`, pgarchive.Quote(cmp.Or(t.server.maintenance.DatabaseName(), "postgres")), drop)
	return b.String()
}
