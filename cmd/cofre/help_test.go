package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/internal/language"
)

// An example is a command that is pasted: it keeps its line.
func TestEveryHelpFitsAndLeadsToTheExitCodes(t *testing.T) {
	for _, lang := range []string{"en", "pt-BR"} {
		everyHelpFits(t, lang)
	}
}

func everyHelpFits(t *testing.T, lang string) {
	visit := func(args []string) {
		var out bytes.Buffer
		if code := call(append(args, "--help", "--lang", lang), &out); code != 0 {
			t.Errorf("%q: help exits with %d", args, code)
		}
		if !strings.Contains(out.String(), "cofre help exit-codes") {
			t.Errorf("help of %q does not lead to the exit codes", args)
		}
		for line := range strings.Lines(out.String()) {
			example := strings.HasPrefix(line, "  cofre ") || strings.HasPrefix(line, "  archive_command") || strings.HasPrefix(line, "  restore_command")
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !example {
				t.Errorf("help of %q in "+lang+" has a line of %d columns: %s", args, n, line)
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
	a := &app{Screen: screen.Screen{App: edge.App{Stdio: edge.Stdio{In: strings.NewReader(""), Out: out, Err: out}, Getenv: func(string) string { return "" }}}}
	return a.Run(context.Background(), newRootCommand(a), args)
}

var update = flag.Bool("update", false, "bring the texts of the help into the catalogue")

const catalogue = "../../internal/language/pt_BR"

// The help of both programs is in the catalogue, in the words that it has now, translated; and nothing else is there. With
// -update what is new gets a place, and what no command says any more is taken away.
func TestEveryHelpIsTranslated(t *testing.T) {
	entries, err := language.ReadCatalogue(os.DirFS(catalogue))
	if err != nil {
		t.Fatal(err)
	}
	wanted := edge.HelpTexts(newRootCommand(&app{}), edge.NewWALRoot(&edge.App{}))
	if *update {
		entries = renewedHelp(entries, wanted)
		if err := language.WriteCatalogue(catalogue, entries); err != nil {
			t.Fatal(err)
		}
	}
	var there []string
	for _, e := range entries {
		if e.Context != language.HelpContext {
			continue
		}
		there = append(there, e.ID)
		switch {
		case !slices.Contains(wanted, e.ID):
			t.Errorf("no command says this any more (go test ./cmd/cofre -run Help -update takes it away): %s", e.ID)
		case !e.Translated():
			t.Errorf("not translated in %s/%s: %s", catalogue, language.FileOf(language.HelpContext), e.ID)
		case strings.Count(e.ID, "`") != strings.Count(e.Translation[0], "`"):
			t.Errorf("the word between backquotes, which stands for the value of the flag, is missing: %s", e.Translation[0])
		}
	}
	for _, w := range wanted {
		if !slices.Contains(there, w) {
			t.Errorf("not in the catalogue (go test ./cmd/cofre -run Help -update brings it): %s", w)
		}
	}
}

func renewedHelp(entries []language.Entry, wanted []string) []language.Entry {
	kept := slices.DeleteFunc(slices.Clone(entries), func(e language.Entry) bool {
		return e.Context == language.HelpContext && !slices.Contains(wanted, e.ID)
	})
	for _, w := range wanted {
		if !slices.ContainsFunc(kept, func(e language.Entry) bool { return e.Context == language.HelpContext && e.ID == w }) {
			kept = append(kept, language.Entry{Context: language.HelpContext, ID: w})
		}
	}
	return kept
}
