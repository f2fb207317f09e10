package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/demo"
	"github.com/trustlayer/cofre/internal/language"
)

func newDemoCommand(a *app) *cobra.Command {
	o := demo.Options{Out: a.Out}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Back up, destroy and restore a real installation, made for the purpose",
		Long: `Make an installation like TrustLayer's in a PostgreSQL server of its own, back it up, destroy it, restore it, and
compare what came back with what there was: every row, sequence, policy, grant and file. The commands that run are the
product's own, shown as they run. It touches nothing else on this machine, and nothing is left.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Text = a.Text
			if !a.Speaker().English() {
				o.Language = string(language.Portuguese)
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "leave it running, and say how to look at it and how to end it")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "a `DIR` to work in that does not exist or is empty (default: a temporary one)")
	cmd.Flags().StringVar(&o.BinDir, "postgres", "", "the `DIR` with the programs of the PostgreSQL to use (default: the newest found)")
	return cmd
}
