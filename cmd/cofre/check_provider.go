package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

func newCheckProviderCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check-provider BUCKET",
		Short: "Try whether the configured storage does what backups and restores need of it",
		Long: `Write, read, list, overwrite and delete objects in an existing bucket of the configured storage, below a prefix of
their own that is emptied in the end; nothing else in the bucket is touched. The checks are those that every store
cofre knows has to pass. Names that a provider refuses are told; a name it mistakes for another is an error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return checkProvider(cmd.Context(), a, args[0]) },
	}
}

func checkProvider(ctx context.Context, a *app, id string) error {
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, cfg)
	if err != nil {
		return err
	}
	report, err := bucket.CheckProvider(ctx, store, id)
	if err != nil {
		return err
	}
	if !report.OK() {
		err = fmt.Errorf("check %s: %w", report.Store.URL, cofre.ErrFindings)
	}
	if a.JSON {
		if perr := a.Document(report); perr != nil {
			return perr
		}
		return err
	}
	var rows [][]string
	for _, c := range report.Checks {
		mark, detail := "ok", strings.Join(c.Notes, "; ")
		if c.Err != "" {
			mark, detail = "FAILS", c.Err
		}
		rows = append(rows, []string{mark, c.Name, detail})
	}
	columns(a.Out, nil, rows)
	return err
}
