package installation

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal/probe"
	"github.com/trustlayer/cofre/postgres/wal/stream"
)

// StreamOptions say how WAL is received. The zero value is as configured.
type StreamOptions struct {
	Spool       string        // the folder of this machine for what waits for the repository; empty: in state_dir
	SpoolLimit  int64         // bytes that may wait before the server has to keep its WAL; 0: those of package stream
	Slot        string        // the replication slot, made if it does not exist; empty: as configured
	Flush       time.Duration // how often the beginning of the segment being written goes to the repository
	Synchronous bool          // the server is told only of WAL that the repository has
}

// Stream receives the WAL of the configured cluster and archives it until ctx ends, through restarts of the server and of
// the repository. What it does it tells the observer.
//
// Errors: cofre.ErrConfig without a cluster; those of the repositories that are there and cannot be used, and of
// stream.Run.
func (w WAL) Stream(ctx context.Context, o StreamOptions) (err error) {
	end := w.in.begin(ctx, cofre.RunWALStream, aboutCluster())
	defer func() { end(err) }()
	cfg := w.in.cfg
	if cfg.Cluster == nil {
		return cofre.WithHint(cofre.Fail(cofre.Say("wal.no_cluster", "stream WAL: no cluster is configured"), cofre.ErrConfig), cfg.Adding(cofre.KindCluster))
	}
	server, err := sources.ServerOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return err
	}
	archives := walstore.Archives(ctx, cfg)
	walstore.Signing(cfg, archives, o.Spool, func(m cofre.Message) { w.in.warn(m) })
	for i, to := range archives {
		// A repository that is down now is waited for as one that goes down later; one that was never made is not.
		found, err := to.Find(ctx)
		if err != nil && !errors.Is(err, cofre.ErrUnreachable) {
			return err
		}
		archives[i].Recipient = found
	}
	spool := o.Spool
	if spool == "" {
		state, err := cfg.StateFolder()
		if err != nil {
			return err
		}
		spool = filepath.Join(state, "wal", cfg.Name)
	}
	if slot := cmp.Or(cfg.Cluster.Slot, "cofre"); o.Slot != "" && o.Slot != slot {
		w.in.warn(cofre.Say("wal.other_slot", "cofre status and cofre doctor look at replication slot {{.slot}}, as configured, and not at {{.other}}; if nothing else streams, set slot: {{.other}} in the section cluster", "slot", slot, "other", o.Slot))
	}
	return stream.Run(ctx, stream.Config{
		Postgres: server, Slot: cmp.Or(o.Slot, cfg.Cluster.Slot), Archives: archives,
		Spool: spool, SpoolLimit: o.SpoolLimit, Flush: o.Flush, Synchronous: o.Synchronous, Observer: w.in.observer,
		Source: cofre.SourceID{Installation: cfg.Name, Kind: cofre.KindCluster, Name: sources.ClusterName},
	})
}

// CheckOptions say how the way of WAL is tried. The zero value waits for a minute.
type CheckOptions struct {
	Timeout time.Duration // for the segment to arrive
}

// Check writes a mark into the WAL of the configured cluster, ends its segment, waits until it is in the repository and in
// every copy, reads it back from each, and looks for the mark. It costs at most one segment of WAL. What was reached is
// returned beside an error.
//
// Errors: cofre.ErrConfig if no WAL is configured; those of probe.Probe.
func (w WAL) Check(ctx context.Context, o CheckOptions) (_ *probe.Probed, err error) {
	end := w.in.begin(ctx, cofre.RunWALCheck, aboutCluster())
	defer func() { end(err) }()
	cfg := w.in.cfg
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("wal.kept_none", "check the way of WAL: the configuration keeps none"), cofre.ErrConfig),
			cofre.Say("wal.configure", "say in the section cluster how it comes to the repository: wal: archive, or wal: stream"))
	}
	server, err := sources.ServerOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return nil, err
	}
	p := probe.Probe{
		Postgres: server, Timeout: cmp.Or(o.Timeout, time.Minute), Streamed: cfg.Cluster.WAL == config.WALStream, Observer: w.in.observer,
	}
	for _, r := range cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		if err != nil {
			return nil, err
		}
		p.Archives = append(p.Archives, walstore.ArchiveOf(ctx, cfg, r))
		p.Unlock = append(p.Unlock, walstore.Unlock(ctx, cfg, r, st))
	}
	done, err := p.Run(ctx)
	if done != nil {
		for _, r := range done.Read {
			cofre.Tell(w.in.observer, cofre.WALReadBack{System: done.System, Segment: done.Segment, LSN: done.LSN, Repository: r.URL, Took: time.Duration(r.Seconds * float64(time.Second))})
		}
	}
	return done, err
}

// Heartbeat has the configured server commit a message of cofre in its WAL, which says nothing, so that a moment of now can be recovered also on a server that is idle. A standby
// commits nothing, and that is no error.
//
// Errors: cofre.ErrConfig if no WAL is configured; those of the server.
func (w WAL) Heartbeat(ctx context.Context) error {
	if w.in.cfg.Cluster == nil || w.in.cfg.Cluster.WAL == "" {
		return cofre.Fail(cofre.Say("wal.no_heartbeat", "write a heartbeat: the configuration keeps no WAL"), cofre.ErrConfig)
	}
	server, err := sources.ServerOf(w.in.cfg.Cluster.URL, w.in.cfg.Cluster.Password)
	if err != nil {
		return err
	}
	return probe.Heartbeat(ctx, server)
}
