// Package expiry is what an expiry decides and does, as values: package retention's decision about the recovery points of an installation by the
// rules of its configuration, and the WAL that goes with them. It is pure; package installation carries it out. Read Input first.
package expiry

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/retention"
)

// Expiry is what stays in the catalog and what goes, each with its reasons, and the WAL that nothing needs any more then.
type Expiry struct {
	*retention.Plan
	WAL  *WAL            // nil without a cluster, and if every moment of it is promised
	Gone []cofre.Expired // what left the catalog; nil if nothing did
	// Frees are the bytes that come free when what goes is pruned; nil if that was not asked.
	Frees *Frees
}

// Frees are bytes that nothing will refer to.
type Frees struct {
	Bytes  int64 `json:"bytes"`  // deleted by the second run of pruning, a day after the first
	Shared int64 `json:"shared"` // in files that hold something that stays: freed when more than half of one is unused
}

// Freer is a repository that says what pruning would free.
type Freer interface {
	Frees(ctx context.Context, what ...cofre.Expiry) (*cofre.Pruned, error)
}

// Ask asks a repository what comes free. One that does not know is not asked.
//
// Errors: those of the repository.
func (e *Expiry) Ask(ctx context.Context, repo any) error {
	r, ok := repo.(Freer)
	if what := e.Expiries(); ok && len(what) > 0 {
		before, err := r.Frees(ctx)
		if err != nil {
			return err
		}
		after, err := r.Frees(ctx, what...)
		if err != nil {
			return err
		}
		unused := func(p *cofre.Pruned) int64 { return p.Freed.Bytes + p.Announced.Bytes + p.Young.Bytes + p.Again.Bytes }
		e.Frees = &Frees{unused(after) - unused(before), after.Shared.Bytes - before.Shared.Bytes}
	}
	return nil
}

// Empty reports whether nothing goes.
func (e *Expiry) Empty() bool {
	return len(e.Expired()) == 0 && (e.WAL == nil || len(e.WAL.Systems) == 0)
}

// Question asks whether what goes may go.
func (e *Expiry) Question() cofre.Message {
	n := len(e.Expired())
	if n == 0 {
		return cofre.SayN("expire.question_wal", e.WAL.Segments, "remove 1 WAL segment", "remove {{.n}} WAL segments")
	}
	return cofre.SayN("expire.question", n, "take 1 component out of the catalog for good", "take {{.n}} components out of the catalog for good")
}

// WAL is what of WAL nothing kept and nothing promised needs.
type WAL struct {
	Since    time.Time // where the time begins in which every moment stays reachable
	Segments int       // of all repositories
	Systems  []OfSystem
	Removed  bool // or only found
}

// OfSystem is what of one system's WAL is, or would be, removed from one repository.
type OfSystem struct {
	System   cofre.SystemID `json:"system_identifier"`
	Segments int            `json:"segments"`
	Objects  int            `json:"objects"`
	Copy     string         `json:"copy,omitempty"` // empty for the repository itself
}

// Expiries are the components that go, by point.
func (e *Expiry) Expiries() []cofre.Expiry {
	var all []cofre.Expiry
	at := map[cofre.PointID]int{}
	for _, d := range e.Expired() {
		i, ok := at[d.Point]
		if !ok {
			i = len(all)
			at[d.Point] = i
			all = append(all, cofre.Expiry{Point: d.Point})
		}
		all[i].Sources = append(all[i].Sources, d.Source)
	}
	return all
}

// Begun are the points that something is taken out of.
func (e *Expiry) Begun() []cofre.ExpiringPoint {
	stays := map[cofre.PointID]bool{}
	for _, d := range e.Decisions {
		stays[d.Point] = stays[d.Point] || d.Keep
	}
	var all []cofre.ExpiringPoint
	for _, x := range e.Expiries() {
		all = append(all, cofre.ExpiringPoint{Point: x.Point, Whole: !stays[x.Point]})
	}
	return all
}

// Reasons are why components go, by point.
func (e *Expiry) Reasons() map[cofre.PointID]cofre.Messages {
	why := map[cofre.PointID]cofre.Messages{}
	for _, d := range e.Expired() {
		why[d.Point] = append(why[d.Point], d.Reasons...)
	}
	return why
}

