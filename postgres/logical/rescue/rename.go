package rescue

import (
	"strings"

	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// moved maps schema and name of an object to the schema in which it is made instead.
type moved map[[2]string]string

// rewrite replaces the names of moved objects in a statement of pg_dump's, which writes every name with its
// schema. Text in quotes is left alone, except a literal that is such a name as a whole: nextval's argument.
func (m moved) rewrite(sql string) string {
	return rewriteNames(sql, func(name [2]string) (string, bool) {
		to, ok := m[name]
		return pgarchive.Quote(to, name[1]), ok
	})
}

// rewriteNames replaces the names, schema and object, for which other has another text.
func rewriteNames(sql string, other func([2]string) (string, bool)) string {
	var b strings.Builder
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '$':
			end := dollarQuoted(sql[i:])
			b.WriteString(sql[i : i+end])
			i += end
		case c == '\'':
			end := literalEnd(sql[i:], i > 0 && (sql[i-1] == 'E' || sql[i-1] == 'e'))
			text := sql[i : i+end]
			if inner := strings.ReplaceAll(strings.Trim(text, "'"), "''", "'"); len(text) >= 2 {
				if parts, err := pgarchive.ParseName(inner); err == nil && len(parts) == 2 {
					if to, ok := other([2]string{parts[0], parts[1]}); ok {
						text = logical.Literal(to)
					}
				}
			}
			b.WriteString(text)
			i += end
		case c == '"' || isNameStart(c):
			end := i + nameEnd(sql[i:])
			if end < len(sql) && sql[end] == '.' && end+1 < len(sql) && (sql[end+1] == '"' || isNameStart(sql[end+1])) {
				last := end + 1 + nameEnd(sql[end+1:])
				parts, err := pgarchive.ParseName(sql[i:last])
				// A function may have the table's name; its call has no space before the parenthesis.
				if call := last < len(sql) && sql[last] == '('; err == nil && len(parts) == 2 && !call {
					if to, ok := other([2]string{parts[0], parts[1]}); ok {
						b.WriteString(to)
						i = last
						continue
					}
				}
			}
			b.WriteString(sql[i:end])
			i = end
		case c >= '0' && c <= '9':
			// A number, whose letters begin no name.
			end := i
			for end < len(sql) && (isNameStart(sql[end]) || sql[end] >= '0' && sql[end] <= '9') {
				end++
			}
			b.WriteString(sql[i:end])
			i = end
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

func isNameStart(c byte) bool {
	return c == '_' || c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}

// nameEnd is the length of the identifier that s begins with.
func nameEnd(s string) int {
	if s[0] == '"' {
		for i := 1; i < len(s); i++ {
			if s[i] == '"' {
				if i+1 < len(s) && s[i+1] == '"' {
					i++
					continue
				}
				return i + 1
			}
		}
		return len(s)
	}
	i := 0
	for i < len(s) && (isNameStart(s[i]) || s[i] == '$' || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	return i
}

func literalEnd(s string, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == '\'':
			if i+1 < len(s) && s[i+1] == '\'' {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(s)
}

// dollarQuoted is the length of the dollar-quoted text that s begins with, or 1.
func dollarQuoted(s string) int {
	i := 1
	for i < len(s) && (isNameStart(s[i]) || s[i] >= '0' && s[i] <= '9') {
		i++
	}
	if i >= len(s) || s[i] != '$' {
		return 1
	}
	tag := s[:i+1]
	if end := strings.Index(s[i+1:], tag); end >= 0 {
		return i + 1 + end + len(tag)
	}
	return len(s)
}
