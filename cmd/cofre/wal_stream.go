package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal/stream"
)

type walStreamCommand struct {
	spool       string
	slot        string
	synchronous bool
	flush       time.Duration
	limit       string
}

func newWALStreamCommand(a *app) *cobra.Command {
	var c walStreamCommand
	cmd := &cobra.Command{
		Use:   "stream",
		Short: "Receive WAL from a replication slot, until it is stopped",
		Long: `Receive the WAL of the configured cluster from a replication slot and archive it: whole segments, and every few
seconds the beginning of the one that is being written. It goes on through restarts of the server and of the
repository, and stops cleanly at SIGINT or SIGTERM.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in.Config()) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.spool, "spool", "", "`DIR` of this machine for what waits for the repository (default: in state_dir)")
	f.StringVar(&c.slot, "slot", "", "`NAME` of the replication slot, made where it does not exist (default: as configured, or cofre)")
	f.BoolVar(&c.synchronous, "synchronous", false, "tell the server only of WAL that the repository has")
	f.DurationVar(&c.flush, "flush", 5*time.Second, "how often the beginning of the segment being written goes to the repository")
	f.StringVar(&c.limit, "spool-limit", "4GiB", "how many `BYTES` may wait for the repository before the server has to keep its WAL")
	return cmd
}

func (c *walStreamCommand) run(ctx context.Context, a *app, cfg *config.Config) error {
	limit, err := humanize.ParseBytes(c.limit)
	if err != nil || limit == 0 || limit > 1<<50 {
		return cofre.WithHint(edge.Usage(fmt.Errorf("--spool-limit %q is not a size", c.limit)), "write it as 4GiB")
	}
	if c.flush < 100*time.Millisecond {
		return cofre.WithHint(edge.Usage(fmt.Errorf("--flush %s is too short", c.flush)), "give it 100ms at least, or --synchronous")
	}
	if cfg.Cluster == nil {
		return cofre.WithHint(fmt.Errorf("stream WAL: no cluster is configured: %w", cofre.ErrConfig), "add a section cluster to the configuration")
	}
	server, err := serverOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return err
	}
	archives := walstore.Archives(ctx, cfg)
	for i, to := range archives {
		// A repository that is down now is waited for as one that goes down later; one that was never made is not.
		found, err := to.Find(ctx)
		if err != nil && !errors.Is(err, cofre.ErrUnreachable) {
			return err
		}
		archives[i].Recipient = found
	}
	spool := c.spool
	if spool == "" {
		state, err := cfg.StateFolder()
		if err != nil {
			return err
		}
		spool = filepath.Join(state, "wal", cfg.Name)
	}
	obs, end := a.progress(ctx)
	defer end()
	return stream.Run(ctx, stream.Config{
		Postgres: server, Slot: cmp.Or(c.slot, cfg.Cluster.Slot), Archives: archives,
		Spool: spool, SpoolLimit: int64(limit), Flush: c.flush, Synchronous: c.synchronous, Observer: obs,
		Source: cofre.SourceID{Installation: cfg.Name, Kind: cofre.KindCluster, Name: clusterName},
	})
}
