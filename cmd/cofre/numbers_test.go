package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every flag that is a number or a duration refuses what is none and what is less than zero, by its name, before anything is done.
func TestEveryNumberOfAFlagIsRefusedByName(t *testing.T) {
	numeric := []string{"int", "int32", "int64", "uint", "uint32", "uint64", "float64", "duration"}
	found := 0
	var visit func(*cobra.Command, []string)
	visit = func(cmd *cobra.Command, path []string) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !slices.Contains(numeric, f.Value.Type()) {
				return
			}
			found++
			refused := 2
			if cmd.Name() == "fetch" {
				refused = 126 // PostgreSQL takes less for the end of the WAL
			}
			for _, wrong := range []string{"-1", "x", "1.5", "-5m", ""} {
				var out bytes.Buffer
				code := call(append(slices.Clone(path), "--"+f.Name+"="+wrong), &out)
				if said := out.String(); code != refused || !strings.Contains(said, "--"+f.Name) {
					t.Errorf("cofre %s --%s=%s exits with %d and says %q", strings.Join(path, " "), f.Name, wrong, code, said)
				}
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub, append(slices.Clone(path), sub.Name()))
		}
	}
	for _, cmd := range commands(&app{}) {
		visit(cmd, []string{cmd.Name()})
	}
	if found < 10 {
		t.Errorf("only %d such flags were found", found)
	}
}
