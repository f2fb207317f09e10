package main

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/observe"
)

// observer shows events, and writes them to the file of --events.
func (a *app) observer(ctx context.Context) cofre.Observer {
	return observe.Tee(a.Follow(ctx), a.Events())
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
	return run(ctx, in)
}
