package retention_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/retention"
)

// made is a component with what is true of it.
type made struct {
	retention.Component
	truly time.Time
}

// history is an installation over some days, and the truth about it.
type history struct {
	rules    map[cofre.SourceID]retention.Rules
	there    []made
	gone     []retention.Component
	holds    []cofre.Hold
	attempts map[cofre.SourceID]*retention.Attempt
	order    int64
	now      time.Time
	lies     int   // how often a clock was wrong
	first    int64 // the order of the first publication
}

var sources = []cofre.SourceID{
	{Installation: "a", Kind: cofre.KindDatabase, Name: "db"},
	{Installation: "a", Kind: cofre.KindCluster, Name: "cluster"},
	{Installation: "a", Kind: cofre.KindStorage, Name: "storage"},
}

func newHistory(t *rapid.T) *history {
	h := &history{rules: map[cofre.SourceID]retention.Rules{}, attempts: map[cofre.SourceID]*retention.Attempt{}, now: noon}
	few := rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 7, 12})
	for _, s := range sources {
		h.rules[s] = retention.Rules{
			Days: rapid.SampledFrom([]int{0, 1, 3, 7, 30}).Draw(t, "days"), Last: few.Draw(t, "last"), Hourly: few.Draw(t, "hourly"), Daily: few.Draw(t, "daily"),
			Weekly: few.Draw(t, "weekly"), Monthly: few.Draw(t, "monthly"), Yearly: few.Draw(t, "yearly"), Verified: rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "verified"),
		}
		h.attempts[s] = &retention.Attempt{Source: s}
	}
	return h
}

// run captures every source once: each succeeds, fails, or leaves something out, by a clock that may lie.
func (h *history) run(t *rapid.T, lies bool) {
	h.now = h.now.Add(rapid.SampledFrom([]time.Duration{time.Hour, 6 * time.Hour, day, day, day, 3 * day, 40 * day}).Draw(t, "later"))
	clock := h.now
	if lies && rapid.IntRange(0, 9).Draw(t, "clock") == 0 {
		clock = clock.Add(rapid.SampledFrom([]time.Duration{-3650 * day, -2 * day, -time.Hour, time.Hour, 2 * day, 400 * day}).Draw(t, "leap"))
		h.lies++
	}
	point := cofre.NewPointID(clock)
	h.order++
	for _, s := range sources {
		how := rapid.IntRange(0, 9).Draw(t, "how")
		if how < 2 {
			if a := h.attempts[s]; a.FailingSince.IsZero() {
				a.FailingSince = h.now
			}
			continue
		}
		h.attempts[s].FailingSince = time.Time{}
		c := made{retention.Component{Point: point, Source: s, At: clock, Order: h.order, Whole: how > 2}, h.now}
		if n := len(h.there); how == 9 && n > 0 && h.there[n-1].Source == s {
			c.Needs = []cofre.PointID{h.there[n-1].Point}
		}
		h.there = append(h.there, c)
		h.first = cmp.Or(h.first, h.order)
	}
}

func (h *history) verify(t *rapid.T) {
	for i := range h.there {
		switch rapid.IntRange(0, 19).Draw(t, "verified") {
		case 0:
			h.there[i].Proven = true
		case 1:
			h.there[i].Whole, h.there[i].Proven = false, false // it was found to be damaged
		}
	}
}

func (h *history) hold(t *rapid.T) {
	if len(h.there) > 0 {
		c := rapid.SampledFrom(h.there).Draw(t, "held")
		h.holds = append(h.holds, cofre.Hold{Point: c.Point, Owner: "ana", Reason: "because", Until: h.now.Add(20 * day)})
	}
}

func (h *history) input() retention.Input {
	in := retention.Input{Now: h.now, Gone: h.gone, Holds: h.holds, Rules: func(s cofre.SourceID) retention.Rules { return h.rules[s] }}
	for _, c := range h.there {
		in.Components = append(in.Components, c.Component)
	}
	for _, s := range sources {
		in.Attempts = append(in.Attempts, *h.attempts[s])
	}
	return in
}

func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t)
		lies := rapid.Bool().Draw(t, "lies")
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			h.run(t, lies)
			switch rapid.IntRange(0, 5).Draw(t, "also") {
			case 0:
				h.verify(t)
			case 1:
				h.hold(t)
			}
			h.expire(t)
		}
	})
}

