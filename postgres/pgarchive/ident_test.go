package pgarchive_test

import (
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// What is shown to be pasted is on one line, acts on no terminal, and names what the server means by the same name.
func TestTypedNamesAreWhatTheyName(t *testing.T) {
	server := testkit.Postgres(t, 0)
	for _, name := range []string{"plain", `a "b"`, "two\nlines", "\x1b[2K\\u0041", "fdp.\u202egpj", `q"` + "\t" + `\`, "ação\r"} {
		typed := pgarchive.Typed(name)
		if cofre.Printable(typed) != typed {
			t.Errorf("%q is typed as %q", name, typed)
		}
		server.Exec(t, "postgres", "CREATE DATABASE "+pgarchive.Quote(name))
		server.Exec(t, "postgres", "DROP DATABASE "+typed+" WITH (FORCE);")
	}
	if got := pgarchive.Typed("a\nb", "c"); got != `U&"a\000Ab"."c"` {
		t.Error(got)
	}
}
