package logical

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// listSettings hold lists of names, each of which is quoted for itself in the catalog already.
//
// Source: PostgreSQL, src/bin/pg_dump/dumputils.c, makeAlterConfigCommand and variable_is_guc_list_quote.
var listSettings = []string{"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"}

// Statement sets it for a database, whose name is quoted.
func (s Setting) Statement(db string) string {
	value := Literal(s.Value)
	if slices.Contains(listSettings, strings.ToLower(s.Name)) {
		var parts []string
		for rest := strings.TrimSpace(s.Value); rest != ""; {
			var part string
			if strings.HasPrefix(rest, `"`) {
				end := 1
				for end < len(rest) && (rest[end] != '"' || (end+1 < len(rest) && rest[end+1] == '"')) {
					if rest[end] == '"' {
						end++
					}
					end++
				}
				part, rest = strings.ReplaceAll(rest[1:min(end, len(rest))], `""`, `"`), rest[min(end+1, len(rest)):]
			} else {
				end := strings.IndexByte(rest, ',')
				if end < 0 {
					end = len(rest)
				}
				part, rest = strings.TrimSpace(rest[:end]), rest[end:]
			}
			parts = append(parts, Literal(part))
			rest = strings.TrimLeft(rest, " ")
			rest = strings.TrimLeft(strings.TrimPrefix(rest, ","), " ")
		}
		if value = strings.Join(parts, ", "); value == "" {
			value = "''"
		}
	}
	// An extension's parameter has two parts, each quoted.
	name := pgarchive.Quote(strings.Split(s.Name, ".")...)
	if s.Role != "" {
		return fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET %s TO %s", pgarchive.Quote(s.Role), db, name, value)
	}
	return fmt.Sprintf("ALTER DATABASE %s SET %s TO %s", db, name, value)
}
