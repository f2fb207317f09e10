// Package told makes messages of what records of damage say, which keep a sentence alone.
package told

import (
	"strings"

	"github.com/trustlayer/cofre"
)

// Of is the message of what is wrong with an object. Records keep the sentence alone, those of before too, so it is known by its words;
// what they do not tell stays as it is.
func Of(what string) cofre.Message {
	for words, say := range map[string]func(object cofre.Message, why string) cofre.Message{
		" is missing": func(o cofre.Message, _ string) cofre.Message {
			return cofre.Say("repository.is_missing", "{{.object}} is missing", "object", o)
		},
		" is missing: ": func(o cofre.Message, why string) cofre.Message {
			return cofre.Say("repository.is_missing_why", "{{.object}} is missing: {{.why}}", "object", o, "why", why)
		},
		" is damaged: ": func(o cofre.Message, why string) cofre.Message {
			return cofre.Say("repository.is_damaged", "{{.object}} is damaged: {{.why}}", "object", o, "why", why)
		},
		" cannot be read: ": func(o cofre.Message, why string) cofre.Message {
			return cofre.Say("repository.unreadable", "{{.object}} cannot be read: {{.why}}", "object", o, "why", why)
		},
		" is marked as damaged, or to be pruned": func(o cofre.Message, _ string) cofre.Message {
			return cofre.Say("repository.is_marked", "{{.object}} is marked as damaged, or to be pruned", "object", o)
		},
	} {
		object, why, found := strings.Cut(what, words)
		if found && (why != "") == strings.HasSuffix(words, ": ") {
			return say(objectOf(object), why)
		}
	}
	return cofre.Verbatim(what)
}

// Problem is the message of what is wrong with a file of the repository. One that can be mended has another copy, which is whole.
func Problem(name, what string, mendable bool) cofre.Message {
	if mendable {
		return cofre.Say("repository.mendable", "{{.name}}: {{.what}}; the other copy of it is whole, and the next backup puts it right", "name", name, "what", what)
	}
	return cofre.Say("repository.problem", "{{.name}}: {{.what}}", "name", name, "what", what)
}

// IsMendable reports whether a finding is of a file whose other copy is whole.
func IsMendable(f cofre.Finding) bool {
	return len(f.Messages) > 0 && f.Messages[0].Code == "repository.mendable"
}

// objectOf is what a sentence is about.
func objectOf(object string) cofre.Message {
	if of, ok := strings.CutPrefix(object, "list of the "); ok {
		return cofre.Say("repository.list_of", "list of the {{.object}}", "object", objectOf(of))
	}
	if path, ok := strings.CutPrefix(object, "content of "); ok {
		return cofre.Say("repository.content_of", "content of {{.path}}", "path", path)
	}
	if path, ok := strings.CutPrefix(object, "directory "); ok {
		return cofre.Say("repository.directory", "directory {{.path}}", "path", path)
	}
	return cofre.Verbatim(object)
}
