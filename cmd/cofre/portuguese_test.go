package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/language"
)

// In Portuguese no line of what the main commands print is an English sentence of the catalogue.
func TestPortuguesePrintsNoEnglishLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("password", "a long enough one")
	write("files/a", "one")
	write("buckets/avatars/b", "two")
	write("cofre.yaml", "name: test\nstate_dir: state\nrepository: {url: repo, password: \"file:password\"}\nconfig: {paths: [files/a]}\nstorage: {folder: {path: buckets}}\n")
	write("wrong.yaml", "nome: test\nrepository: {url: s3://, password: hunter2}\nstorage: []\n")
	english := sentences(t)
	for _, args := range []string{
		"list", "init", "init", "kit", "doctor", "backup", "backup nada", "list", "list --all", "list --last x", "show latest", "show nada", "verify", "verify --level content",
		"restore config latest --to restored --dry-run", "restore config latest --to restored", "restore config latest --to restored", "restore config latest",
		"restore storage latest", "restore storage latest --keep-in a --no-keep", "restore database latest", "restore cluster --to x --at 10:00", "restore table a latest --full --bare",
		"export latest", "wal status", "expire", "wal acknowledge 1 2", "adopt nada", "check", "lits", "list --config wrong.yaml", "list --config none.yaml",
	} {
		words := strings.Fields(args)
		if strings.Contains(args, "--config") {
			words[len(words)-1] = filepath.Join(dir, words[len(words)-1])
		} else {
			words = append(words, "--config", filepath.Join(dir, "cofre.yaml"))
		}
		for i, w := range words {
			if w == "restored" || w == "x" {
				words[i] = filepath.Join(dir, w)
			}
		}
		var out bytes.Buffer
		call(append(words, "--lang", "pt-BR"), &out)
		for line := range strings.Lines(out.String()) {
			for _, e := range english {
				if e.english.MatchString(strings.TrimSpace(line)) && !e.portuguese.MatchString(strings.TrimSpace(line)) {
					t.Errorf("cofre %s prints in English (%s): %s", args, e.code, line)
				}
			}
		}
	}
}

type bilingual struct {
	code                string
	english, portuguese *regexp.Regexp
}

// sentences are those of the catalogue with three words or more beside their arguments, that read otherwise in Portuguese.
func sentences(t *testing.T) (all []bilingual) {
	t.Helper()
	entries, err := language.ReadCatalogue(os.DirFS(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	argument := regexp.MustCompile(`\\\{\\\{\\\.[a-zA-Z]+\\\}\\\}`)
	pattern := func(text string) *regexp.Regexp {
		return regexp.MustCompile(`(^|: |  )` + argument.ReplaceAllString(regexp.QuoteMeta(text), `.+`) + `($|: )`)
	}
	for _, e := range entries {
		said := regexp.MustCompile(`\{\{\.[a-zA-Z]+\}\}`).ReplaceAllString(e.ID, "")
		if e.Context == language.HelpContext || len(strings.Fields(said)) < 3 || strings.Contains(e.ID, "\n") || e.Translation[0] == e.ID {
			continue
		}
		all = append(all, bilingual{e.Context, pattern(e.ID), pattern(e.Translation[0])})
	}
	return all
}