// Promised says which WAL stays: Since is where the time begins in which every moment stays reachable, zero if every moment does, and goes are
// the points whose base backups go.
func (e *Expiry) Promised() (since time.Time, goes map[cofre.PointID]bool) {
	goes = map[cofre.PointID]bool{}
	clusters := slices.DeleteFunc(slices.Clone(e.Sources), func(s retention.Source) bool { return s.ID.Kind != cofre.KindCluster })
	if len(clusters) > 0 {
		since = slices.MinFunc(clusters, func(a, b retention.Source) int { return a.Since.Compare(b.Since) }).Since
	}
	for _, d := range e.Expired() {
		if d.Source.Kind == cofre.KindCluster {
			goes[d.Point] = true
		}
	}
	return since, goes
}

// Tell tells what was decided about each source.
func (e *Expiry) Tell(to cofre.Observer) {
	for _, s := range e.Sources {
		fact := cofre.ExpiryDecided{Kept: s.Kept, Expiring: []cofre.ExpiringComponent{}}
		for _, d := range e.Decisions {
			if d.Source == s.ID && !d.Keep {
				fact.Expiring = append(fact.Expiring, cofre.ExpiringComponent{Point: d.Point, Messages: d.Reasons})
			}
		}
		to.Observe(cofre.Event{Type: fact.EventType(), Source: s.ID, Fact: fact})
	}
}

// Input is what retention decides about: the components of one installation, and what left them before. Points come oldest first; damage is
// what is known to be lost of each.
func Input(cfg *config.Config, points iter.Seq[cofre.RecoveryPoint], damage map[cofre.PointID][]cofre.Finding, h *History) retention.Input {
	input := retention.Input{Location: cfg.Location(), Rules: func(id cofre.SourceID) retention.Rules { return rules(cfg, id.Kind) }}
	failing, captured := map[cofre.SourceID]time.Time{}, map[cofre.SourceID]time.Time{}
	for _, p := range h.Dated(slices.Collect(points)) {
		for _, c := range p.Components {
			id := cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}
			input.Components = append(input.Components, retention.Component{Point: p.ID, Source: id, At: c.StartedAt, Order: h.order[p.ID], Whole: !c.Partial && len(loss.Of(damage[p.ID], c)) == 0, Proven: h.Proven(p.ID, c.Root) == cofre.LevelContent})
			delete(failing, id)
			captured[id] = c.StartedAt
		}
		for _, x := range p.Expired {
			id := cofre.SourceID{Installation: p.Installation, Kind: x.Kind, Name: x.Name}
			input.Gone = append(input.Gone, retention.Component{Point: p.ID, Source: id, At: x.StartedAt, Order: h.order[p.ID], Whole: !x.Partial})
		}
		for _, f := range p.Missing() {
			id := cofre.SourceID{Installation: p.Installation, Kind: f.Kind, Name: f.Object}
			if failing[id].IsZero() {
				// The points that lacked it first may have expired: since the last success nothing is certain.
				if failing[id] = captured[id]; failing[id].IsZero() {
					failing[id] = p.StartedAt
				}
			}
		}
	}
	// A backup that failed as a whole: none of the sources ages that it was of.
	for _, c := range input.Components {
		if since := h.failing.Since(c.Source.Kind); failing[c.Source].IsZero() && !since.IsZero() {
			failing[c.Source] = since
		}
	}
	for id, since := range failing {
		input.Attempts = append(input.Attempts, retention.Attempt{Source: id, FailingSince: since})
	}
	return input
}

// rules are those of a kind. What has no section in the configuration is kept.
func rules(cfg *config.Config, kind cofre.Kind) retention.Rules {
	var k config.Keep
	switch {
	case kind == cofre.KindDatabase && cfg.Database != nil:
		k = cfg.Database.Keep
	case kind == cofre.KindCluster && cfg.Cluster != nil:
		k = cfg.Cluster.Keep
	case kind == cofre.KindStorage && cfg.Storage != nil:
		k = cfg.Storage.Keep
	case kind == cofre.KindConfig && cfg.Files != nil:
		k = cfg.Files.Keep
	}
	if k.Everything {
		return retention.Rules{}
	}
	return retention.Rules{Days: k.Days, Last: k.Last, Hourly: k.Hourly, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly, Verified: k.Verified}
}
