package main

import (
	"context"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/tracing"
)

// traced adds whoever collects traces to those who follow events, if the environment names an endpoint. Without traces everything is done as with them.
func (a *app) traced(ctx context.Context, to cofre.Observer) cofre.Observer {
	if !tracing.Asked(a.Getenv) {
		return to
	}
	warn := func(m cofre.Message) { to.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning}.Saying(m)) }
	t, err := tracing.Start(ctx, tracing.Options{Getenv: a.Getenv, Version: edge.Version(), Warn: warn})
	if err != nil {
		warn(cofre.Say("tracing.not_sent", "traces are not sent: {{.why}}", "why", cofre.SayError(err)))
		return to
	}
	a.traces = t
	return observe.Tee(to, t)
}
