package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/restore/plan"
)

type walExpireCommand struct {
	dryRun bool
	yes    bool
}

// expiredWAL is what of one system's WAL is, or would be, removed.
type expiredWAL struct {
	System   cofre.SystemID `json:"system_identifier"`
	Segments int            `json:"segments"`
	Objects  int            `json:"objects"`
	Copy     string         `json:"copy,omitempty"` // empty for the repository itself
}

func newWALExpireCommand(a *app) *cobra.Command {
	var c walExpireCommand
	cmd := &cobra.Command{
		Use:   "expire",
		Short: "Remove WAL that nothing kept and nothing promised needs",
		Long: `Remove the WAL that no base backup in the catalog needs and that is older than the window that cluster.keep promises.

Every base backup in the catalog keeps the WAL that makes it consistent, and the newest one older than the window keeps
all WAL since. Without a base backup, nothing goes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo)
			})
		},
	}
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "say how much would go, and remove nothing")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *walExpireCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader) error {
	since := promisedSince(cfg)
	if since.IsZero() {
		return cofre.WithHint(fmt.Errorf("expire WAL: every moment is promised: %w", cofre.ErrConfig), "say how far back a moment must be reachable: cluster.keep.days")
	}
	expire := func(remove bool) ([]expiredWAL, int, error) {
		all, segments := []expiredWAL{}, 0
		err := eachWAL(ctx, cfg, repo, func(held []holding, backups []plan.BaseBackup) error {
			var errs []error
			for i, h := range held {
				if h.err != nil {
					errs = append(errs, fmt.Errorf("copies[%d]: %w", i-1, h.err))
					continue
				}
				gone, err := wal.Expire(ctx, h.store, h.inv, backups, since, remove)
				errs = append(errs, err)
				if gone.Objects == 0 {
					continue
				}
				e := expiredWAL{System: h.inv.SystemID, Segments: gone.Segments, Objects: gone.Objects}
				if i > 0 {
					e.Copy = h.repository.URL
				}
				all = append(all, e)
				segments += gone.Segments
			}
			return errors.Join(errs...)
		})
		return all, segments, err
	}
	all, segments, err := expire(false)
	if err != nil {
		return err
	}
	verb := "to be removed"
	if !c.dryRun && len(all) > 0 {
		if err := a.confirm(ctx, c.yes, fmt.Sprintf("remove %d WAL segments from before %s", segments, since.UTC().Format("2006-01-02 15:04:05Z"))); err != nil {
			return err
		}
		if all, _, err = expire(true); err != nil {
			return err
		}
		verb = "removed"
	}
	if a.JSON {
		return a.Document(struct {
			Since   string       `json:"promised_since"`
			Removed bool         `json:"removed"`
			Systems []expiredWAL `json:"systems"`
		}{since.UTC().Format("2006-01-02T15:04:05Z"), verb == "removed", all})
	}
	if len(all) == 0 {
		fmt.Fprintf(a.Out, "nothing to remove: all WAL is needed by a base backup or since %s\n", since.UTC().Format("2006-01-02 15:04:05Z"))
	}
	for _, e := range all {
		in := ""
		if e.Copy != "" {
			in = " in " + e.Copy
		}
		fmt.Fprintf(a.Out, "system %s: %d segments %s%s\n", e.System, e.Segments, verb, in)
	}
	return nil
}
