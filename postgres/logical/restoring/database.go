package restoring

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// create makes the missing roles and the staged database.
func (t *Target) create(ctx context.Context, obs cofre.Observer) error {
	if !t.rolesInside() {
		if err := t.createRoles(ctx, t.server.maintenance, obs); err != nil {
			return err
		}
		return t.createDatabase(ctx)
	}
	if err := t.createDatabase(ctx); err != nil {
		return err
	}
	if err := t.createRoles(ctx, t.o.Server.With(t.staged), obs); err != nil {
		return err
	}
	return t.giveOwner(ctx)
}

// createDatabase makes the staged database, open to its owner and superusers only.
func (t *Target) createDatabase(ctx context.Context) error {
	conn, err := t.maintenance(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	err = execToEnd(ctx, conn, t.createStatement())
	// If only the connection says that it failed, it may be there, and Discard looks.
	t.created = err == nil || !logical.IsServerError(err)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("create database %s: %w", t.staged, err)
	}
	// Everybody may connect to a new database. Half of one is nobody's business; dressDatabase sets what was recorded.
	if _, err := conn.Exec(ctx, "REVOKE ALL ON DATABASE "+pgarchive.Quote(t.staged)+" FROM PUBLIC"); err != nil {
		return fmt.Errorf("close database %s to others: %w", t.staged, err)
	}
	return nil
}

// cancelBound is how long a statement may take to notice that it was cancelled.
const cancelBound = 30 * time.Second

// execToEnd carries out a statement and learns how it ended even if ctx ends meanwhile: the server is asked to
// cancel it, and its answer is waited for. A connection that is merely closed leaves CREATE DATABASE running, and
// nobody then drops what it makes.
func execToEnd(ctx context.Context, conn *pgx.Conn, sql string) error {
	bounded, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		asking, done := context.WithTimeout(bounded, cancelBound)
		defer done()
		_ = conn.PgConn().CancelRequest(asking)
		<-asking.Done()
		end()
	})
	defer stop()
	_, err := conn.Exec(bounded, sql)
	return err
}

func (t *Target) createStatement() string {
	d := t.Facts.Database
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE DATABASE %s", pgarchive.Quote(t.staged))
	if t.fromTemplate() {
		fmt.Fprintf(&b, " TEMPLATE %s", pgarchive.Quote(t.o.Name))
		return b.String()
	}
	b.WriteString(" TEMPLATE template0")
	if !t.o.NoOwner && !t.rolesInside() {
		fmt.Fprintf(&b, " OWNER %s", pgarchive.Quote(d.Owner))
	}
	fmt.Fprintf(&b, " ENCODING %s LC_COLLATE %s LC_CTYPE %s", logical.Literal(d.Encoding), logical.Literal(d.Collate), logical.Literal(d.CType))
	if t.server.version.Major() >= 15 {
		fmt.Fprintf(&b, " LOCALE_PROVIDER %s", d.LocaleProvider)
		switch d.LocaleProvider {
		case "icu":
			fmt.Fprintf(&b, " ICU_LOCALE %s", logical.Literal(d.Locale))
			if d.ICURules != "" && t.server.version.Major() >= 16 {
				fmt.Fprintf(&b, " ICU_RULES %s", logical.Literal(d.ICURules))
			}
		case "builtin":
			fmt.Fprintf(&b, " BUILTIN_LOCALE %s", logical.Literal(d.Locale))
		}
	}
	if d.Tablespace != "" && d.Tablespace != "pg_default" {
		fmt.Fprintf(&b, " TABLESPACE %s", pgarchive.Quote(d.Tablespace))
	}
	return b.String()
}

