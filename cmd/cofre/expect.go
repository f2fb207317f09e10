package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

// expected are the lines that the storage must hold before a command goes on.
type expected struct {
	lines []string
	again string // the command without them
}

// expecting gives a command, and those below it, the flag with which somebody brings the lines that were kept.
func (a *app) expecting(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringArrayVar(&a.expected.lines, "expect", nil, "refuse unless the storage holds this checkpoint of the journal, the whole `LINE` as a backup printed it; may be repeated")
	for _, c := range append([]*cobra.Command{cmd}, cmd.Commands()...) {
		if run := c.RunE; run != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				a.expected.again = commandLine(cmd, args, "", nil)
				for _, line := range a.expected.lines {
					typed := typedFlag(cmd.Flag("expect"), line)
					a.expected.again = strings.ReplaceAll(a.expected.again, " "+strings.Join(typed, " "), "")
				}
				return run(cmd, args)
			}
		}
	}
	return cmd
}

// check refuses if the storage does not hold what was expected.
func (e expected) check(ctx context.Context, in *installation.Installation) error {
	if len(e.lines) == 0 {
		return nil
	}
	lines := make([]journal.Checkpoint, len(e.lines))
	for i, text := range e.lines {
		var err error
		if lines[i], err = journal.ParseCheckpoint(text); err != nil {
			return edge.Usage(err)
		}
	}
	return journaling.Expect(ctx, in.Journal().Verify, lines, e.again)
}
