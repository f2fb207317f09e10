package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRowsOfSecurityAreTests: each row of the page of security names tests, which exist, in both languages alike.
func TestRowsOfSecurityAreTests(t *testing.T) {
	there := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".txtar") {
			there[d.Name()] = true
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+|[\\w-]+\\.txtar)`")
	header, unseen := regexp.MustCompile(`^\| (who holds what|quem tem o quê) `), regexp.MustCompile(`\| (not seen|não se vê): [^|]*\|\s*$`)
	counts := map[string]int{}
	for _, page := range []string{"../../docs/en/security.md", "../../docs/pt-BR/security.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		// Of what is not seen there is nothing to test.
		for row := range strings.Lines(string(text)) {
			if strings.HasPrefix(row, "| ") && !header.MatchString(row) && !unseen.MatchString(row) && !named.MatchString(row) {
				t.Errorf("%s: a row that no test is named for: %s", page, row)
			}
		}
		all := named.FindAllStringSubmatch(string(text), -1)
		if len(all) < 20 {
			t.Errorf("%s names only %d tests", page, len(all))
		}
		for _, m := range all {
			counts[m[1]]++
			if !there[m[1]] {
				t.Errorf("%s names %s, which is no test", page, m[1])
			}
		}
	}
	if len(counts) < 10 {
		t.Errorf("only %d tests are named", len(counts))
	}
	for name, n := range counts {
		if n%2 != 0 {
			t.Errorf("%s is named in one language only", name)
		}
	}
}
