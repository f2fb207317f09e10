package shell_test

import (
	"os/exec"
	"testing"

	"github.com/trustlayer/cofre/internal/shell"
)

// A word that is quoted is, in a shell of any locale, what it was.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain/path", "it's", "a b", `$HOME "x"`, "two\nlines", "\x1b[2K", `back\slash` + "\t'", "fdp.\u202egpj", "ação", "\x1b1f", "ç\n'\\", "\xff\x01a"} {
		q := shell.Quote(s)
		for _, locale := range []string{"C", "C.UTF-8"} {
			shell := exec.CommandContext(t.Context(), "bash", "-c", "printf %s "+q)
			shell.Env = append(shell.Environ(), "LC_ALL="+locale)
			if out, err := shell.Output(); err != nil || string(out) != s {
				t.Errorf("%q is quoted as %s, and with %s read as %q, %v", s, q, locale, out, err)
			}
		}
	}
}
