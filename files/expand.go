package files

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

func isPattern(p string) bool { return strings.ContainsAny(p, `*?[`) }

// expand yields what a pattern matches, sorted. Without anything to match it is the path itself, whether it
// exists or not. A part ** matches any number of folders, and does not follow links.
//
// Errors: a folder that cannot be listed, a malformed pattern.
func expand(pattern string) ([]string, error) {
	pattern = path.Clean(pattern)
	if !isPattern(pattern) {
		return []string{pattern}, nil
	}
	// A name that holds [ is more often a name than a pattern.
	if _, err := os.Lstat(pattern); err == nil {
		return []string{pattern}, nil
	}
	found := map[string]bool{}
	var errs []error
	match("/", strings.Split(strings.TrimPrefix(pattern, "/"), "/"), found, &errs)
	list := make([]string, 0, len(found))
	for p := range found {
		list = append(list, p)
	}
	slices.Sort(list)
	return list, errors.Join(errs...)
}

func match(dir string, parts []string, found map[string]bool, errs *[]error) {
	part, rest := parts[0], parts[1:]
	if !isPattern(part) {
		name := path.Join(dir, unescape(part))
		if _, err := os.Lstat(name); err == nil {
			matched(name, rest, found, errs)
		}
		return
	}
	if part == "**" && len(rest) > 0 {
		match(dir, rest, found, errs)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !notADirectory(err) {
			*errs = append(*errs, err)
		}
		return
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if part == "**" {
			if len(rest) == 0 {
				found[name] = true
			}
			if e.IsDir() {
				match(name, parts, found, errs)
			}
			continue
		}
		ok, err := path.Match(part, e.Name())
		if err != nil {
			*errs = append(*errs, err)
			return
		}
		if ok {
			matched(name, rest, found, errs)
		}
	}
}

func matched(name string, rest []string, found map[string]bool, errs *[]error) {
	if len(rest) == 0 {
		found[name] = true
		return
	}
	match(name, rest, found, errs)
}

func unescape(part string) string {
	if !strings.Contains(part, `\`) {
		return part
	}
	var b strings.Builder
	for i := 0; i < len(part); i++ {
		if part[i] == '\\' && i+1 < len(part) {
			i++
		}
		b.WriteByte(part[i])
	}
	return b.String()
}

// excludes decides what is left out. A pattern with a slash is of a whole path, where ** is any number of
// folders; one without is of a name, in any folder. What is below an excluded folder is excluded too. match returns the
// first pattern that fits.
type excludes []string

func (x excludes) match(p string) (pattern string, ok bool) {
	for _, pattern := range x {
		if !strings.Contains(pattern, "/") {
			if ok, err := path.Match(pattern, path.Base(p)); err == nil && ok {
				return pattern, true
			}
			continue
		}
		if matchPath(strings.Split(strings.Trim(pattern, "/"), "/"), strings.Split(strings.Trim(p, "/"), "/")) {
			return pattern, true
		}
	}
	return "", false
}

func matchPath(pattern, parts []string) bool {
	if len(pattern) == 0 {
		return len(parts) == 0
	}
	if pattern[0] == "**" {
		for i := range len(parts) + 1 {
			if matchPath(pattern[1:], parts[i:]) {
				return true
			}
		}
		return false
	}
	if len(parts) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], parts[0])
	return err == nil && ok && matchPath(pattern[1:], parts[1:])
}