// expire decides, asks of the decision what must be true of it whatever happened, and carries it out.
func (h *history) expire(t *rapid.T) {
	in := h.input()
	plan := retention.Decide(in)
	h.again(t, in, plan)
	keep := map[cofre.SourceID]map[cofre.PointID]bool{}
	for _, d := range plan.Decisions {
		if len(d.Reasons) == 0 {
			t.Fatalf("%s of %s is decided about without a reason", d.Source.Kind, d.Point)
		}
		if keep[d.Source] == nil {
			keep[d.Source] = map[cofre.PointID]bool{}
		}
		keep[d.Source][d.Point] = d.Keep
	}
	for _, s := range sources {
		h.judged(t, s, keep[s])
	}
	for _, s := range plan.Sources {
		days := h.rules[s.ID].Days
		if !s.Since.IsZero() && (days == 0 || s.Frozen != nil || s.Since.After(in.Now.AddDate(0, 0, -days))) {
			t.Fatalf("%s: %d days are promised, and moments before %s are not", s.ID.Kind, days, s.Since)
		}
	}
	h.there = slices.DeleteFunc(h.there, func(c made) bool {
		if keep[c.Source][c.Point] {
			return false
		}
		h.gone = append(h.gone, c.Component)
		return true
	})
}

// again asks the same in another order.
func (h *history) again(t *rapid.T, in retention.Input, plan *retention.Plan) {
	in.Components, in.Gone = slices.Clone(in.Components), slices.Clone(in.Gone)
	rand.Shuffle(len(in.Components), func(a, b int) { in.Components[a], in.Components[b] = in.Components[b], in.Components[a] })
	rand.Shuffle(len(in.Gone), func(a, b int) { in.Gone[a], in.Gone[b] = in.Gone[b], in.Gone[a] })
	for i, d := range retention.Decide(in).Decisions {
		if was := plan.Decisions[i]; d.Point != was.Point || d.Source != was.Source || d.Keep != was.Keep {
			t.Fatalf("the order of the components decides: %+v, %+v", d, was)
		}
	}
}

func (h *history) judged(t *rapid.T, s cofre.SourceID, keep map[cofre.PointID]bool) {
	var newest *made
	proven, provenKept, gone := 0, 0, 0
	for i, c := range h.there {
		if c.Source != s {
			continue
		}
		if c.Whole {
			newest = &h.there[i]
		}
		if c.Whole && c.Proven {
			proven++
			if keep[c.Point] {
				provenKept++
			}
		}
		if !keep[c.Point] {
			gone++
		}
	}
	if gone == 0 {
		return
	}
	switch rules := h.rules[s]; {
	case newest == nil || !keep[newest.Point]:
		t.Fatalf("%s: the newest whole one goes", s.Kind)
	case !h.attempts[s].FailingSince.IsZero():
		t.Fatalf("%s: its captures fail, and something goes", s.Kind)
	case provenKept < rules.Verified:
		t.Fatalf("%s: %d of %d verified ones stay, and %d are to", s.Kind, provenKept, proven, rules.Verified)
	case rules.IsZero():
		t.Fatalf("%s: no rule, and something goes", s.Kind)
	}
	for _, c := range h.there {
		if c.Source != s {
			continue
		}
		for _, hold := range h.holds {
			if hold.Point == c.Point && h.now.Before(hold.Until) && !keep[c.Point] {
				t.Fatalf("%s of %s is held, and goes", s.Kind, c.Point)
			}
		}
		for _, need := range c.Needs {
			if there, ok := keep[need]; keep[c.Point] && ok && !there {
				t.Fatalf("%s of %s stays, and what it needs goes", s.Kind, c.Point)
			}
		}
		if age := newest.truly.Sub(c.truly); h.lies == 0 && c.Whole && !keep[c.Point] && age < time.Duration(h.rules[s].Days)*day {
			t.Fatalf("%s of %s goes, and is %v old", s.Kind, c.Point, age)
		}
		// Of several wrong times in a short history nobody can say which are the right ones.
		// A clock that is behind by less than the time since the capture before cannot be found out: here that is two days. Nor can one by
		// less than a day, which may come on top. The very first capture has nothing before it that speaks against its time.
		if c.Order == h.first {
			continue
		}
		if age := newest.truly.Sub(c.truly); h.lies == 1 && c.Whole && !keep[c.Point] && age < time.Duration(h.rules[s].Days-3)*day-time.Hour {
			t.Fatalf("%s of %s goes by a clock that lied, and is %v old", s.Kind, c.Point, age)
		}
	}
}
