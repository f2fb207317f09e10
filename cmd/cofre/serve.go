package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/agent"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/systemd"
	"github.com/trustlayer/cofre/observe"
)

type serveCommand struct {
	listen   string
	duration time.Duration
}

func newServeCommand(a *app) *cobra.Command {
	var c serveCommand
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Keep the schedules of the configuration, until it is stopped",
		Long: `Back up each source by its schedule, let go what keep lets go, give back its space, and read back what is stored; with wal: stream, receive the WAL
as well. What was missed while nothing ran is caught up at once, and what failed is tried again. One source that cannot be reached, or hangs, delays no other.

What ran is read from the repository: killed, it goes on where it was, also on another machine, and of two that serve one repository each job is
done by one. SIGTERM and Ctrl-C end it within a minute (exit 0); what runs is ended cleanly, and begun again by the next start. SIGHUP has
the configuration read again; one that is wrong is refused, and the old one stays.

/metrics says to Prometheus how the installation stands, /livez whether it runs, /readyz whether it knows what ran. It writes its log to stderr, as the section log says.`,
		Example: `  cofre serve
  cofre serve --config /etc/cofre/cofre.yaml --listen 127.0.0.1:9808`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.StringVar(&c.listen, "listen", "127.0.0.1:9808", "`ADDRESS` of /metrics, /livez and /readyz; empty: none")
	f.DurationVar(&c.duration, "for", 0, "end after this `DURATION` (default: never)")
	return cmd
}

func (c *serveCommand) run(ctx context.Context, a *app) error {
	reload, stop := hangups(ctx)
	defer stop()
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	log := slog.New(logHandler(a, cfg.Log))
	a.LogTo(log)
	first := cfg
	return agent.Run(ctx, agent.Options{
		Load: func() (*config.Config, error) {
			if cfg := first; cfg != nil {
				first = nil
				return cfg, nil
			}
			return a.Settings()
		},
		Reload: reload, Listen: c.listen, For: c.duration, Version: edge.Version(), Language: a.Spoken(), Observer: a.traced(ctx, observe.Tee(observe.Log(log), a.Events())),
		Listening: func(at net.Addr) { log.Info("listening", "address", at.String()) },
		Manager:   systemd.Of(a.Getenv, os.Getpid()),
	})
}

// logHandler writes the lines of the log, as the configuration says.
func logHandler(a *app, c config.Log) slog.Handler {
	o := &slog.HandlerOptions{Level: map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[c.Level]}
	if a.Quiet && o.Level.Level() < slog.LevelWarn {
		o.Level = slog.LevelWarn
	}
	if c.Format == "json" {
		return slog.NewJSONHandler(a.Err, o)
	}
	return slog.NewTextHandler(a.Err, o)
}

// hangups has a value for each SIGHUP.
func hangups(ctx context.Context) (<-chan struct{}, func()) {
	signals, reload := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			select {
			case reload <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return reload, func() { signal.Stop(signals); cancel(cofre.ErrInterrupted) }
}
