package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/observe"
)

// observer shows events, writes them to the file of --events, and sends traces of them.
func (a *app) observer(ctx context.Context) cofre.Observer {
	return a.traced(ctx, observe.Tee(a.Follow(ctx), a.Events()))
}

// open runs a command on the configured installation, whose events are shown, and gives it back in the end.
func (a *app) open(ctx context.Context, run func(context.Context, *installation.Installation) error) (err error) {
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	in, err := installation.Open(ctx, cfg, a.observer(ctx))
	if err != nil {
		return err
	}
	in.Version, in.HookOutput = edge.Version(), a.Err
	defer func() {
		a.EndProgress()
		if cerr := in.Close(ctx); cerr != nil && err == nil {
			err = cerr
		}
	}()
	if err := a.expected.check(ctx, in); err != nil {
		return err
	}
	return run(ctx, in)
}

// with makes a command of what it does with the installation and its arguments.
func (a *app) with(run func(context.Context, *installation.Installation, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return run(ctx, in, args) })
	}
}
