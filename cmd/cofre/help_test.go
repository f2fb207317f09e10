package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

func TestEveryHelpListsTheExitCodes(t *testing.T) {
	visit := func(args []string) {
		var out bytes.Buffer
		if code := call(append(args, "--help"), &out); code != 0 {
			t.Errorf("%q: help exits with %d", args, code)
		}
		for _, line := range []string{"Exit codes:\n    0  done\n", "  12  wrong repository password\n", " 130  interrupted"} {
			if !strings.Contains(out.String(), line) {
				t.Errorf("help of %q lacks %q", args, line)
			}
		}
	}
	for _, cmd := range commands(&app{}) {
		visit([]string{cmd.Name()})
		for _, sub := range cmd.Commands() {
			visit([]string{cmd.Name(), sub.Name()})
		}
	}
}

// call runs a command line inside the test, without an environment.
func call(args []string, out *bytes.Buffer) int {
	a := &app{App: edge.App{Stdio: edge.Stdio{In: strings.NewReader(""), Out: out, Err: out}, Getenv: func(string) string { return "" }}}
	return a.Run(context.Background(), newRootCommand(a), args)
}
