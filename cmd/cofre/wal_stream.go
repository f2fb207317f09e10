package main

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
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
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error { return c.run(ctx, in) }),
	}
	f := cmd.Flags()
	f.StringVar(&c.spool, "spool", "", "`DIR` of this machine for what waits for the repository (default: in state_dir)")
	f.StringVar(&c.slot, "slot", "", "`NAME` of the replication slot, made if it does not exist (default: as configured, or cofre)")
	f.BoolVar(&c.synchronous, "synchronous", false, "tell the server only of WAL that the repository has")
	f.DurationVar(&c.flush, "flush", 5*time.Second, "how often the beginning of the segment being written goes to the repository")
	f.StringVar(&c.limit, "spool-limit", "4GiB", "how many `BYTES` may wait for the repository before the server has to keep its WAL")
	return cmd
}

func (c *walStreamCommand) run(ctx context.Context, in *installation.Installation) error {
	limit, err := humanize.ParseBytes(c.limit)
	if err != nil || limit == 0 || limit > 1<<50 {
		return cofre.WithHint(edge.Usage(cofre.Fail(cofre.Say("stream.not_size", "--spool-limit \"{{.limit}}\" is not a size", "limit", c.limit))), cofre.Say("stream.size", "write it as 4GiB"))
	}
	if c.flush < 100*time.Millisecond {
		return cofre.WithHint(edge.Usage(cofre.Fail(cofre.Say("stream.too_short", "--flush {{.time}} is too short", "time", c.flush))), cofre.Say("stream.flush", "give it 100ms at least, or --synchronous"))
	}
	return in.WAL().Stream(ctx, installation.StreamOptions{
		Spool: c.spool, SpoolLimit: int64(limit), Slot: c.slot, Flush: c.flush, Synchronous: c.synchronous,
	})
}
