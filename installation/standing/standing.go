// Package standing gathers what a status goes by, and computes it: the catalog, the journal, the archived WAL, the free space and what the server says of its archiving, several at once. What
// cannot be read is part of what it gathers, and never stands in the way of the rest.
package standing

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/retention"
	"github.com/trustlayer/cofre/status"
)

// Opened is a repository that was opened.
type Opened struct {
	Name    string // of the installation
	Catalog *catalog.Catalog
	Damage  map[cofre.PointID][]cofre.Finding
	Vault   journaling.Vault // nil if it has none
	// Unsealed says that whoever holds the storage can write its seals.
	Unsealed bool
}

// Opener opens the repository to be read. With an error, what is not nil was read.
type Opener func(context.Context) (*Opened, error)

// Of gathers, and says how the installation stands, measured against an objective for what may be lost; 0 is none. If what is in the repository is as seen
// remembers it, it is not opened; nil remembers nothing.
//
// Errors: that of ctx.
func Of(ctx context.Context, cfg *config.Config, rpo time.Duration, seen *Memory, open Opener) (*status.Status, error) {
	g := &gathering{cfg: *cfg, rpo: rpo, now: time.Now(), seen: seen, why: map[cofre.RunID]status.Why{}}
	if state, err := cfg.StateFolder(); err == nil {
		// Before the journal is read: a run that was killed is written there before its mark is removed, and so it is seen in one of them.
		g.unended = runs.MarksOf(state, cfg.Repository.URL).Unended()
	}
	opening := func(ctx context.Context) { g.opened, g.openErr = open(ctx) }
	if seen == nil {
		together(ctx, opening, g.readJournal, g.list, g.askServer)
	} else {
		// Listed before it is opened: what is added meanwhile is found by the next.
		seen.mu.Lock()
		defer seen.mu.Unlock()
		together(ctx, g.readJournal, g.list, g.askServer)
		if !g.recall() {
			opening(ctx)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	in := g.input(ctx)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	g.remember()
	return status.Of(in), nil
}

// together does parts at once.
func together(ctx context.Context, parts ...func(context.Context)) {
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() { part(ctx) })
	}
	all.Wait()
}

// gathering is one status under way.
type gathering struct {
	cfg config.Config
	now time.Time
	rpo time.Duration

	seen     *Memory // nil if nothing is remembered
	recalled bool    // and what it remembers is gone by

	unended []runs.Unended // on this host
	why     map[cofre.RunID]status.Why

	opened  *Opened
	openErr error

	entries    []journal.Numbered
	checkpoint string
	unknown    time.Time // before which nobody vouches for the journal
	journalErr error

	floor    *listed // of the repository; nil if it could not be listed
	floorErr error
	free     int64
	freeErr  error

	archiver  *archiving.Archiver
	serverErr error
}

func (g *gathering) readJournal(ctx context.Context) {
	g.journalErr = func() error {
		st, err := walstore.Open(ctx, g.cfg.Repository)
		if err != nil {
			return err
		}
		state, err := g.cfg.StateFolder()
		if err != nil {
			return err
		}
		known, err := journaling.Know(ctx, st, state, "")
		if errors.Is(err, cofre.ErrNotFound) {
			return nil // a repository of before
		}
		if err != nil {
			return err
		}
		v, err := known.Verify(ctx, journaling.Reading{Visit: func(e journal.Numbered) {
			if len(g.entries) == cap(g.entries) {
				g.entries = slices.Grow(g.entries, max(256, len(g.entries))) // they are copied as seldom
			}
			g.entries = append(g.entries, e)
		}})
		if v != nil && v.Newest.Size > 0 {
			g.checkpoint, g.unknown = v.Newest.String(), v.UnknownBefore
		}
		return err
	}()
}

// serverBound is how long the server may take to say how its archiving is.
const serverBound = 5 * time.Second

func (g *gathering) askServer(ctx context.Context) { g.archiver, g.serverErr = Archiver(ctx, &g.cfg) }

