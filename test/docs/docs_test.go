package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/internal/testkit"
)

// A page's blocks of console text are run in one shell, in their order: each line that begins with "$ " is a command
// ("> " goes on with it), and what follows must be found in what it prints, line by line; … stands for anything.
// "# exit 23" at the end of a command is the exit code it must have. A comment before a block says that it is not run, and why.
type command struct {
	line int
	text string
	exit int
	want []string
}

var exitCode = regexp.MustCompile(`\s+# exit (\d+)$`)

func parse(t *testing.T, page string) (commands []command, withBackup bool) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	inside, skip := false, false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			if inside = !inside && line == "```console"; !inside {
				skip = false
			}
		case strings.HasPrefix(line, "<!-- not run"):
			skip = true
		case strings.HasPrefix(line, "<!-- setup"):
			withBackup = true
		case !inside || skip:
		case strings.HasPrefix(line, "$ "):
			c := command{line: i + 1, text: line[2:]}
			if m := exitCode.FindStringSubmatch(c.text); m != nil {
				c.exit, _ = strconv.Atoi(m[1])
			}
			commands = append(commands, c)
		case strings.HasPrefix(line, "> "):
			commands[len(commands)-1].text += "\n" + line[2:]
		default:
			last := &commands[len(commands)-1]
			last.want = append(last.want, line)
		}
	}
	return commands, withBackup
}

func pages(t *testing.T, language string) []string {
	t.Helper()
	list, err := filepath.Glob("../../docs/" + language + "/*.md")
	if err != nil || len(list) == 0 {
		t.Fatal("no pages", err)
	}
	return list
}

// TestPagesSayWhatHappens runs every command of the English pages against a real server.
func TestPagesSayWhatHappens(t *testing.T) {
	program := testkit.Release(t, "../../cmd/cofre")
	server := testkit.Postgres(t, 0, testkit.Own())
	for _, page := range pages(t, "en") {
		t.Run(filepath.Base(page), func(t *testing.T) {
			commands, withBackup := parse(t, page)
			if len(commands) > 0 {
				run(t, place(t, server, filepath.Dir(program)), commands, withBackup)
			}
		})
	}
}

// TestTranslationsHaveTheSameCommands keeps the pages of both languages together: what runs in one runs in the other.
func TestTranslationsHaveTheSameCommands(t *testing.T) {
	for _, page := range pages(t, "en") {
		original, _ := parse(t, page)
		translation, _ := parse(t, filepath.Join("../../docs/pt-BR", filepath.Base(page)))
		if len(original) != len(translation) {
			t.Errorf("%s: %d commands, and %d in Portuguese", page, len(original), len(translation))
			continue
		}
		for i, c := range original {
			if other := translation[i]; c.text != other.text || strings.Join(c.want, "\n") != strings.Join(other.want, "\n") {
				t.Errorf("%s, line %d: %q is %q in Portuguese, line %d, or its output differs", page, c.line, c.text, other.text, other.line)
			}
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// TestLinksLeadSomewhere looks at every relative link of the pages and of the READMEs.
func TestLinksLeadSomewhere(t *testing.T) {
	files := append(pages(t, "en"), pages(t, "pt-BR")...)
	files = append(files, "../../README.md", "../../README.pt-BR.md", "../../docs/architecture.md")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
	}
}

// stage is a machine for one page: its paths are below one folder, its server is real.
type stage struct {
	dir     string
	env     []string
	inside  *strings.Replacer // from the page to this machine
	outside *strings.Replacer // and back
}

func place(t *testing.T, server *testkit.Server, programs string) stage {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database WHERE datname LIKE 'trustlayer%'")
	if err != nil {
		t.Fatal(err)
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		execute(t, conn, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	}
	execute(t, conn, "CREATE DATABASE trustlayer")
	inner, err := pgx.Connect(ctx, server.URL("trustlayer"))
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close(context.WithoutCancel(ctx))
	execute(t, inner, "CREATE TABLE answers (id int PRIMARY KEY, body text NOT NULL)")
	execute(t, inner, "INSERT INTO answers SELECT i, 'resposta número ' || i FROM generate_series(1, 1000) i")

	s := stage{dir: t.TempDir()}
	for name, text := range map[string]string{"opt/.env": "SECRET=1\n", "opt/docker-compose.yml": "services: {}\n"} {
		p := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := []string{
		"postgres://postgres@localhost/trustlayer", server.URL("trustlayer"),
		"/etc/cofre", s.dir + "/etc", "/var/backups/trustlayer", s.dir + "/backups", "/opt/trustlayer", s.dir + "/opt",
		"/tmp/", s.dir + "/",
	}
	s.inside = strings.NewReplacer(there...)
	for pair := range slices.Chunk(there, 2) {
		slices.Reverse(pair)
	}
	s.outside = strings.NewReplacer(there...)
	s.env = []string{
		"PATH=" + programs + ":" + server.BinDir + ":" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C.UTF-8",
		"PGHOST=" + server.Socket, "PGPORT=" + strconv.Itoa(server.Port), "PGUSER=postgres",
	}
	return s
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

const backedUp = `
mkdir /etc/cofre && cd /etc/cofre && echo 'a long password' > password
cat > cofre.yaml <<'END'
name: trustlayer
repository: {url: /var/backups/trustlayer, password: file:password}
database: {url: "postgres://postgres@localhost/trustlayer"}
config: {paths: [/opt/trustlayer]}
END
cofre init >/dev/null && cofre backup -q >/dev/null || exit 99
`

func run(t *testing.T, s stage, commands []command, withBackup bool) {
	t.Helper()
	var script strings.Builder
	if withBackup {
		script.WriteString(s.inside.Replace(backedUp))
	}
	for i, c := range commands {
		fmt.Fprintf(&script, "%s\ncode=$?; echo; echo \"@@%d $code\"\n", s.inside.Replace(c.text), i)
	}
	file := filepath.Join(s.dir, "script")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", file)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	rest := s.outside.Replace(out.String())
	for i, c := range commands {
		mark := fmt.Sprintf("\n@@%d ", i)
		got, after, ok := strings.Cut(rest, mark)
		if !ok {
			t.Fatalf("line %d: the command did not end: %s\n%s", c.line, c.text, rest)
		}
		code, after, _ := strings.Cut(after, "\n")
		rest = after
		if code != strconv.Itoa(c.exit) {
			t.Errorf("line %d: %s\nexited with %s, not %d:\n%s", c.line, c.text, code, c.exit, got)
			continue
		}
		if missing := unmatched(c.want, got); missing != "" {
			t.Errorf("line %d: %s\ndoes not print %q in its place:\n%s", c.line, c.text, missing, got)
		}
	}
}

// unmatched is the first wanted line that is not found after the one before it.
func unmatched(want []string, got string) string {
	lines := strings.Split(got, "\n")
	for _, w := range want {
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(w), "…", ".*") + "$")
		found := -1
		for i, line := range lines {
			if pattern.MatchString(line) {
				found = i
				break
			}
		}
		switch {
		case found < 0 && w != "…":
			return w
		case w != "…":
			lines = lines[found+1:]
		}
	}
	return ""
}
