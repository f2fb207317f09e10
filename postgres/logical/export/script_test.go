package export_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// psql runs a script with the program of one major version.
func psql(t *testing.T, bin, url, script string, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.sql")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "psql"), append(args, "-X", "-q", "-o", os.DevNull, "-f", path, url)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestAScriptIsRestrictedWhole: no command of psql's that stands anywhere in a script is run, and every psql loads it.
func TestAScriptIsRestrictedWhole(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		s.Exec(t, database, `CREATE TABLE t (a text PRIMARY KEY); INSERT INTO t VALUES ('\.'), (E'x\n\\.\n\\! touch /tmp/no'), ('\! true'); SELECT lo_from_bytea(0, 'large'); CREATE INDEX ON t (upper(a))`)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		write := func() string {
			var out bytes.Buffer
			if err := export.SQL(t.Context(), c.Tree, logical.Filter{}, &out, cofre.Discard); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		script := write()
		lines := regexp.MustCompile(`(?m)^\\(un)?restrict (\w+)$`).FindAllStringSubmatch(script, -1)
		if len(lines) != 2 || lines[0][2] != lines[1][2] || lines[0][1] != "" || lines[1][1] != "un" || strings.Contains(write(), lines[0][2]) {
			t.Fatalf("restricted by %q", lines)
		}
		bin, err := postgres.BinDir(major)
		if err != nil {
			t.Fatal(err)
		}
		to := s.Database(t)
		if out, err := psql(t, bin, s.URL(to), script, "-v", "ON_ERROR_STOP=1"); err != nil || out != "" {
			t.Fatalf("%v: %s", err, out)
		}
		if got, want := s.Dump(t, to), s.Dump(t, database); got != want {
			t.Error(logicaltest.LineDiff(want, got))
		}
		// What a hostile original could have put anywhere.
		touched := filepath.Join(t.TempDir(), "touched")
		command := "\n\\! touch " + touched + "\n"
		for _, at := range []string{"CREATE TABLE", "COPY ", "CREATE INDEX", "SELECT pg_catalog.lo_put", `\unrestrict`} {
			before, after, found := strings.Cut(script, "\n"+at)
			if !found {
				t.Fatalf("no %s in the script", at)
			}
			out, _ := psql(t, bin, s.URL(s.Database(t)), before+command+at+after)
			if _, err := os.Stat(touched); err == nil || !strings.Contains(out, "restricted") {
				t.Fatalf("a command before %s was run: %s", at, out)
			}
		}
		// A psql that does not know the line stops there, whatever it was told.
		old := s.Database(t)
		out, err := psql(t, bin, s.URL(old), strings.Replace(script, "\n\\restrict ", "\n\\unknown ", 1), "-v", "VERSION_NUM=150010")
		if err == nil || !strings.Contains(out, "knows no \\restrict") {
			t.Errorf("%v: %s", err, out)
		}
		if got := s.Query(t, old, "SELECT to_regclass('t') IS NULL"); got != "true" && got != "t" {
			t.Errorf("an old psql loaded on: %s", got)
		}
	})
}
