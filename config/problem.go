package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Path   string `json:"path"`           // database.keep.days, copies[1].url, or the variable's name
	Line   int    `json:"line,omitempty"` // from 1; 0 if the configuration came from the environment
	Column int    `json:"column,omitempty"`
	What   string `json:"what"`
	Hint   string `json:"hint,omitempty"`

	Messages cofre.Messages `json:"messages,omitempty"`
}

// InvalidError holds everything that is wrong with a configuration. errors.Is(err, cofre.ErrConfig) holds.
type InvalidError struct {
	File     string    `json:"file,omitempty"`
	Problems []Problem `json:"problems"`
}

// Error lists the problems, one a line, in the form that editors and terminals turn into links.
func (e *InvalidError) Error() string { return e.In(cofre.Message.String) }

// In is Error in the language that say speaks.
func (e *InvalidError) In(say func(cofre.Message) string) string {
	var b strings.Builder
	origin := cofre.Verbatim(e.File)
	if e.File == "" {
		origin = cofre.Say("config.environment", "environment")
	}
	b.WriteString(say(cofre.SayN("config.problems", len(e.Problems), "configuration {{.origin}}: 1 problem", "configuration {{.origin}}: {{.n}} problems", "origin", origin)))
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		if p.Line > 0 {
			fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
		}
		if p.Path != "" {
			b.WriteString(p.Path + ": ")
		}
		b.WriteString(say(p.Messages.Of(p.What)))
		if p.Hint != "" {
			b.WriteString("\n       " + say(p.Messages.Of(p.Hint)))
		}
	}
	return b.String()
}

// Unwrap makes errors.Is(err, cofre.ErrConfig) hold.
func (e *InvalidError) Unwrap() error { return cofre.ErrConfig }

// place is where in a file something stands.
type place struct{ line, column int }

// problems collects what is wrong, and knows where each path of the file was.
type problems struct {
	list []Problem
	at   map[string]place
	// names gives the variable from which a path came, if there is no file.
	names map[string]string
}

func (p *problems) add(path string, what, hint cofre.Message) {
	where := p.nearest(path)
	p.addAt(where, path, what, hint)
}

func (p *problems) addAt(where place, path string, what, hint cofre.Message) {
	if p.names != nil {
		if name, ok := p.names[path]; ok {
			path = name
		}
	}
	p.list = append(p.list, Problem{
		Path: path, Line: where.line, Column: where.column, What: what.Text, Hint: hint.Text, Messages: cofre.NewProblem(what, hint).Messages,
	})
}

// nearest is the place of path, or of the closest parent that stands in the file.
func (p *problems) nearest(path string) place {
	for {
		if where, ok := p.at[path]; ok {
			return where
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return p.at[""]
		}
		path = path[:cut]
	}
}

// has reports whether path, something inside it or something around it was already found wrong: what follows
// from that is not said again.
func (p *problems) has(path string) bool {
	return slices.ContainsFunc(p.list, func(q Problem) bool { return inside(q.Path, path) || inside(path, q.Path) })
}

func inside(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// err is nil if nothing is wrong. Problems come in the order of the file.
func (p *problems) err(file string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &InvalidError{file, p.list}
}
