// Package globals reads the script of pg_dumpall --globals-only that is part of every component: roles, their settings and memberships,
// and tablespaces. It decides which of its statements a restore needs. Read ToCreate first.
package globals

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// verb is what a statement of globals.sql does.
type verb string

const (
	createRole      verb = "create role"
	alterRole       verb = "alter role"
	setRole         verb = "role setting"
	commentRole     verb = "comment on role"
	grantRole       verb = "membership"
	tablespaceThing verb = "tablespace"
)

// Statement is one statement of globals.sql, as pg_dumpall wrote it.
type Statement struct {
	verb  verb
	sql   string
	roles []string // the role that it is about; of a membership, group and member
}

// String says what it does to whom. It may hold a password's verifier: its text is not said.
func (s Statement) String() string { return string(s.verb) + " " + strings.Join(s.roles, " to ") }

// SQL is its text, without who granted a membership: that role may be missing, or may not be one's own.
func (s Statement) SQL() string {
	if i := strings.LastIndex(s.sql, " GRANTED BY "); i >= 0 && strings.HasPrefix(s.sql, "GRANT ") {
		return s.sql[:i]
	}
	return s.sql
}

// parseGlobals reads the statements of a globals.sql that are known: roles, their settings, memberships and
// tablespaces. Session settings and psql's own commands are passed over.
func parseGlobals(script string) []Statement {
	var found []Statement
	for _, sql := range splitStatements(script) {
		if s, ok := parseGlobal(sql); ok {
			found = append(found, s)
		}
	}
	return found
}

func parseGlobal(sql string) (Statement, bool) {
	for _, known := range []struct {
		prefix string
		verb   verb
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
		s := Statement{known.verb, sql, []string{name}}
		if known.verb == alterRole && !strings.HasPrefix(strings.TrimSpace(after), "WITH") {
			s.verb = setRole
		}
		return s, name != ""
	}
	if rest, ok := strings.CutPrefix(sql, "GRANT "); ok {
		group, after := leadingName(rest)
		if after, ok = strings.CutPrefix(after, " TO "); ok && group != "" {
			member, _ := leadingName(after)
			return Statement{grantRole, sql, []string{group, member}}, member != ""
		}
	}
	return Statement{}, false
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

// ToCreate picks the statements that make the roles of a database's users that are missing: the roles that are
// needed, everybody who is a member of one of them, as the logins of an application are, whoever reads or writes all
// data, and the groups that those belong to, with their memberships. Statements about roles that exist are not among
// them. unknown are needed roles that the globals do not hold; left are roles that are no users of this database.
func ToCreate(script string, needed []string, exist map[string]bool) (statements []Statement, unknown, left []string) {
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

// MissingMemberships names the memberships between roles of which both exist, and which were captured and are not on
// the server. They are not made: who belongs to what among roles that exist is the server's business.
func MissingMemberships(script string, exist, have map[string]bool) []string {
	var missing []string
	for _, s := range parseGlobals(script) {
		if s.verb == grantRole && exist[s.roles[0]] && exist[s.roles[1]] && !have[Membership(s.roles[0], s.roles[1])] {
			missing = append(missing, fmt.Sprintf("GRANT %s TO %s", pgarchive.Quote(s.roles[0]), pgarchive.Quote(s.roles[1])))
		}
	}
	return missing
}

// Membership names one, as the catalog is asked for them.
func Membership(group, member string) string { return group + " to " + member }

// Roles names the roles that statements make.
func Roles(statements []Statement) []string {
	var names []string
	for _, s := range statements {
		if s.verb == createRole && !slices.Contains(names, s.roles[0]) {
			names = append(names, s.roles[0])
		}
	}
	return names
}
