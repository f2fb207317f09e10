package retention

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

// Rules say how long the components of one source are kept: a component stays while any of them holds. All zero keeps everything.
type Rules struct {
	Days     int // younger than this many days; of a cluster, every moment of these days stays reachable
	Last     int // this many newest
	Hourly   int // the newest of each of this many hours in which there is one, and so on
	Daily    int
	Weekly   int // weeks begin on Monday, as in ISO 8601
	Monthly  int
	Yearly   int
	Verified int // expire nothing unless this many proven components stay
}

// IsZero reports whether the rules keep everything.
func (r Rules) IsZero() bool { return r == Rules{Verified: r.Verified} }

// Component is what a decision is about: what one capture left in one recovery point.
type Component struct {
	Point  cofre.PointID
	Source cofre.SourceID
	At     time.Time // when its capture began, by the clock of the host that captured it
	// Order is the number of its publication in the journal, by which a clock that leapt is found. What was published before there
	// was a journal has 0.
	Order  int64
	Whole  bool            // nothing of it is known to be missing or damaged
	Proven bool            // its bytes were read back, or it was restored, since it was published
	Needs  []cofre.PointID // the points whose components of the same source it cannot be restored without
	Bytes  int64           // what the store would free at least if it goes, 0 if that is not known
}

// Attempt is how the newest captures of a source went. A source without one is taken for healthy.
type Attempt struct {
	Source       cofre.SourceID
	FailingSince time.Time     // of the last success, or of the first failure after it; zero if the last one succeeded
	Every        time.Duration // how often it is captured, by its schedule; 0 if that is not known
}

// Input is all that a decision depends on.
type Input struct {
	Now        time.Time      // by the clock of this host
	StoreNow   time.Time      // by the clock of the store at the same moment; zero if it has none of its own
	Location   *time.Location // in which hours, days and weeks begin; nil is UTC
	Components []Component
	// Gone are the components that expired before, of which Source, At, Order and Whole count: without them what is left of long ago would
	// look like captures with silence between them.
	Gone     []Component
	Rules    func(cofre.SourceID) Rules
	Holds    []cofre.Hold
	Attempts []Attempt
}

// Decision is what becomes of one component, and why. Keep has at least one reason, and so has what expires.
type Decision struct {
	Component
	Keep    bool
	Reasons []cofre.Message
	Age     Age
}

// Frozen says that nothing of a source expires for now. The first reason that applied is given.
type Frozen struct {
	Since  time.Time
	Reason cofre.Message
}

// Source is what a decision does to one source.
type Source struct {
	ID      cofre.SourceID
	Rules   Rules
	Frozen  *Frozen
	Kept    int
	Expired int
	Oldest  time.Time // of the whole components, before; zero if there is none
	Moves   time.Time // the oldest whole one that stays; the same as Oldest if none of them goes
	// Since is the beginning of the time in which every moment stays reachable, by Rules.Days. Zero promises every moment: without
	// Days, and while the source is frozen.
	Since time.Time
	Frees int64
}

// Plan is a decision about everything. It is ordered by source, then oldest first.
type Plan struct {
	Decisions []Decision
	Sources   []Source
}

// Expired are the components that go.
func (p *Plan) Expired() []Decision {
	var gone []Decision
	for _, d := range p.Decisions {
		if !d.Keep {
			gone = append(gone, d)
		}
	}
	return gone
}

// Skew is how far two clocks may be apart, and a component's time ahead of now, before no clock is trusted.
const Skew = cofre.ClockSkew

// Decide says of each component whether it is kept, and why. The same input always gives the same plan, whatever the order of the
// components. It costs as much as sorting them.
func Decide(in Input) *Plan {
	if in.Location == nil {
		in.Location = time.UTC
	}
	bySource := map[cofre.SourceID][]dated{}
	for _, c := range believed(in) {
		bySource[c.Source] = append(bySource[c.Source], c)
	}
	maps.DeleteFunc(bySource, func(_ cofre.SourceID, all []dated) bool {
		return !slices.ContainsFunc(all, func(c dated) bool { return !c.gone })
	})
	ids := make([]cofre.SourceID, 0, len(bySource))
	for id := range bySource {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareSources)
	plan := &Plan{Decisions: make([]Decision, 0, len(in.Components)), Sources: make([]Source, 0, len(ids))}
	for _, id := range ids {
		j := newJudge(in, id, bySource[id])
		j.judge()
		plan.Decisions = append(plan.Decisions, j.decisions...)
		plan.Sources = append(plan.Sources, j.summary())
	}
	return plan
}

func compareSources(a, b cofre.SourceID) int {
	return cmp.Or(cmp.Compare(a.Installation, b.Installation), cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(a.Name, b.Name))
}

func kindOrder(k cofre.Kind) int { return slices.Index(cofre.Kinds(), k) }