// dropUnwantedPublic drops the schema public that every new database has, if the captured one had none.
func (t *Target) dropUnwantedPublic(ctx context.Context) error {
	if t.fromTemplate() || t.sel.Partial || len(t.Facts.Grants) == 0 || slices.ContainsFunc(t.Facts.Grants, func(g logical.GrantFacts) bool { return g.Type == "schema" && g.Object == "public" }) {
		return nil
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if _, err := conn.Exec(ctx, "DROP SCHEMA IF EXISTS public"); err != nil {
		return fmt.Errorf("drop schema public, which was not captured: %w", err)
	}
	return nil
}

// dressDatabase gives the staged database the settings, comment, limit and grants that were recorded, or those
// of the database that it is a copy of. They come last: a setting such as default_transaction_read_only would
// have stood in the restore's own way.
func (t *Target) dressDatabase(ctx context.Context) error {
	d, err := t.properties(ctx)
	if err != nil {
		return err
	}
	db := pgarchive.Quote(t.staged)
	var sql []string
	if t.fromTemplate() {
		sql = append(sql, "ALTER DATABASE "+db+" OWNER TO "+pgarchive.Quote(d.Owner))
	}
	for _, s := range d.Settings {
		if slices.Contains(t.settingsLeft, s) {
			continue // the plan said so
		}
		sql = append(sql, s.Statement(db))
	}
	if d.Comment != "" {
		sql = append(sql, "COMMENT ON DATABASE "+db+" IS "+logical.Literal(d.Comment))
	} else if t.adopted {
		sql = append(sql, "COMMENT ON DATABASE "+db+" IS NULL") // its mark as a copy that was kept
	}
	if d.ConnectionLimit >= 0 {
		sql = append(sql, fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", db, d.ConnectionLimit))
	}
	if t.o.NoPrivileges || d.ACL == nil {
		sql = append(sql, "GRANT CONNECT, TEMPORARY ON DATABASE "+db+" TO PUBLIC")
	} else {
		owner := d.Owner
		if t.o.NoOwner && !t.fromTemplate() {
			owner = t.server.user
		}
		grants, err := databaseGrants(db, d.Owner, owner, d.ACL)
		if err != nil {
			return err
		}
		sql = append(sql, grants...)
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil) // where roles have the names that were recorded
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range sql {
			if _, err := tx.Exec(ctx, s); err != nil {
				return fmt.Errorf("set the properties of database %s: %w", t.staged, err)
			}
		}
		return nil
	})
}

// properties are those that were recorded, or those of the database that the staged one is a copy of.
func (t *Target) properties(ctx context.Context) (d logical.DatabaseFacts, err error) {
	if !t.fromTemplate() {
		return t.Facts.Database, nil
	}
	old, err := logical.Connect(ctx, t.o.Server.With(t.o.Name), nil)
	if err != nil {
		return d, err
	}
	d, err = logical.ReadDatabase(ctx, old)
	return d, errors.Join(err, postgres.Close(ctx, old))
}

// setMeaning gives the staged database the settings on which expressions depend before anything is made in it.
func (t *Target) setMeaning(ctx context.Context) error {
	d, err := t.properties(ctx)
	if err != nil {
		return err
	}
	conn, err := t.maintenance(ctx)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	for _, s := range d.Settings {
		if !s.HasMeaning() || slices.Contains(t.settingsLeft, s) {
			continue
		}
		if _, err := conn.Exec(ctx, s.Statement(pgarchive.Quote(t.staged))); err != nil {
			return fmt.Errorf("set the properties of database %s: %w", t.staged, err)
		}
	}
	return nil
}

// databaseGrants writes an access list as statements. What was granted to the captured owner is granted to owner.
func databaseGrants(db, captured, owner string, acl []string) ([]string, error) {
	letters := map[byte]string{'C': "CREATE", 'c': "CONNECT", 'T': "TEMPORARY"}
	sql := []string{"REVOKE ALL ON DATABASE " + db + " FROM PUBLIC", "REVOKE ALL ON DATABASE " + db + " FROM " + pgarchive.Quote(owner)}
	for _, text := range acl {
		item, err := logical.ParseACLItem(text)
		if err != nil {
			return nil, err
		}
		to := pgarchive.Quote(item.Grantee)
		switch item.Grantee {
		case "":
			to = "PUBLIC"
		case captured:
			to = pgarchive.Quote(owner)
		}
		var plain, option []string
		for i := 0; i < len(item.Privileges); i++ {
			word, ok := letters[item.Privileges[i]]
			if !ok {
				return nil, fmt.Errorf("access list entry %q holds a privilege that databases do not have", text)
			}
			if i+1 < len(item.Privileges) && item.Privileges[i+1] == '*' {
				option = append(option, word)
				i++
			} else {
				plain = append(plain, word)
			}
		}
		if len(plain) > 0 {
			sql = append(sql, fmt.Sprintf("GRANT %s ON DATABASE %s TO %s", strings.Join(plain, ", "), db, to))
		}
		if len(option) > 0 {
			sql = append(sql, fmt.Sprintf("GRANT %s ON DATABASE %s TO %s WITH GRANT OPTION", strings.Join(option, ", "), db, to))
		}
	}
	return sql, nil
}

// maintenance connects to a database that is neither the one replaced nor the staged one.
func (t *Target) maintenance(ctx context.Context) (*pgx.Conn, error) {
	return logical.Connect(ctx, t.server.maintenance, nil)
}
