package cofre_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The page is drawn by hand; what it says of packages and functions is held against them here.
const architecturePage = "docs/architecture.md"

// TestTheArchitecturePageHasEveryPackage compares the table of heights with heights. Kits for tests are named above it.
func TestTheArchitecturePageHasEveryPackage(t *testing.T) {
	drawn := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]*) \|`).FindAllStringSubmatch(architecture(t), -1) {
		height, err := strconv.Atoi(row[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range packagesIn(row[2]) {
			drawn[dir] = height
		}
	}
	for dir := range goFiles(t) {
		want, _ := heightOf(dir)
		got, there := drawn[dir]
		for parent := filepath.Dir(dir); !there && parent != "."; parent = filepath.Dir(parent) {
			got, there = drawn[parent+"/…"]
		}
		if !isKit(dir) && (!there || got != want) {
			t.Errorf("%s: package %s is of height %d, and drawn: %v, at %d", architecturePage, dir, want, there, got)
		}
	}
	for dir := range drawn {
		if _, err := os.Stat(strings.TrimSuffix(dir, "/…")); err != nil {
			t.Errorf("%s: %s is drawn, and no package", architecturePage, dir)
		}
	}
}

// packagesIn lists the packages that a text names: `a`, `a/{b,c}`.
func packagesIn(text string) (dirs []string) {
	for _, m := range regexp.MustCompile("`([^`{]*)(?:\\{([^}]*)\\})?`").FindAllStringSubmatch(text, -1) {
		for inner := range strings.SplitSeq(m[2], ",") {
			dirs = append(dirs, m[1]+inner)
		}
	}
	return dirs
}

// TestTheWalksGoThroughTheCode looks up each function that a walk names in the package that it names it of, and that no walk returns
// to a command.
func TestTheWalksGoThroughTheCode(t *testing.T) {
	_, walks, _ := strings.Cut(architecture(t), "## Three walks")
	walks, _, _ = strings.Cut(walks, "\n## ")
	steps := 0
	for block := range strings.SplitSeq(walks, "\n\n") {
		for i, step := range regexp.MustCompile(`(?m)^- ([^:]*):`).FindAllStringSubmatch(block, -1) {
			steps++
			words := regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(step[1], -1)
			dir := words[0][1]
			if i > 0 && dir == "cmd/cofre" {
				t.Errorf("%s: a walk returns into cmd/cofre: %s", architecturePage, step[1])
			}
			for _, name := range words[1:] {
				if !strings.HasPrefix(name[1], "cofre.") && !declares(t, dir, name[1]) {
					t.Errorf("%s: %s has no %s", architecturePage, dir, name[1])
				}
			}
		}
	}
	if steps < 15 {
		t.Errorf("%s: %d steps were found in the walks, and 15 at least are", architecturePage, steps)
	}
}

// declares reports whether a package has a function, or a type with a method.
func declares(t *testing.T, dir, name string) bool {
	receiver, method, isMethod := strings.Cut(name, ".")
	pattern := `(?m)^(func (\([^)]*\) )?|type )` + name + `\b`
	if isMethod {
		pattern = `(?m)^func \(\w* ?\*?(?i:` + receiver + `)\) ` + method + `\b`
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && regexp.MustCompile(pattern).Match(text) {
			return true
		}
	}
	return false
}

func architecture(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(architecturePage)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
