package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal"
)

type checkCommand struct {
	timeout time.Duration
}

func newCheckCommand(a *app) *cobra.Command {
	var c checkCommand
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Send a mark through the whole way of WAL, and read it back",
		Long: `Write a mark into the WAL of the configured cluster, end its segment, wait until it is in the repository and in every
copy, read it back from each, and look for the mark. What doctor finds by looking, check finds by doing.

It needs a role that may call pg_switch_wal, and costs at most one segment of WAL.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in.Config()) })
		},
	}
	cmd.Flags().DurationVar(&c.timeout, "timeout", time.Minute, "how `LONG` to wait for the segment")
	return cmd
}

// checkDocument is the JSON document of a check.
type checkDocument struct {
	*wal.Probed
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

func (c *checkCommand) run(ctx context.Context, a *app, cfg *config.Config) error {
	probe, err := c.probe(ctx, cfg)
	if err != nil {
		return err
	}
	obs, end := a.progress(ctx)
	probe.Observer = obs
	done, err := probe.Run(ctx)
	end()
	if a.JSON {
		if perr := a.Document(checkDocument{done, edge.DocumentOf(edge.Interrupted(ctx, err))}); perr != nil {
			return perr
		}
		return err
	}
	if err != nil || a.Quiet {
		return err
	}
	fmt.Fprintf(a.Out, "segment %s of system %s, with a mark at %s\n", done.Segment, done.System, done.LSN)
	for _, r := range done.Read {
		fmt.Fprintf(a.Out, "read back from %s, archived in %s\n", r.URL, took(time.Duration(r.Seconds*float64(time.Second))))
	}
	return nil
}

func (c *checkCommand) probe(ctx context.Context, cfg *config.Config) (wal.Probe, error) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return wal.Probe{}, cofre.WithHint(fmt.Errorf("check the way of WAL: the configuration keeps none: %w", cofre.ErrConfig),
			"say in the section cluster how it comes to the repository: wal: archive, or wal: stream")
	}
	server, err := serverOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return wal.Probe{}, err
	}
	probe := wal.Probe{Postgres: server, Timeout: c.timeout, Streamed: cfg.Cluster.WAL == config.WALStream}
	for _, r := range cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		if err != nil {
			return wal.Probe{}, err
		}
		probe.Archives = append(probe.Archives, wal.Archive{Store: st})
		probe.Unlock = append(probe.Unlock, walstore.Unlock(ctx, r, st))
	}
	return probe, nil
}
