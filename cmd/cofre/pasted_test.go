package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// Every command that a message tells somebody to type has the configuration that was named on the command line: without it, it would be of another repository.
func TestEveryCommandOfAMessageHasTheConfiguration(t *testing.T) {
	var names []string
	for _, c := range newRootCommand(&app{}).Commands() {
		switch c.Name() {
		case "demo", "version", "help", "completion": // read no configuration
		default:
			names = append(names, regexp.QuoteMeta(c.Name()))
		}
	}
	typed := regexp.MustCompile(`(?:^|[^\w/.-])cofre (` + strings.Join(names, "|") + `)(?:$|[^\w-])`)
	a := &edge.App{ConfigFile: "/etc/other.yaml"}
	for _, file := range []string{"../../docs/en/errors/messages.md", "../../docs/pt-BR/errors/messages.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for line := range strings.Lines(string(text)) {
			found += len(typed.FindAllString(line, -1))
			if left := typed.FindString(a.Pasted(line)); left != "" {
				t.Errorf("%s: %q stays without --config in: %s", file, left, line)
			}
		}
		if found < 100 {
			t.Errorf("%s: only %d commands", file, found)
		}
	}
}
