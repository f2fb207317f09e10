package agent

import (
	"context"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/sources"
)

const (
	// steady is how long something must go on before its next failure counts as the first.
	steady = 10 * time.Minute
	// longestRest is how long the stream rests after failures in a row, at most: each second of it is work that may be lost.
	longestRest = time.Minute
	// beatBound is how long a server may take for a heartbeat.
	beatBound = 30 * time.Second
)

// accompany runs, until ctx ends, what goes on beside the jobs.
func (a *agent) accompany(ctx context.Context, cfg *config.Config) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return
	}
	with, of := a.with, sources.ID(cfg, cofre.KindCluster)
	if cfg.Cluster.WAL == config.WALStream {
		a.run.Go(func() { a.streaming(ctx, with, of) })
	}
	a.run.Go(func() { a.beating(ctx, with, of, HeartbeatEvery(cfg)) })
}

// streaming restarts the stream whenever it ends: after a second, and after twice as long each time that it fails again.
func (a *agent) streaming(ctx context.Context, with Hands, of cofre.SourceID) {
	rest := time.Second
	for ctx.Err() == nil {
		began := time.Now()
		err := with.Stream(ctx, a.o.Observer)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady {
			rest = time.Second
		}
		e := warned
		e.Source = of
		a.tellBeside(e, cofre.Say("agent.stream", "the WAL stream has ended, and begins again in {{.rest}}: {{.why}}", "rest", rest, "why", cofre.SayError(err)))
		if !sleep(ctx, rest) {
			return
		}
		rest = min(2*rest, longestRest)
	}
}

// HeartbeatEvery is how often a server whose WAL is archived commits something, so that what may be lost is known also if nothing happens: a
// quarter of the objective, from one minute to 15; without an objective five minutes.
func HeartbeatEvery(cfg *config.Config) time.Duration {
	if cfg.Objectives.RPO.Duration == 0 {
		return 5 * time.Minute
	}
	return min(max(cfg.Objectives.RPO.Duration/4, time.Minute), 15*time.Minute)
}

// beating has the server commit again and again. It tells of the first time that this fails, and of the first that it does not.
func (a *agent) beating(ctx context.Context, with Hands, of cofre.SourceID, every time.Duration) {
	failing := false
	for sleep(ctx, every) {
		bounded, cancel := context.WithTimeout(ctx, beatBound)
		err := with.Heartbeat(bounded)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if (err != nil) == failing {
			continue
		}
		failing = err != nil
		if failing {
			e := warned
			e.Source = of
			a.tellBeside(e, cofre.Say("agent.no_beat", "the server takes no heartbeat, so that nobody knows what would be lost if it is idle; tried again every {{.every}}: {{.why}}", "every", every, "why", cofre.SayError(err)))
			continue
		}
		a.tellBeside(cofre.Event{Source: of}, cofre.Say("agent.beats", "the server takes heartbeats again"))
	}
}

// tellBeside is tell for other goroutines than the loop's.
func (a *agent) tellBeside(e cofre.Event, what cofre.Message) {
	e.At = a.o.Now()
	if e.Type == "" {
		e.Type = cofre.TypeNote
	}
	a.o.Observer.Observe(e.Saying(what))
}

// sleep waits, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
