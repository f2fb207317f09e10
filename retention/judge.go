package retention

import (
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

// judge decides about one source.
type judge struct {
	in         Input
	source     Source
	components []dated // oldest first
	decisions  []Decision
	// From here on components are from a clock that is ahead of ours.
	future int
}

func newJudge(in Input, id cofre.SourceID, all []dated) *judge {
	j := &judge{in: in, source: Source{ID: id, Rules: in.Rules(id)}, components: make([]dated, 0, len(all)), decisions: make([]Decision, 0, len(all))}
	limit := in.now().Add(Skew)
	ahead := slices.DeleteFunc(slices.Clone(all), func(c dated) bool { return c.gone || !c.At.After(limit) })
	past := slices.DeleteFunc(all, func(c dated) bool { return c.At.After(limit) })
	settle(past)
	settle(ahead)
	for i, age := range ages(past, in.every(id)) {
		if !past[i].gone {
			j.add(past[i], age)
		}
	}
	j.future = len(j.components)
	for _, c := range ahead {
		j.add(c, Age{}) // of what the future brought nothing is counted
	}
	return j
}

func (j *judge) add(c dated, age Age) {
	j.components = append(j.components, c)
	j.decisions = append(j.decisions, Decision{Component: c.Component, Age: age})
}

// every is how often a source is captured, or 0.
func (in Input) every(id cofre.SourceID) time.Duration {
	for _, a := range in.Attempts {
		if a.Source == id {
			return a.Every
		}
	}
	return 0
}

// now is the earlier of the two clocks: a hold does not end, and nothing is of the past, because one of them is ahead.
func (in Input) now() time.Time {
	if !in.StoreNow.IsZero() && in.StoreNow.Before(in.Now) {
		return in.StoreNow
	}
	return in.Now
}

func (j *judge) keep(i int, why cofre.Message) {
	j.decisions[i].Keep = true
	j.decisions[i].Reasons = append(j.decisions[i].Reasons, why)
}

// judge lets each rule keep what it keeps, then what is above the rules, and last what others need.
func (j *judge) judge() {
	if j.source.Rules.IsZero() {
		for i := range j.decisions {
			j.keep(i, cofre.Say("retention.everything", "no rule lets anything of this source go"))
		}
	} else {
		j.byRules()
	}
	j.byHolds()
	j.lastWhole()
	j.byVerified()
	if j.source.Frozen = j.frozen(); j.source.Frozen != nil {
		for i := range j.decisions {
			if !j.decisions[i].Keep {
				j.keep(i, cofre.Say("retention.frozen", "nothing of this source expires for now: {{.why}}", "why", j.source.Frozen.Reason))
			}
		}
	}
	j.byNeed()
	j.explain()
}

func (j *judge) byRules() {
	rules := j.source.Rules
	j.byAge(rules.Days)
	j.byNumber(rules.Last)
	for _, p := range periods {
		j.byPeriod(p, p.of(rules))
	}
}

// byAge keeps what is younger than some days. Of a cluster it also keeps the newest whole base backup before them: the first moments
// of these days are recovered from it.
func (j *judge) byAge(days int) {
	if days == 0 {
		return
	}
	window := time.Duration(days) * 24 * time.Hour
	before := -1
	for i, c := range j.components[:j.future] {
		if j.decisions[i].Age.Counted < window {
			j.keep(i, young(j.decisions[i].Age, days))
		} else if c.Whole {
			before = i
		}
	}
	if j.source.ID.Kind == cofre.KindCluster && before >= 0 {
		j.keep(before, cofre.SayN("retention.window", days, "the last day begins in it", "the last {{.n}} days begin in it"))
	}
}

// young says why a component is younger than a rule lets go, which one of long ago is only by the time that counts.
func young(age Age, limit int) cofre.Message {
	if age.Calendar < time.Duration(limit)*24*time.Hour {
		return cofre.SayN("retention.days", limit, "younger than 1 day", "younger than {{.n}} days")
	}
	return cofre.SayN("retention.days_silent", limit, "{{.age}} old, of which {{.counted}} count: less than 1 day", "{{.age}} old, of which {{.counted}} count: less than {{.n}} days",
		"age", days(age.Calendar), "counted", days(age.Counted))
}

// byNumber keeps the newest that are whole.
func (j *judge) byNumber(n int) {
	for i := j.future - 1; i >= 0 && n > 0; i-- {
		if j.components[i].Whole {
			j.keep(i, cofre.Say("retention.last", "among the newest of keep.last"))
			n--
		}
	}
}

// byPeriod keeps the newest of each of n periods in which there is one: the newest whole one, or the newest if none is whole. Periods
// in which there is none do not count.
func (j *judge) byPeriod(p period, n int) {
	for i := j.future - 1; i >= 0 && n > 0; {
		name := p.name(j.components[i].at.In(j.in.Location))
		best := i
		next := i
		for ; next >= 0 && p.name(j.components[next].at.In(j.in.Location)) == name; next-- {
			if !j.components[best].Whole && j.components[next].Whole {
				best = next
			}
		}
		j.keep(best, p.reason(name))
		i = next
		n--
	}
}

func (j *judge) byHolds() {
	for _, h := range j.in.Holds {
		if !h.Until.IsZero() && !j.in.now().Before(h.Until) {
			continue
		}
		for i, c := range j.components {
			if c.Point == h.Point && (h.Kind == "" || h.Kind == c.Source.Kind) {
				j.keep(i, cofre.Say("retention.hold", "held by {{.owner}}: {{.reason}}", "owner", h.Owner, "reason", cofre.Verbatim(h.Reason)))
			}
		}
	}
}

// lastWhole keeps the newest whole component, also that which was published last if clocks do not agree which that is, and what is
// newer, which has the newest of what it does have. If none is whole, it keeps everything: something of it may be all that is left.
func (j *judge) lastWhole() {
	newest := newestWhole(j.components[:j.future])
	if newest < 0 {
		for i := range j.decisions {
			j.keep(i, noneWhole())
		}
		return
	}
	j.keep(newest, cofre.Say("retention.newest", "the newest whole one"))
	for i := newest + 1; i < j.future; i++ {
		j.keep(i, cofre.Say("retention.newer", "newer than the newest whole one"))
	}
	published := newest
	for i, c := range j.components {
		if c.Whole && c.Order > j.components[published].Order {
			published = i
		}
	}
	if published != newest {
		j.keep(published, cofre.Say("retention.published_last", "the whole one that was published last"))
	}
}

func noneWhole() cofre.Message {
	return cofre.Say("retention.none_whole", "none of this source is whole")
}

// byVerified sees to it that so many proven components stay: it keeps the newest of those that would go, and if there are not
// enough, everything, because the one that is good may be among what was never proven.
func (j *judge) byVerified() {
	want := j.source.Rules.Verified
	if want == 0 {
		return
	}
	stay := 0
	for i, c := range j.components {
		if c.Whole && c.Proven && j.decisions[i].Keep {
			stay++
		}
	}
	for i := len(j.components) - 1; i >= 0 && stay < want; i-- {
		if c := j.components[i]; c.Whole && c.Proven && !j.decisions[i].Keep {
			j.keep(i, cofre.SayN("retention.verified", want, "1 verified one always stays", "{{.n}} verified ones always stay"))
			stay++
		}
	}
	if stay >= want {
		return
	}
	for i := range j.decisions {
		if !j.decisions[i].Keep {
			j.keep(i, cofre.Say("retention.too_few", "only {{.there}} verified ones are there, and {{.want}} always stay", "there", stay, "want", want))
		}
	}
}

// frozen says why nothing of the source may go now.
func (j *judge) frozen() *Frozen {
	if s := j.in.StoreNow; !s.IsZero() && s.Sub(j.in.Now).Abs() > Skew {
		return &Frozen{j.in.now(), cofre.Say("retention.clock", "the clocks of this host and of the store are {{.apart}} apart", "apart", s.Sub(j.in.Now).Abs().Round(time.Second))}
	}
	if j.future < len(j.components) {
		c := j.components[j.future]
		return &Frozen{j.published(c), cofre.Say("retention.ahead", "the clock was ahead when {{.point}} was made; to go on without its time: cofre journal acknowledge {{.point}} --why 'its clock was ahead'", "point", c.Point)}
	}
	for _, a := range j.in.Attempts {
		if a.Source == j.source.ID && !a.FailingSince.IsZero() {
			return &Frozen{a.FailingSince, cofre.Say("retention.failing", "its captures fail")}
		}
	}
	if len(j.components) > 0 && newestWhole(j.components[:j.future]) < 0 {
		return &Frozen{j.components[0].At, noneWhole()}
	}
	return nil
}

// published is about when a component was published whose own time is yet to come: not before the newest of those that were published before it.
func (j *judge) published(c dated) time.Time {
	since := j.in.now()
	for _, other := range slices.Backward(j.components[:j.future]) {
		if other.Order < c.Order {
			since = other.At
			break
		}
	}
	return since
}

// byNeed keeps what a component that stays cannot be restored without, and what that needs in turn.
func (j *judge) byNeed() {
	at := make(map[cofre.PointID]int, len(j.components))
	for i, c := range j.components {
		at[c.Point] = i
	}
	var follow func(i int)
	follow = func(i int) {
		for _, need := range j.components[i].Needs {
			if n, ok := at[need]; ok && !j.decisions[n].Keep {
				j.keep(n, cofre.Say("retention.needed", "{{.point}} cannot be restored without it", "point", j.components[i].Point))
				follow(n)
			}
		}
	}
	for i := range j.decisions {
		if j.decisions[i].Keep {
			follow(i)
		}
	}
}

// explain says of what goes why it does.
func (j *judge) explain() {
	for i := range j.decisions {
		d := &j.decisions[i]
		if d.Keep {
			continue
		}
		if d.Age.Calendar > d.Age.Counted {
			d.Reasons = append(d.Reasons, cofre.Say("retention.no_rule_silent", "no rule keeps it: {{.age}} old, of which {{.counted}} count", "age", days(d.Age.Calendar), "counted", days(d.Age.Counted)))
			continue
		}
		d.Reasons = append(d.Reasons, cofre.Say("retention.no_rule", "no rule keeps it: {{.age}} old", "age", days(d.Age.Calendar)))
	}
}

// days is an age as a person reads it.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}

// since is where the time begins in which every moment stays reachable: as many days ago as the rule says, or with the oldest component
// that is young enough by it, since days on which nothing was captured do not count.
func (j *judge) since() time.Time {
	if j.source.Rules.Days == 0 || j.source.Frozen != nil {
		return time.Time{}
	}
	window := time.Duration(j.source.Rules.Days) * 24 * time.Hour
	since := j.in.now().Add(-window)
	for i, c := range j.components[:j.future] {
		if j.decisions[i].Age.Counted < window && c.At.Before(since) {
			since = c.At
		}
	}
	return since
}

func (j *judge) summary() Source {
	s := j.source
	s.Since = j.since()
	for _, d := range j.decisions {
		if d.Whole && s.Oldest.IsZero() {
			s.Oldest = d.At
		}
		if !d.Keep {
			s.Expired++
			s.Frees += d.Bytes
			continue
		}
		s.Kept++
		if d.Whole && s.Moves.IsZero() {
			s.Moves = d.At
		}
	}
	return s
}
