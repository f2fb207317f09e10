package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// An example is a command that is pasted: it keeps its line.
func TestEveryHelpFitsAndLeadsToTheExitCodes(t *testing.T) {
	visit := func(args []string) {
		var out bytes.Buffer
		if code := call(append(args, "--help"), &out); code != 0 {
			t.Errorf("%q: help exits with %d", args, code)
		}
		if !strings.Contains(out.String(), "cofre help exit-codes") {
			t.Errorf("help of %q does not lead to the exit codes", args)
		}
		for line := range strings.Lines(out.String()) {
			example := strings.HasPrefix(line, "  cofre ") || strings.HasPrefix(line, "  archive_command") || strings.HasPrefix(line, "  restore_command")
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !example {
				t.Errorf("help of %q has a line of %d columns: %s", args, n, line)
			}
		}
	}
	visit(nil)
	for _, cmd := range commands(&app{}) {
		visit([]string{cmd.Name()})
		for _, sub := range cmd.Commands() {
			visit([]string{cmd.Name(), sub.Name()})
		}
	}
}

func TestTheExitCodesAreInOnePlaceOfTheHelp(t *testing.T) {
	var out bytes.Buffer
	if code := call([]string{"help", "exit-codes"}, &out); code != 0 {
		t.Errorf("exits with %d", code)
	}
	for _, line := range []string{"Exit codes:\n    0  done\n", "  12  wrong repository password\n", " 130  interrupted"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it lacks %q", line)
		}
	}
}

// call runs a command line inside the test, without an environment.
func call(args []string, out *bytes.Buffer) int {
	a := &app{App: edge.App{Stdio: edge.Stdio{In: strings.NewReader(""), Out: out, Err: out}, Getenv: func(string) string { return "" }}}
	return a.Run(context.Background(), newRootCommand(a), args)
}
