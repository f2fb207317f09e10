package restoring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// globalVerb is what a statement of globals.sql does.
type globalVerb string

const (
	createRole      globalVerb = "create role"
	alterRole       globalVerb = "alter role"
	setRole         globalVerb = "role setting"
	commentRole     globalVerb = "comment on role"
	grantRole       globalVerb = "membership"
	tablespaceThing globalVerb = "tablespace"
)

// globalStatement is one statement of globals.sql, as pg_dumpall wrote it.
type globalStatement struct {
	verb  globalVerb
	sql   string
	roles []string // the role that it is about; of a membership, group and member
}

// parseGlobals reads the statements of a globals.sql that are known: roles, their settings, memberships and
// tablespaces. Session settings and psql's own commands are passed over.
func parseGlobals(script string) []globalStatement {
	var found []globalStatement
	for _, sql := range splitStatements(script) {
		if s, ok := parseGlobal(sql); ok {
			found = append(found, s)
		}
	}
	return found
}

func parseGlobal(sql string) (globalStatement, bool) {
	for _, known := range []struct {
		prefix string
		verb   globalVerb
	}{
		{"CREATE ROLE ", createRole},
		{"ALTER ROLE ", alterRole},
		{"COMMENT ON ROLE ", commentRole},
		{"CREATE TABLESPACE ", tablespaceThing},
		{"ALTER TABLESPACE ", tablespaceThing},
	} {
		rest, ok := strings.CutPrefix(sql, known.prefix)
		if !ok {
			continue
		}
		name, after := leadingName(rest)
		s := globalStatement{known.verb, sql, []string{name}}
		if known.verb == alterRole && !strings.HasPrefix(strings.TrimSpace(after), "WITH") {
			s.verb = setRole
		}
		return s, name != ""
	}
	if rest, ok := strings.CutPrefix(sql, "GRANT "); ok {
		group, after := leadingName(rest)
		if after, ok = strings.CutPrefix(after, " TO "); ok && group != "" {
			member, _ := leadingName(after)
			return globalStatement{grantRole, sql, []string{group, member}}, member != ""
		}
	}
	return globalStatement{}, false
}

func leadingName(s string) (name, rest string) {
	end := 0
	quoted := strings.HasPrefix(s, `"`)
	for end = 0; end < len(s); end++ {
		if quoted && s[end] == '"' && end > 0 {
			if end+1 < len(s) && s[end+1] == '"' {
				end++
				continue
			}
			end++
			break
		}
		if !quoted && (s[end] == ' ' || s[end] == ';') {
			break
		}
	}
	parts, err := pgarchive.ParseName(s[:end])
	if err != nil || len(parts) != 1 {
		return "", s
	}
	return parts[0], s[end:]
}

// splitStatements cuts a script of pg_dumpall at the semicolons that end statements.
func splitStatements(script string) []string {
	var found []string
	var b strings.Builder
	flush := func() {
		if s := strings.TrimSpace(b.String()); s != "" {
			found = append(found, s)
		}
		b.Reset()
	}
	for i := 0; i < len(script); i++ {
		c := script[i]
		atStart := strings.TrimSpace(b.String()) == ""
		switch {
		case atStart && (strings.HasPrefix(script[i:], "--") || c == '\\'):
			// A comment, or a command of psql: to the end of the line.
			end := strings.IndexByte(script[i:], '\n')
			if end < 0 {
				return found
			}
			i += end
			continue
		case c == '\'' || c == '"':
			escapes := c == '\'' && i > 0 && (script[i-1] == 'E' || script[i-1] == 'e')
			j := i + 1
			for ; j < len(script); j++ {
				if escapes && script[j] == '\\' {
					j++
				} else if script[j] == c {
					if j+1 < len(script) && script[j+1] == c {
						j++
						continue
					}
					break
				}
			}
			b.WriteString(script[i:min(j+1, len(script))])
			i = j
			continue
		case c == ';':
			flush()
			continue
		}
		b.WriteByte(c)
	}
	flush()
	return found
}