// Archiver asks the configured server how its archiving is; nil if no WAL of a server is configured.
//
// Errors: those of the server.
func Archiver(ctx context.Context, cfg *config.Config) (*archiving.Archiver, error) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, serverBound)
	defer cancel()
	source, err := sources.Cluster(ctx, cfg, sources.Options{})
	if err != nil {
		return nil, err
	}
	found, err := source.Archiver(ctx)
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// input makes of what was gathered what a status depends on.
func (g *gathering) input(ctx context.Context) status.Input {
	in := status.Input{
		Now: g.now, RPO: g.rpo, RTO: g.cfg.Objectives.RTO.Duration, Window: g.cfg.Verify.Window.Duration, Archiver: g.archiver, Why: g.why, Unended: g.unended,
		Repository: status.Repository{URL: g.cfg.Repository.URL, Bytes: -1, Free: -1},
	}
	unknown := func(area status.Area, err error) {
		in.Unknown = append(in.Unknown, status.Unknown{Area: area, Err: err})
	}
	switch {
	case g.opened == nil:
		unknown(status.AreaRepository, g.openErr)
		g.opened = &Opened{Name: g.cfg.Name}
	case g.openErr != nil:
		unknown(status.AreaCatalog, g.openErr)
	}
	g.cfg.Name = g.opened.Name
	in.Installation = g.cfg.Name
	in.Sources = configured(&g.cfg)
	in.Damage = g.opened.Damage
	in.Repository.Unsealed = g.opened.Unsealed
	if g.opened.Catalog != nil {
		for p := range g.opened.Catalog.List(catalog.Want{Installation: g.cfg.Name}) {
			in.Points = append(in.Points, p)
		}
	}
	if g.journalErr != nil && len(in.Unknown) == 0 || errors.Is(g.journalErr, cofre.ErrFindings) || errors.Is(g.journalErr, cofre.ErrCorrupt) {
		unknown(status.AreaJournal, g.journalErr) // what is not reached at all is said once
	}
	past := g.history(ctx, &in)
	in.Overtaken = past.Overtaken(in.Points)
	in.Points = past.InOrder(in.Points)
	if g.opened.Catalog != nil && g.journalErr == nil {
		in.Gone = g.gone(in.Points)
	}
	if g.opened.Catalog != nil && g.journalErr == nil && g.opened.Catalog.Lacks() == nil {
		input := expiry.Input(&g.cfg, g.opened.Catalog.List(catalog.Want{Installation: g.cfg.Name}), in.Damage, past)
		input.Now = g.now
		in.Holds, in.Retention = input.Holds, retention.Decide(input)
	}
	if g.serverErr != nil {
		unknown(status.AreaServer, g.serverErr)
	}
	if g.floor != nil {
		if err := g.wal(ctx, &in); err != nil {
			unknown(status.AreaWAL, err)
		}
		in.Repository.Bytes, in.Repository.Free = g.floor.bytes, g.free
		if g.freeErr != nil {
			in.Repository.Free = -1
			unknown(status.AreaSpace, g.freeErr)
		}
	} else if len(in.Unknown) == 0 {
		unknown(status.AreaWAL, g.floorErr)
	}
	if g.opened.Catalog != nil && g.opened.Catalog.Lacks() != nil {
		unknown(status.AreaPoints, g.opened.Catalog.Lacks())
	}
	for _, r := range g.cfg.Copies {
		in.Copies = append(in.Copies, r.URL)
	}
	return in
}

// gone are the points that the journal says are there and that are not. What was published while this looked may be on its way.
func (g *gathering) gone(points []cofre.RecoveryPoint) []cofre.PointID {
	l := &record.Ledger{Installation: g.cfg.Name}
	c := record.Catalog{Points: points, Now: g.now}
	for _, e := range g.entries {
		l.Take(e)
		if g.now.Sub(e.Body.At) > record.UnderWay {
			c.First = e.Number + 1
		}
	}
	return l.Compare(c).Gone
}

// history is what status and retention go by of the journal.
func (g *gathering) history(ctx context.Context, in *status.Input) *expiry.History {
	past := &expiry.History{Installation: g.cfg.Name}
	in.History = &status.History{Installation: g.cfg.Name, Checkpoint: g.checkpoint, UnknownBefore: g.unknown}
	for _, e := range g.entries {
		past.Take(e)
		in.History.Take(e)
	}
	for _, of := range in.Sources {
		run, sealed := in.History.Failed(of)
		v := g.opened.Vault
		if _, known := in.Why[run]; known || v == nil || sealed == "" {
			continue
		}
		var w journaling.Why
		if err := journal.Open(v.Floor(), nil, nil).Unseal(ctx, v, sealed, &w); err == nil { // or its code is all that is said
			in.Why[run] = status.Why{Message: w.Message, Hint: w.Hint, Messages: w.Messages}
		}
	}
	return past
}
