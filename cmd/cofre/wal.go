package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/wal"
)

func newWALCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Archive and fetch WAL, and say which moments can be recovered",
	}
	cmd.AddCommand(edge.NewWALArchiveCommand(&a.App), edge.NewWALFetchCommand(&a.App), newWALStreamCommand(a), newWALStatusCommand(a), newWALAcknowledgeCommand(a), newWALMendCommand(a), newWALAdmitCommand(a))
	return cmd
}

func newWALStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which moments can be recovered, and where WAL is missing",
		Args:  cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			status, err := in.WAL().Status(ctx)
			if err != nil {
				return err
			}
			return a.ShowWAL(status)
		}),
	}
}

func newWALMendCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "mend",
		Short: "Store in each repository what it has lost of WAL and another has",
		Long: `Store in the repository and in every copy what it has lost of WAL and another of them has: segments and histories that are
missing, and those that are known to be damaged. Each is read back and proven before it is stored; a good one is never replaced, and what
was damaged is kept beside. A copy that was added later gets the WAL that recovery from the base backups needs.

The history of a timeline that none of them has any more is derived from the first WAL that was written on it: which timeline was
left, and where. A recovery needs no more.

What could not be stored is named, and exits with 3. No server is asked: cofre backup cluster asks it, too.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			done, err := in.WAL().Mend(ctx)
			return a.ShowMended(done, err)
		}),
	}
}

type walAcknowledgeCommand struct {
	why    string
	system uint64
}

func newWALAcknowledgeCommand(a *app) *cobra.Command {
	var c walAcknowledgeCommand
	cmd := &cobra.Command{
		Use:   "acknowledge FROM TO",
		Short: "Record that a gap is known, so that it raises no alarm any more",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.why == "" {
				return cofre.WithHint(edge.UsageError(cmd, cofre.Fail(cofre.Say("gap.no_reason", "an acknowledgement needs a reason"))), cofre.Say("gap.why", "add --why TEXT"))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				return c.run(ctx, a, in, args[0], args[1])
			})
		},
	}
	cmd.Flags().StringVar(&c.why, "why", "", "`TEXT` for whoever finds the gap later")
	cmd.Flags().Uint64Var(&c.system, "system", 0, "system `IDENTIFIER`, if the repository holds WAL of several")
	return cmd
}

func (c *walAcknowledgeCommand) run(ctx context.Context, a *app, in *installation.Installation, from, to string) error {
	known, err := wal.Known(from, to)
	if err != nil {
		return edge.Usage(err)
	}
	known.Why = c.why
	known, err = in.WAL().Acknowledge(ctx, cofre.SystemID(c.system), known)
	if err != nil {
		return err
	}
	return a.ShowAcknowledged(known)
}
