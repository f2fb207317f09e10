package physical

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
)

// A cluster whose configuration lies outside of its data directory, as Debian's does, is restored with it inside: the
// component holds postgresql.conf, pg_hba.conf and pg_ident.conf where a server looks for them that is told nothing but its
// data directory. What they include stands in the place of the line that includes it, and the lines that name the
// original's places are comments.

// configured are the settings that name a configuration file, with the name that it has in the data directory.
var configured = []struct{ setting, name string }{
	{"config_file", "postgresql.conf"},
	{"hba_file", "pg_hba.conf"},
	{"ident_file", "pg_ident.conf"},
}

// outside lists the configuration files that are not where a server looks for them that is told nothing but its data
// directory: name in it, to where it is.
func (k *capture) outside() map[string]string {
	found := map[string]string{}
	dir := k.server.DataDir
	if dir == "" || k.facts.Settings["config_file"] == "" {
		return found // the role may not know
	}
	for _, c := range configured {
		at := k.facts.Settings[c.setting]
		if at == "" {
			continue
		}
		in, _ := k.seen.find(path.Dir(at))
		home := slices.Contains([]string{path.Clean(dir), k.seen.real}, in) && path.Base(at) == c.name
		// In its place, and a link that the capture cannot follow.
		lost := k.seen.here != "" && k.seen.at(at) == ""
		if !home || lost {
			found[c.name] = at
		}
	}
	return found
}

// readConfiguration reads the configuration files that lie outside of the data directory. What lies in it under their names is
// then not what the server reads, and not captured. One that cannot be read is a finding.
func (k *capture) readConfiguration(ctx context.Context) error {
	k.configuration = map[string]string{}
	outside := k.outside()
	seen := k.seen
	if seen.there == "" {
		seen.there, seen.real = path.Clean(k.server.DataDir), path.Clean(k.server.DataDir)
	}
	in := inliner{
		seen: seen,
		read: func(name string) ([]byte, error) { return k.readFile(ctx, name) },
		list: func(dir string) ([]string, error) { return k.listFiles(ctx, dir) },
	}
	for _, c := range configured {
		at, is := outside[c.name]
		in.leads, in.tokens = is, c.setting != "config_file"
		if !is {
			at = k.facts.Settings[c.setting]
		}
		if at == "" {
			continue // the role may not know
		}
		text, err := in.file(at, 0)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !in.leads {
			continue // it is captured as it is, like the rest of the data directory
		}
		if err != nil {
			k.findings = append(k.findings, cofre.Finding{Object: c.name, What: fmt.Sprintf("lies outside of the data directory, in %s, and cannot be read: %v", at, err)})
			continue
		}
		k.configuration[c.name] = fmt.Sprintf("# From %s, with what it took from outside of the data directory in its place.\n", at) + text
	}
	return nil
}

// putConfiguration stores what readConfiguration has read.
func (k *capture) putConfiguration(ctx context.Context) error {
	for _, c := range configured {
		text, ok := k.configuration[c.name]
		if !ok {
			continue
		}
		if err := k.putData(ctx, c.name, []byte(text)); err != nil {
			return err
		}
		k.facts.Configuration = append(k.facts.Configuration, c.name)
	}
	return nil
}

// replaced reports whether a file of the component is one of those that putConfiguration stores.
func (k *capture) replaced(in string) bool {
	_, ok := k.configuration[strings.TrimPrefix(in, DataDir+"/")]
	return ok
}

// maxFile is how much of a configuration file the server is asked for.
const maxFile = 64 << 20

// readFile reads a file that the server names: here, if this process sees it, or through the server.
func (k *capture) readFile(ctx context.Context, name string) ([]byte, error) {
	if at := k.seen.at(name); at != "" {
		if b, err := os.ReadFile(at); err == nil || gone(err) {
			return b, err
		}
	}
	var b []byte
	err := k.conn.QueryRow(ctx, "SELECT pg_catalog.pg_read_binary_file($1, 0, $2, true)", name, maxFile).Scan(&b)
	if err == nil && b == nil {
		err = fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
	return b, err
}

func (k *capture) listFiles(ctx context.Context, dir string) ([]string, error) {
	if at := k.seen.at(dir); at != "" {
		entries, err := os.ReadDir(at)
		if err == nil {
			names := make([]string, len(entries))
			for i, e := range entries {
				names[i] = e.Name()
			}
			return names, nil
		}
	}
	rows, err := k.conn.Query(ctx, "SELECT pg_catalog.pg_ls_dir($1)", dir)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// inliner writes a configuration file with what it includes in the place of the line that includes it.
type inliner struct {
	seen   view
	tokens bool // it is pg_hba.conf or pg_ident.conf, in which @FILE stands for what is in the file
	leads  bool // what was read names a place that a copy does not have
	read   func(name string) ([]byte, error)
	list   func(dir string) ([]string, error)
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

func (in *inliner) file(name string, depth int) (string, error) {
	in.look(name)
	if depth > maxDepth {
		return "", fmt.Errorf("%s: files include one another too deep", name)
	}
	b, err := in.read(name)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		m := includes.FindStringSubmatch(line)
		switch {
		case m == nil && in.tokens:
			expanded, err := in.expand(line, name, depth)
			if err != nil {
				return "", err
			}
			out.WriteString(expanded + "\n")
		case m == nil && places.MatchString(line):
			in.leads = true
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
func (in *inliner) look(name string) {
	dir, _ := in.seen.find(path.Dir(name))
	in.leads = in.leads || !in.seen.inside(path.Join(dir, path.Base(name)))
}

// expand writes a line of pg_hba.conf or pg_ident.conf with the names that a file holds in the place of @FILE.
//
// Source: PostgreSQL, src/backend/libpq/hba.c, next_field_expand and tokenize_inc_file.
func (in *inliner) expand(line, from string, depth int) (string, error) {
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
func (in *inliner) names(file, from string, depth int) ([]string, error) {
	if !path.IsAbs(file) {
		file = path.Join(path.Dir(from), file)
	}
	in.look(file)
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: files include one another too deep", file)
	}
	b, err := in.read(file)
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

func (in *inliner) include(out *strings.Builder, from, how, what string, depth int) error {
	if !path.IsAbs(what) {
		what = path.Join(path.Dir(from), what)
	}
	files := []string{what}
	if how == "include_dir" {
		in.look(path.Join(what, "file"))
		names, err := in.list(what)
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
		text, err := in.file(f, depth+1)
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
