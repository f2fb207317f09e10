package files

import (
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/traits"
)

// claims says who has a name in a place that takes several names for one: the first that comes.
type claims struct {
	in    func(folder string) (traits.Traits, error) // of the folder at a path
	first map[string][]string                        // paths, by what the most forgetful place takes them for
	known map[string]traits.Traits
}

// take takes the names on a path, and returns which path has one of them already. Folders are only looked at if names are alike.
func (c *claims) take(rel string) (other string, err error) {
	if c.first == nil {
		c.first, c.known = map[string][]string{}, map[string]traits.Traits{}
	}
	steps := strings.Split(rel, "/")
	for i := range steps {
		at := strings.Join(steps[:i+1], "/")
		anywhere := traits.Traits{FoldsCase: true, FoldsForm: true}
		key, _ := anywhere.Fold(at)
		has := c.first[key]
		if slices.Contains(has, at) {
			continue
		}
		for _, other := range has {
			if path.Dir(other) != path.Dir(at) {
				continue
			}
			one, err := c.one(path.Dir(at), path.Base(other), path.Base(at))
			if one || err != nil {
				return other, err
			}
		}
		c.first[key] = append(has, at)
	}
	return "", nil
}

// one reports whether a folder takes two names for one.
func (c *claims) one(folder, a, b string) (bool, error) {
	t, ok := c.known[folder]
	if !ok {
		var err error
		if t, err = c.in(folder); err != nil {
			return false, err
		}
		c.known[folder] = t
	}
	a, _ = t.Fold(a)
	b, _ = t.Fold(b)
	return a == b, nil
}

// isFolded names what would have to have a name that is another's: the place takes the two for one. The first keeps it.
func (j *job) isFolded(w wanted) (bool, error) {
	other, err := j.claims.take(w.relative())
	if other == "" || err != nil {
		return false, err
	}
	j.folded = append(j.folded, cofre.NewChecked(cofre.Verbatim(string(w.Path)), asCaptured(), cofre.Say("files.folded", "the file system takes its name for that of {{.other}}, which is there", "other", "/"+other), false))
	return true, nil
}

// foldedElsewhere says on an outcome what to do about it.
func (j *job) foldedElsewhere(o *cofre.Outcome) {
	if len(j.folded) == 0 {
		return
	}
	alone := cofre.Say("files.folded_alone", "restore what has no name of its own there to another place: cofre restore config POINT --to DIR --path {{.path}}", "path", quote(j.folded[0].What))
	if o.Then(cofre.DoRenameThere, "", alone); o.Hint.IsZero() {
		o.Hint = alone
	}
}
