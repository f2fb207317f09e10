package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

func newStatusCommand(a *app) *cobra.Command {
	var every time.Duration
	var breaches bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say on one screen how the installation stands",
		Long: `Say of each source to when it can be restored right now, how much work would be lost, how deep it is proven, and when it is due; of the
repository how much it holds, how it grows and when its place is full; what failed and why; and what is to be done, each with its command.

On top stands one verdict, the worst of all: OK (exit 0); ATTENTION (25), something is to be looked at, and what is promised can be restored; UNKNOWN
(26), something could not be read; AT RISK (27), something that is promised cannot be restored now, or soon will not be.

RPO is how old the newest moment is that can be restored: at most so much would be lost. It is measured against objectives.rpo; configuration files are
not, and neither is a database whose cluster archives its WAL as well. Of WAL the list is looked at; cofre wal status, and cofre verify, read it.

--breaches lists instead when an objective was not reached, as the journal says it, and why: from when the newest whole backup was older than
objectives.rpo, until the next one was published; from a drill that took longer than objectives.rto, until one that did not. It exits with 0.`,
		Example: `  cofre status
  cofre status --watch=1m
  cofre status --breaches
  cofre status --quiet || notify-on-call`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every > 0 && a.JSON {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("status.one_document", "--json prints one document, and --watch many screens")))
			}
			if every > 0 && breaches {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("status.one_list", "--breaches prints one list, and --watch many screens")))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				if every > 0 {
					return a.WatchStatus(ctx, every, in.Status)
				}
				s, err := in.Status(ctx)
				if err != nil {
					return err
				}
				if breaches {
					return a.ShowBreaches(s)
				}
				return a.ShowStatus(s)
			})
		},
	}
	cmd.Flags().DurationVar(&every, "watch", 0, "show it again every `DURATION`, until Ctrl-C, which exits with 0")
	cmd.Flags().Lookup("watch").NoOptDefVal = "10s"
	cmd.Flags().BoolVar(&breaches, "breaches", false, "list when an objective was not reached, and why")
	return cmd
}
