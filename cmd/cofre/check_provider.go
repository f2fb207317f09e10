package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/installation"
)

func newCheckProviderCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check-provider BUCKET",
		Short: "Try whether the configured storage does what backups and restores need of it",
		Long: `Write, read, list, overwrite and delete objects in an existing bucket of the configured storage, below a prefix of
their own that is emptied in the end; nothing else in the bucket is touched. The checks are those that every store
cofre knows has to pass. Names that a provider refuses are told; a name it mistakes for another is an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				return checkProvider(ctx, a, in, args[0])
			})
		},
	}
}

func checkProvider(ctx context.Context, a *app, in *installation.Installation, id string) error {
	report, err := in.CheckProvider(ctx, id)
	if err != nil && !errors.Is(err, cofre.ErrFindings) {
		return err
	}
	if a.JSON {
		if perr := a.Document(report); perr != nil {
			return perr
		}
		return err
	}
	var rows [][]string
	for _, c := range report.Checks {
		mark, detail := a.Text(cofre.Say("doctor.ok", "ok")), strings.Join(c.Notes, "; ")
		if c.Err != "" {
			mark, detail = a.Text(cofre.Say("provider.fails", "FAILS")), c.Err
		} else if a.Quiet {
			continue
		}
		rows = append(rows, []string{mark, c.Name, detail})
	}
	screen.Columns(a.Out, nil, rows)
	return err
}
