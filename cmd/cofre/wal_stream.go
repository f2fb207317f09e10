package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal"
)

type walStreamCommand struct {
	spool       string
	slot        string
	synchronous bool
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
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&c.spool, "spool", "", "`DIR` of this machine for what waits for the repository (default: in state_dir)")
	f.StringVar(&c.slot, "slot", "", "`NAME` of the replication slot, made where it does not exist (default: as configured, or cofre)")
	f.BoolVar(&c.synchronous, "synchronous", false, "tell the server only of WAL that the repository has")
	return cmd
}

func (c *walStreamCommand) run(ctx context.Context, a *app) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	if cfg.Cluster == nil {
		return cofre.WithHint(fmt.Errorf("stream WAL: no cluster is configured: %w", cofre.ErrConfig), "add a section cluster to the configuration")
	}
	server, err := serverOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return err
	}
	st, err := walStore(ctx, cfg)
	if err != nil {
		return err
	}
	recipient, err := walRecipient(ctx, st)
	if err != nil {
		return err
	}
	spool := c.spool
	if spool == "" {
		state, err := stateDir(cfg)
		if err != nil {
			return err
		}
		spool = filepath.Join(state, "wal", cfg.Name)
	}
	obs, end := a.progress(ctx)
	defer end()
	s := &wal.Streamer{
		Postgres: server, Slot: cmp.Or(c.slot, cfg.Cluster.Slot), Stores: []cofre.Store{st}, Recipient: recipient,
		Spool: spool, Synchronous: c.synchronous, Observer: obs,
		Source: cofre.SourceID{Installation: cfg.Name, Kind: cofre.KindCluster, Name: clusterName},
	}
	return s.Stream(ctx)
}
