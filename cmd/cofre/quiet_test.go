package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// unquiet are the commands that no script calls with --quiet, and why.
var unquiet = map[string]string{
	"wal stream": "it does not end",
	"demo":       "what it prints is all that it is for",
}

// Each command is called with --quiet in a script, which says what it prints if nothing is wrong: nothing, or what was asked for.
func TestEveryCommandIsCalledQuietly(t *testing.T) {
	var lines []string
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "--quiet") {
				lines = append(lines, line)
			}
		}
	}
	all := strings.Join(lines, "")
	var visit func(path string, cmds []*cobra.Command)
	visit = func(path string, cmds []*cobra.Command) {
		for _, c := range cmds {
			name := strings.TrimSpace(path + " " + c.Name())
			if c.HasSubCommands() {
				visit(name, c.Commands())
				continue
			}
			if called := regexp.MustCompile(`cofre ` + name + `\b`).MatchString(all); !called && unquiet[name] == "" {
				t.Errorf("no script calls cofre %s --quiet", name)
			}
		}
	}
	visit("", commands(&app{}))
}
