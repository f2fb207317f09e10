package edge

import (
	"regexp"
	"strings"

	"github.com/trustlayer/cofre/internal/shell"
)

// ofThis are the words that begin a command of this program in a sentence; what has a path before it, or is longer, is another's.
var ofThis = regexp.MustCompile(`(^|[\s('"“])cofre ((?:backup|wal|restore|adopt|export|status|list|show|verify|drill|runs|journal|doctor|check|expire|hold|prune|seal|init|kit|check-provider|serve|notify|policy)(?:[\s.,;:)'"”]|$))`)

// Pasted is a text with the commands in it as this person has to type them: with the configuration that was named on this command line, if one was.
func (a *App) Pasted(text string) string {
	if a.ConfigFile == "" || !strings.Contains(text, "cofre ") {
		return text
	}
	with := "${1}cofre --config " + strings.ReplaceAll(shell.Quote(a.ConfigFile), "$", "$$") + " ${2}"
	return ofThis.ReplaceAllString(text, with)
}
