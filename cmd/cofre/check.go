package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/wal/probe"
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
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	cmd.Flags().DurationVar(&c.timeout, "timeout", time.Minute, "how `LONG` to wait for the segment")
	return cmd
}

// checkDocument is the JSON document of a check.
type checkDocument struct {
	*probe.Probed
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

func (c *checkCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	done, err := in.WAL().Check(ctx, installation.CheckOptions{Timeout: c.timeout})
	a.EndProgress()
	if a.JSON {
		if perr := a.Document(checkDocument{done, edge.DocumentOf(edge.Interrupted(ctx, err))}); perr != nil {
			return perr
		}
		return err
	}
	if err != nil || a.Quiet {
		return err
	}
	a.Line(a.Out, cofre.Say("check.segment", "segment {{.segment}} of system {{.system}}, with a mark at {{.lsn}}", "segment", done.Segment, "system", done.System, "lsn", done.LSN))
	for _, r := range done.Read {
		a.Line(a.Out, cofre.Say("check.read_back", "read back from {{.url}}, archived in {{.time}}", "url", r.URL, "time", words.Took(time.Duration(r.Seconds*float64(time.Second)))))
	}
	return nil
}
