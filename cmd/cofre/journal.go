package main

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

type journalCommand struct {
	since string
	tz    string
	lines []string
	key   string
	full  bool
}

func newJournalCommand(a *app) *cobra.Command {
	var c journalCommand
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Show what happened to the repository, in order, and prove that it is all of it",
		Long: `Show what happened to the repository: points published, runs that failed, verifications, restores, what was removed, gaps
acknowledged, keys and configurations changed. Nothing in the journal is ever rewritten. It needs no password.

What is shown is compared with the signed checkpoints, and with the newest one that this machine has seen.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error { return c.list(ctx, a, in) }),
	}
	cmd.Flags().StringVar(&c.since, "since", "", "only what is newer than this `TIME`, RFC 3339 with an offset, or than a checkpoint, the whole line")
	cmd.Flags().StringVar(&c.tz, "tz", "", "time `ZONE` of --since, as in America/Sao_Paulo")
	cmd.AddCommand(a.expecting(newJournalVerifyCommand(a)), newJournalShowCommand(a), newJournalAcknowledgeCommand(a))
	return cmd
}

func newJournalVerifyCommand(a *app) *cobra.Command {
	var c journalCommand
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that nobody has rewritten the journal",
		Long: `Read the journal, and compare it with its signed checkpoints, with the newest one that this machine has seen, and with the
lines that you give. What was dropped, changed, put in another order, cut off, forked or taken back is named, and exits with 20.

It needs neither the password nor the recovery points. Whoever holds the repository and its key can write a whole journal anew: a
line that somebody kept elsewhere, on paper or in a mail, shows it.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			return c.verify(ctx, a, in)
		}),
	}
	cmd.Flags().StringArrayVar(&c.lines, "since", nil, "a checkpoint that somebody kept, the whole `LINE`; may be repeated")
	cmd.Flags().StringVar(&c.key, "key", "", "the public `KEY` that must have signed it, as the recovery kit has it (default: the one that this machine knows)")
	cmd.Flags().BoolVar(&c.full, "full", false, "read every entry and checkpoint, also those that are bundled and that nobody has touched since")
	return cmd
}

func newJournalShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show NO",
		Short: "Show all of one entry, also what is encrypted of it",
		Long: `Show the entry of this number as JSON, with what is encrypted of it: reasons, names, texts of errors. That needs the password. The
journal is verified first, as cofre journal verify does.`,
		Example: "  cofre journal show 42",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return edge.Usage(cofre.Fail(cofre.Say("journal.no_number", "an entry has a number, as cofre journal shows it: {{.arg}}", "arg", cofre.Verbatim(args[0]))))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				entry, err := in.Journal().Entry(ctx, n)
				if entry == nil {
					return err
				}
				return cmp.Or(a.Document(entry), err)
			})
		},
	}
}

func newJournalAcknowledgeCommand(a *app) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "acknowledge POINT|OBJECT",
		Short: "Record that it is known that a recovery point, or an entry, is lost",
		Long: `Record that it is known that a recovery point is lost which the journal says was published, and which is not in the catalog any
more. cofre verify finds it no more then, and cofre prune goes on and may delete what is left of it.

With the name of an object, as cofre journal verify shows it, record that this part of the journal is damaged for good. It is found
no more, and cofre expire goes on; what only that part said does not count, a hold too.

With a point that is there, and that a wrong clock has dated, record that its time is not believed: it counts as of the time of the point that was
published next, so that latest, cofre expire and cofre status go on.`,
		Example: "  cofre journal acknowledge 20261126T195247Z-oagg --why 'its disk is gone'\n  cofre journal acknowledge journal/entry/000000000041 --why 'the disk had bad sectors'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return edge.Usage(cofre.Fail(cofre.Say("hold.needs_why", "a reason is needed: --why REASON")))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				if err := in.Journal().Acknowledge(ctx, args[0], why); err != nil {
					return err
				}
				return a.ShowLossAcknowledged(args[0], in.Checkpoint())
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "the `REASON`, for whoever asks later")
	return cmd
}

func (c *journalCommand) list(ctx context.Context, a *app, in *installation.Installation) error {
	var o journaling.Reading
	var after time.Time
	if c.since != "" {
		line, err := journal.ParseCheckpoint(c.since)
		if err == nil {
			o.Since = append(o.Since, line)
		} else if after, err = cofre.ParseMoment(c.since, c.tz); err != nil {
			return edge.Usage(err)
		}
	}
	entries := o.Collect(after)
	res, err := in.Journal().Verify(ctx, c.key, o)
	if res == nil {
		return err
	}
	return a.ShowJournal(*entries, res, err)
}

func (c *journalCommand) verify(ctx context.Context, a *app, in *installation.Installation) error {
	o := journaling.Reading{Full: c.full, Sealed: true}
	for _, text := range c.lines {
		line, err := journal.ParseCheckpoint(text)
		if err != nil {
			return edge.Usage(err)
		}
		o.Since = append(o.Since, line)
	}
	res, err := in.Journal().Verify(ctx, c.key, o)
	if res == nil {
		return err
	}
	return a.ShowJournalVerified(res, err)
}
