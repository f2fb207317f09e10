package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/runs"
)

type runsCommand struct {
	since  string
	kind   string
	failed bool
	last   int
}

func newRunsCommand(a *app) *cobra.Command {
	var c runsCommand
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List what ran, and how it ended",
		Long: `List what ran, the newest last: backups, restores, verifications, drills, adoptions, exports, what was expired, pruned, held and acknowledged.

It needs no password. A run that was killed is seen as such: on its host at once, and elsewhere when the next run of that host has told the
journal. A run that could not reach the repository is listed on its host until then.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, err := c.want()
			if err != nil {
				return edge.Usage(err)
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				all, err := in.Runs(ctx, want)
				return a.ShowRuns(all, err)
			})
		},
	}
	cmd.Flags().StringVar(&c.since, "since", "", "only what began at this `TIME` or later, RFC 3339 with an offset")
	cmd.Flags().StringVar(&c.kind, "kind", "", "only this `KIND`: backup, restore, verify, expire, prune, and so on")
	cmd.Flags().BoolVar(&c.failed, "failed", false, "only what did not do all that it was to do")
	cmd.Flags().IntVar(&c.last, "last", 20, "only the newest `N`; 0 is all")
	cmd.AddCommand(newRunsShowCommand(a))
	return cmd
}

func (c *runsCommand) want() (w runs.Want, err error) {
	w.Failed, w.Last = c.failed, c.last
	if c.kind != "" {
		if w.Kind, err = cofre.ParseRunKind(c.kind); err != nil {
			return w, err
		}
	}
	if c.since != "" {
		w.Since, err = cofre.ParseMoment(c.since, "")
	}
	return w, err
}

func newRunsShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show RUN",
		Short: "Show what a run did, step by step",
		Long: `Show what a run did: its steps with bytes and speed, what it captured, warnings, findings, hooks, and why it failed.

RUN is an id, an unambiguous beginning or end of one, or latest. What a run did is in its log, which is encrypted; without the password, and of runs of
before there were logs, what the journal says is shown.`,
		Args: cobra.ExactArgs(1),
		RunE: a.with(func(ctx context.Context, in *installation.Installation, args []string) error {
			d, err := in.Run(ctx, args[0])
			if err != nil {
				return err
			}
			return a.ShowRun(d)
		}),
	}
}