// rolesToCreate picks the statements that make the roles of a database's users that are missing: the roles that are
// needed, everybody who is a member of one of them, as the logins of an application are, whoever reads or writes all
// data, and the groups that those belong to, with their memberships. Statements about roles that exist are not among
// them. unknown are needed roles that the globals do not hold; left are roles that are no users of this database.
func rolesToCreate(script string, needed []string, exist map[string]bool) (statements []globalStatement, unknown, left []string) {
	parsed := parseGlobals(script)
	defined := map[string]bool{}
	for _, s := range parsed {
		if s.verb == createRole {
			defined[s.roles[0]] = true
		}
	}
	users := map[string]bool{"pg_read_all_data": true, "pg_write_all_data": true}
	for _, r := range needed {
		users[r] = true
		if !exist[r] && !defined[r] {
			unknown = append(unknown, r)
		}
	}
	make := func(r string) bool { return users[r] && defined[r] && !exist[r] }
	for again := true; again; {
		again = false
		for _, s := range parsed {
			if s.verb != grantRole {
				continue
			}
			group, member := s.roles[0], s.roles[1]
			if users[group] && !users[member] || make(member) && !users[group] {
				users[group], users[member], again = true, true, true
			}
		}
	}
	there := func(r string) bool { return exist[r] || make(r) || strings.HasPrefix(r, "pg_") }
	for _, s := range parsed {
		switch s.verb {
		case tablespaceThing:
		case grantRole:
			if (make(s.roles[0]) || make(s.roles[1])) && there(s.roles[0]) && there(s.roles[1]) {
				statements = append(statements, s)
			}
		default:
			if make(s.roles[0]) {
				statements = append(statements, s)
			} else if s.verb == createRole && !exist[s.roles[0]] {
				left = append(left, s.roles[0])
			}
		}
	}
	return statements, unknown, left
}

// membershipsMissing names the memberships between roles of which both exist, and which were captured and are not on
// the server. They are not made: who belongs to what among roles that exist is the server's business.
func membershipsMissing(script string, exist, have map[string]bool) []string {
	var missing []string
	for _, s := range parseGlobals(script) {
		if s.verb == grantRole && exist[s.roles[0]] && exist[s.roles[1]] && !have[membership(s.roles[0], s.roles[1])] {
			missing = append(missing, fmt.Sprintf("GRANT %s TO %s", pgarchive.Quote(s.roles[0]), pgarchive.Quote(s.roles[1])))
		}
	}
	return missing
}

func membership(group, member string) string { return group + " to " + member }

func readMemberships(ctx context.Context, q logical.Querier) ([]string, error) {
	return logical.Collect(ctx, q, "the memberships", `
SELECT pg_catalog.pg_get_userbyid(roleid) || ' to ' || pg_catalog.pg_get_userbyid(member) FROM pg_catalog.pg_auth_members`, pgx.RowTo[string])
}

func roleNames(statements []globalStatement) []string {
	var names []string
	for _, s := range statements {
		if s.verb == createRole && !slices.Contains(names, s.roles[0]) {
			names = append(names, s.roles[0])
		}
	}
	return names
}

// rolesInside reports whether roles can be named only over the staged database: the server keeps the bytes of a name, and
// which name they are depends on the encoding of the database in which it is said.
func (t *Target) rolesInside() bool {
	names := roleNames(t.roles)
	if !t.o.NoOwner && !t.fromTemplate() {
		names = append(names, t.Facts.Database.Owner)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		return strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf })
	})
}

// createRoles makes the missing roles in one transaction.
func (t *Target) createRoles(ctx context.Context, over postgres.Config, obs cofre.Observer) error {
	if len(t.roles) == 0 {
		return nil
	}
	conn, err := logical.Connect(ctx, over, nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if err := runGlobals(ctx, conn, t.roles); err != nil {
		return err
	}
	for _, r := range roleNames(t.roles) {
		obs.Observe(cofre.Event{Type: cofre.TypeNote, Item: r}.Doing(rolesTask()).Saying(cofre.Say("database.role_created", "role {{.role}} created", "role", r)))
	}
	return nil
}

// giveOwner makes the captured owner that of the staged database.
func (t *Target) giveOwner(ctx context.Context) error {
	if t.o.NoOwner || t.fromTemplate() {
		return nil
	}
	conn, err := logical.Connect(ctx, t.o.Server.With(t.staged), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+pgarchive.Quote(t.staged)+" OWNER TO "+pgarchive.Quote(t.Facts.Database.Owner)); err != nil {
		return fmt.Errorf("set the owner of database %s: %w", t.staged, err)
	}
	return nil
}

func runGlobals(ctx context.Context, conn *pgx.Conn, statements []globalStatement) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, s := range statements {
			// The statement may hold a password's verifier: the error names what it is about, not its text.
			// The server would write a failing one into its log as well, which is out of our hands.
			_, err := tx.Exec(ctx, withoutGrantor(s.sql))
			if err != nil {
				return fmt.Errorf("%s %s: %w", s.verb, strings.Join(s.roles, " to "), err)
			}
		}
		return nil
	})
}

// withoutGrantor takes GRANTED BY off a membership: that role may be missing, or may not be one's own.
func withoutGrantor(sql string) string {
	if i := strings.LastIndex(sql, " GRANTED BY "); i >= 0 && strings.HasPrefix(sql, "GRANT ") {
		return sql[:i]
	}
	return sql
}

func rolesTask() cofre.Message { return cofre.Say("database.task_roles", "create roles") }
