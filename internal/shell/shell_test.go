package shell_test

import (
	"os/exec"
	"testing"

	"github.com/trustlayer/cofre/internal/shell"
)

// A word that is quoted is, in a shell, what it was.
func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain/path", "it's", "a b", `$HOME "x"`, "two\nlines", "\x1b[2K", `back\slash` + "\t'", "fdp.\u202egpj", "ação"} {
		q := shell.Quote(s)
		out, err := exec.CommandContext(t.Context(), "bash", "-c", "printf %s "+q).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q is quoted as %s, and read as %q, %v", s, q, out, err)
		}
	}
}
