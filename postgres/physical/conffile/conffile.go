package conffile

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/postgres/physical/view"
)

// Files are the settings that name a configuration file, with the name that it has in the data directory.
var Files = []struct{ Setting, Name string }{
	{"config_file", "postgresql.conf"},
	{"hba_file", "pg_hba.conf"},
	{"ident_file", "pg_ident.conf"},
}

// Inliner writes a configuration file with what it includes in the place of the line that includes it.
type Inliner struct {
	Seen   view.View
	Tokens bool // it is pg_hba.conf or pg_ident.conf, in which @FILE stands for what is in the file
	Leads  bool // what was read names a place that a copy does not have
	Read   func(name string) ([]byte, error)
	List   func(dir string) ([]string, error)
}

// maxDepth is how deep includes may nest.
//
// Source: PostgreSQL, src/include/utils/conffiles.h, CONF_FILE_MAX_DEPTH.
const maxDepth = 10

// includes matches the lines that include, of postgresql.conf and, from 16 on, of pg_hba.conf and pg_ident.conf.
//
// Source: PostgreSQL, src/backend/utils/misc/guc-file.l, ParseConfigFp; src/backend/libpq/hba.c, tokenize_auth_file.
var includes = regexp.MustCompile(`(?i)^[ \t]*(include|include_if_exists|include_dir)[ \t]*[ \t=][ \t]*('(?:[^']|'')*'|"[^"]*"|[^ \t#'"]+)[ \t\r]*(?:#.*)?$`)

// places matches the settings that name where the original has its files: a copy has them in its data directory.
var places = regexp.MustCompile(`(?i)^[ \t]*(data_directory|hba_file|ident_file)[ \t]*[ \t=]`)

// File is the text of a configuration file, with what it includes. depth is 0 for a file that no other includes.
//
// Errors: of Read and List; that files include one another too deep.
func (in *Inliner) File(name string, depth int) (string, error) {
	in.look(name)
	if depth > maxDepth {
		return "", fmt.Errorf("%s: files include one another too deep", name)
	}
	b, err := in.Read(name)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		m := includes.FindStringSubmatch(line)
		switch {
		case m == nil && in.Tokens:
			expanded, err := in.expand(line, name, depth)
			if err != nil {
				return "", err
			}
			out.WriteString(expanded + "\n")
		case m == nil && places.MatchString(line):
			in.Leads = true
			out.WriteString("# of the original: " + strings.TrimSpace(line) + "\n")
		case m == nil:
			out.WriteString(line + "\n")
		default:
			out.WriteString("# " + strings.TrimSpace(line) + "\n")
			if err := in.include(&out, name, strings.ToLower(m[1]), unquoted(m[2]), depth); err != nil {
				return "", err
			}
		}
	}
	return out.String(), nil
}

// look notes a file, or what it is a link to, that lies outside of the data directory.
func (in *Inliner) look(name string) {
	dir, _ := in.Seen.Find(path.Dir(name))
	in.Leads = in.Leads || !in.Seen.Inside(path.Join(dir, path.Base(name)))
}

// expand writes a line of pg_hba.conf or pg_ident.conf with the names that a file holds in the place of @FILE.
//
// Source: PostgreSQL, src/backend/libpq/hba.c, next_field_expand and tokenize_inc_file.
func (in *Inliner) expand(line, from string, depth int) (string, error) {
	var failed error
	expanded := tokens.ReplaceAllStringFunc(line, func(token string) string {
		if token[0] != '@' || len(token) == 1 || failed != nil {
			return token
		}
		names, err := in.names(unquoted(token[1:]), from, depth+1)
		if failed = err; err == nil && len(names) == 0 {
			failed = fmt.Errorf("%s holds no names", token)
		}
		return strings.Join(names, ",")
	})
	return expanded, failed
}

// tokens matches the comment of a line, a token with its quoted parts, and what stands between tokens.
var tokens = regexp.MustCompile(`#.*|(?:"[^"]*"?|[^\s,"#])+|[\s,]+`)

// names lists what a file of names holds, with the files that it names itself.
func (in *Inliner) names(file, from string, depth int) ([]string, error) {
	if !path.IsAbs(file) {
		file = path.Join(path.Dir(from), file)
	}
	in.look(file)
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: files include one another too deep", file)
	}
	b, err := in.Read(file)
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(b)) {
		for _, token := range tokens.FindAllString(line, -1) {
			switch {
			case token[0] == '#', strings.Trim(token, " \t\r\n\v\f,") == "":
			case token[0] == '@' && len(token) > 1:
				more, err := in.names(unquoted(token[1:]), file, depth+1)
				if err != nil {
					return nil, err
				}
				found = append(found, more...)
			default:
				found = append(found, token)
			}
		}
	}
	return found, nil
}

func (in *Inliner) include(out *strings.Builder, from, how, what string, depth int) error {
	if !path.IsAbs(what) {
		what = path.Join(path.Dir(from), what)
	}
	files := []string{what}
	if how == "include_dir" {
		in.look(path.Join(what, "file"))
		names, err := in.List(what)
		if err != nil {
			return err
		}
		files = nil
		slices.Sort(names)
		for _, n := range names {
			// Source: PostgreSQL, src/backend/utils/misc/conffiles.c, GetConfFilesInDir.
			if strings.HasSuffix(n, ".conf") && !strings.HasPrefix(n, ".") {
				files = append(files, path.Join(what, n))
			}
		}
	}
	for _, f := range files {
		text, err := in.File(f, depth+1)
		if how == "include_if_exists" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		out.WriteString("# begin of " + f + "\n" + text + "# end of " + f + "\n")
	}
	return nil
}

func unquoted(s string) string {
	if len(s) < 2 || s[0] != '\'' && s[0] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], "''", "'")
}
