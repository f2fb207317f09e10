package main

import (
	"testing"

	"github.com/spf13/cobra"
)

// A command that is printed is one that a person would type.
func TestCommandLineIsAsTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typed []string
		want  string
	}{
		{[]string{"latest", "--quiet", "--to", "copy"}, "restore --quiet --to copy latest --accept 'public.a: rows'"},
		{[]string{"--owner=false", "--to=", "latest"}, "restore --owner=false --to '' latest --accept 'public.a: rows'"},
		{[]string{"--to=-odd", "--jobs", "3", "--accept", "b c", "latest"}, "restore --accept 'b c' --jobs 3 --to=-odd latest --accept 'public.a: rows'"},
		{[]string{"--server", "postgres://u:secret@h/d", "latest"}, "restore --server 'postgres://u:xxxxx@h/d' latest --accept 'public.a: rows'"},
		{[]string{"--config", "x.yaml", "latest"}, "restore latest --accept 'public.a: rows'"}, // whoever shows it names the configuration
	} {
		var got string
		cmd := &cobra.Command{Use: "restore", Run: func(cmd *cobra.Command, args []string) {
			got = commandLine(cmd, args, "accept", []string{"public.a: rows"})
		}}
		f := cmd.Flags()
		f.Bool("quiet", false, "")
		f.Bool("owner", true, "")
		f.String("to", "", "")
		f.String("server", "", "")
		f.String("config", "", "")
		f.Int("jobs", 0, "")
		f.StringArray("accept", nil, "")
		cmd.SetArgs(c.typed)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
	}
}
