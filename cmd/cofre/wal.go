package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walmend"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
)

func newWALCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Archive and fetch WAL, and say which moments can be recovered",
	}
	cmd.AddCommand(edge.NewWALArchiveCommand(&a.App), edge.NewWALFetchCommand(&a.App), newWALStreamCommand(a), newWALStatusCommand(a), newWALAcknowledgeCommand(a), newWALMendCommand(a))
	return cmd
}

func newWALStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which moments can be recovered, and where WAL is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return walStatus(ctx, a, in) })
		},
	}
}

func walStatus(ctx context.Context, a *app, in *installation.Installation) error {
	status, err := in.WAL().Status(ctx)
	if err != nil {
		return err
	}
	alarm := status.Trouble()
	if a.JSON {
		doc := struct {
			Systems       []wal.Status        `json:"systems"`
			Archiving     *archiving.Archiver `json:"archiving,omitempty"`
			ArchivingSays string              `json:"archiving_unknown,omitempty"` // why the server could not be asked
			Error         *edge.ErrorDocument `json:"error,omitempty"`
		}{status.Systems, status.Archiver, "", edge.DocumentOf(alarm)}
		if status.ArchiverErr != nil {
			doc.ArchivingSays = cofre.OneLine(status.ArchiverErr)
		}
		if err := a.Document(doc); err != nil {
			return err
		}
		return alarm
	}
	for _, s := range status.Systems {
		a.ShowWAL(s)
	}
	a.ShowArchiving(status.Archiver, status.ArchiverErr)
	return alarm
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return walMend(ctx, a, in) })
		},
	}
}

func walMend(ctx context.Context, a *app, in *installation.Installation) error {
	done, err := in.WAL().Mend(ctx)
	if a.JSON {
		doc := struct {
			Files []walmend.File      `json:"files"`
			Error *edge.ErrorDocument `json:"error,omitempty"`
		}{done, edge.DocumentOf(err)}
		return cmp.Or(a.Document(doc), err)
	}
	if len(done) > 0 || err == nil {
		a.ShowMended(done)
	}
	return err
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
	if a.JSON {
		return a.Document(known)
	}
	if a.Quiet {
		return nil
	}
	a.Line(a.Out, cofre.Say("gap.acknowledged", "acknowledged: segments {{.from}} to {{.to}}", "from", from, "to", to))
	return nil
}
