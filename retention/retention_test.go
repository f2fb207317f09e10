package retention_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/retention"
)

var (
	noon   = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	answer = cofre.SourceID{Installation: "trustlayer", Kind: cofre.KindDatabase, Name: "answers"}
)

const day = 24 * time.Hour

// daily are n components, one each day, the newest at noon.
func daily(n int) []retention.Component {
	all := make([]retention.Component, n)
	for i := range all {
		at := noon.Add(-time.Duration(n-1-i) * day)
		all[i] = retention.Component{Point: cofre.PointID(at.Format("20060102")), Source: answer, At: at, Order: int64(i + 1), Whole: true}
	}
	return all
}

func input(components []retention.Component, rules retention.Rules) retention.Input {
	return retention.Input{Now: noon.Add(time.Hour), Components: components, Rules: func(cofre.SourceID) retention.Rules { return rules }}
}

// kept are the points that stay, as days before the newest.
func kept(p *retention.Plan) string {
	var days []string
	for _, d := range slices.Backward(p.Decisions) {
		if d.Keep {
			days = append(days, fmt.Sprintf("%.0f", noon.Sub(d.At).Hours()/24))
		}
	}
	return strings.Join(days, " ")
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules retention.Rules
		want  string
	}{
		{"none", retention.Rules{}, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"},
		{"only how many verified stay", retention.Rules{Verified: 2}, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19"},
		{"days", retention.Rules{Days: 3}, "0 1 2"},
		{"last", retention.Rules{Last: 2}, "0 1"},
		{"daily", retention.Rules{Daily: 4}, "0 1 2 3"},
		{"weekly", retention.Rules{Weekly: 3}, "0 4 11"}, // Thursday, and the Sundays before it
		{"monthly", retention.Rules{Monthly: 12}, "0"},   // all of one month
		{"together", retention.Rules{Days: 2, Weekly: 2}, "0 1 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := kept(retention.Decide(input(daily(20), c.rules))); got != c.want {
				t.Errorf("kept %q, want %q", got, c.want)
			}
		})
	}
}

// Every moment of the last days stays reachable: from the base backup before them.
func TestTheWindowOfAClusterBeginsInABaseBackup(t *testing.T) {
	weekly := slices.DeleteFunc(daily(28), func(c retention.Component) bool { return int(noon.Sub(c.At)/day)%7 != 3 })
	for i := range weekly {
		weekly[i].Source.Kind = cofre.KindCluster
	}
	// 3, 10, 17 and 24 days before noon: of these the window of 8 days, from the newest, begins between 10 and 17.
	if got := kept(retention.Decide(input(weekly, retention.Rules{Days: 8}))); got != "3 10 17" {
		t.Errorf("kept %q", got)
	}
	weekly[1].Whole = false // 17 days: what cannot be recovered from is no beginning
	if got := kept(retention.Decide(input(weekly, retention.Rules{Days: 8}))); got != "3 10 24" {
		t.Errorf("kept %q", got)
	}
}

func TestWhatIsAboveTheRules(t *testing.T) {
	one := retention.Rules{Last: 1}
	held := input(daily(5), one)
	held.Holds = []cofre.Hold{
		{Point: held.Components[0].Point, Owner: "ana", Reason: "lawsuit 12"},
		{Point: held.Components[1].Point, Owner: "ana", Reason: "over", Until: noon},
		{Point: held.Components[2].Point, Kind: cofre.KindStorage, Owner: "ana", Reason: "of the storage"},
	}
	if got := kept(retention.Decide(held)); got != "0 4" {
		t.Errorf("held: kept %q", got)
	}
	chain := input(daily(5), one)
	chain.Components[4].Needs = []cofre.PointID{chain.Components[2].Point}
	chain.Components[2].Needs = []cofre.PointID{chain.Components[0].Point}
	if got := kept(retention.Decide(chain)); got != "0 2 4" {
		t.Errorf("needed: kept %q", got)
	}
	proven := input(daily(5), retention.Rules{Last: 1, Verified: 1})
	if got := kept(retention.Decide(proven)); got != "0 1 2 3 4" {
		t.Errorf("nothing is verified: kept %q", got)
	}
	proven.Components[1].Proven = true
	if got := kept(retention.Decide(proven)); got != "0 3" {
		t.Errorf("one is verified: kept %q", got)
	}
	broken := input(daily(5), one)
	broken.Components[4].Whole, broken.Components[3].Whole = false, false
	if got := kept(retention.Decide(broken)); got != "0 1 2" {
		t.Errorf("the newest are not whole: kept %q", got)
	}
	for i := range broken.Components {
		broken.Components[i].Whole = false
	}
	if got := kept(retention.Decide(broken)); got != "0 1 2 3 4" {
		t.Errorf("none is whole: kept %q", got)
	}
}

func TestNothingExpiresOnADoubt(t *testing.T) {
	rules := retention.Rules{Days: 3}
	failing := input(daily(20), rules)
	failing.Attempts = []retention.Attempt{{Source: answer, FailingSince: noon.Add(time.Minute)}}
	ahead := input(daily(20), rules)
	ahead.Components[10].At = noon.Add(2 * day)
	apart := input(daily(20), rules)
	apart.StoreNow = apart.Now.Add(-10 * time.Minute)
	for name, in := range map[string]retention.Input{"captures fail": failing, "a component of the future": ahead, "clocks apart": apart} {
		p := retention.Decide(in)
		if n := len(p.Expired()); n > 0 || p.Sources[0].Frozen == nil {
			t.Errorf("%s: %d expire, frozen %v", name, n, p.Sources[0].Frozen)
		}
	}
}

// Thirty days without a success, whatever the clock of this host says.
func TestWhatFailsDoesNotAge(t *testing.T) {
	in := input(daily(20), retention.Rules{Days: 7})
	before := kept(retention.Decide(in))
	for _, later := range []time.Duration{30 * day, 3650 * day} {
		in.Now = noon.Add(later)
		if got := kept(retention.Decide(in)); got != before {
			t.Errorf("after %v: kept %q, before %q", later, got, before)
		}
	}
	// The first success afterwards does not take all of them either.
	in.Components = append(in.Components, retention.Component{Point: "after", Source: answer, At: noon.Add(30 * day), Order: 21, Whole: true})
	in.Now = noon.Add(31 * day)
	if got := kept(retention.Decide(in)); got != "-30 0 1 2 3 4" {
		t.Errorf("after a silence of 30 days, which count as 2: kept %q", got)
	}
}

// Days are counted from the newest whole one that is there, not from one that has expired and was newer: what came after that is damaged.
func TestDaysCountFromWhatIsThere(t *testing.T) {
	all := daily(20)
	in := input(slices.Concat(all[:3], all[19:]), retention.Rules{Days: 3})
	in.Components[3].Whole = false
	in.Gone = all[3:19]
	if got := kept(retention.Decide(in)); got != "0 17 18 19" {
		t.Errorf("kept %q", got)
	}
}

// Why an old one stays is said as it is: not that it is young.
func TestWhatStaysForASilenceIsNotCalledYoung(t *testing.T) {
	components := append(daily(5), retention.Component{Point: "after", Source: answer, At: noon.Add(30 * day), Order: 6, Whole: true})
	in := input(components, retention.Rules{Days: 7})
	in.Now = noon.Add(30*day + time.Hour)
	got := map[cofre.PointID]string{}
	for _, d := range retention.Decide(in).Decisions {
		got[d.Point] = d.Reasons[0].String()
	}
	for point, want := range map[cofre.PointID]string{"after": "younger than 7 days", "20261126": "30 d old, of which 2 d count: less than 7 days", "20261122": "34 d old, of which 6 d count: less than 7 days"} {
		if got[point] != want {
			t.Errorf("%s: %q, want %q", point, got[point], want)
		}
	}
}

// A source of which nothing is whole keeps everything for ever: that is said of the source, and since when.
// A clock that was ahead once has held everything since then, and not since somebody last asked.
func TestAClockThatWasAheadFreezesSinceItsPublication(t *testing.T) {
	in := input(daily(10), retention.Rules{Days: 3})
	in.Components[7].At = noon.Add(400 * day)
	s := retention.Decide(in).Sources[0]
	if s.Frozen == nil || !s.Frozen.Since.Equal(in.Components[6].At) {
		t.Errorf("the source is frozen: %+v", s.Frozen)
	}
}

func TestASourceThatIsNeverWholeIsFrozen(t *testing.T) {
	in := input(daily(20), retention.Rules{Days: 3})
	for i := range in.Components {
		in.Components[i].Whole = false
	}
	plan := retention.Decide(in)
	s := plan.Sources[0]
	if s.Frozen == nil || !s.Frozen.Since.Equal(in.Components[0].At) || s.Frozen.Reason.String() != "none of this source is whole" {
		t.Errorf("the source is frozen: %+v", s.Frozen)
	}
	if len(plan.Expired()) != 0 || !s.Since.IsZero() {
		t.Errorf("%d go, and moments before %s", len(plan.Expired()), s.Since)
	}
}

// Day by day for two years: what is thinned out is not taken for a silence.
func TestThinningOut(t *testing.T) {
	in := input(nil, retention.Rules{Days: 30, Monthly: 12})
	for i := range 730 {
		at := noon.Add(time.Duration(i) * day)
		in.Now = at.Add(time.Hour)
		in.Components = append(in.Components, retention.Component{Point: cofre.NewPointID(at), Source: answer, At: at, Order: int64(i + 1), Whole: true})
		p := retention.Decide(in)
		in.Components = in.Components[:0]
		for _, d := range p.Decisions {
			if d.Keep {
				in.Components = append(in.Components, d.Component)
			} else {
				in.Gone = append(in.Gone, d.Component)
			}
		}
	}
	// The 30 newest are of two months, and ten months before them have one each.
	if n := len(in.Components); n != 40 {
		t.Errorf("%d are left", n)
	}
}

// What a clock that leapt has written is as old as what was published next to it.
func TestAClockThatLeapt(t *testing.T) {
	rules := retention.Rules{Days: 4}
	back := input(daily(20), rules)
	for i := 17; i < 20; i++ {
		back.Components[i].At = back.Components[i].At.AddDate(-10, 0, 0)
	}
	for _, d := range retention.Decide(back).Decisions {
		if d.Order > 16 && !d.Keep {
			t.Errorf("the clock of the newest was ten years back: %s expires: %v", d.Point, d.Reasons)
		}
	}
	ahead := input(daily(20), rules)
	ahead.Components[10].At = ahead.Components[10].At.Add(5 * day) // it is past by now
	if got := kept(retention.Decide(ahead)); got != "0 1 2 3" {
		t.Errorf("one of long ago was made by a clock five days ahead: kept %q", got)
	}
}

// Two rows of times are as long: with the one that leapt ten years back, or with the one before it. Nobody can say which was wrong, and the younger
// time keeps.
func TestOneOfTwoTimesIsWrong(t *testing.T) {
	all := daily(6)
	all = []retention.Component{all[0], all[2], all[3], all[5]}
	all[0].At = all[0].At.AddDate(0, 0, -40)
	all[1].At = all[1].At.AddDate(-10, 0, 0)
	for i := range all {
		all[i].Order = int64(i + 1)
	}
	for _, d := range retention.Decide(input(all, retention.Rules{Days: 30})).Decisions {
		if d.Point == all[1].Point && !d.Keep {
			t.Errorf("what is a few days old, by a clock ten years behind, goes: %v", d.Reasons)
		}
	}
}

func TestASourceIsDecidedAboutByItself(t *testing.T) {
	other := answer
	other.Kind = cofre.KindStorage
	in := input(daily(10), retention.Rules{})
	for _, c := range daily(10) {
		c.Source = other
		in.Components = append(in.Components, c)
	}
	in.Rules = func(id cofre.SourceID) retention.Rules {
		if id == other {
			return retention.Rules{Last: 1}
		}
		return retention.Rules{Last: 3}
	}
	in.Attempts = []retention.Attempt{{Source: other, FailingSince: noon}}
	p := retention.Decide(in)
	if len(p.Sources) != 2 || p.Sources[0].Kept != 3 || p.Sources[0].Expired != 7 || p.Sources[1].Kept != 10 {
		t.Errorf("%+v", p.Sources)
	}
	if s := p.Sources[0]; !s.Oldest.Equal(noon.Add(-9*day)) || !s.Moves.Equal(noon.Add(-2*day)) {
		t.Errorf("the oldest moves from %v to %v", s.Oldest, s.Moves)
	}
}

func BenchmarkDecide(b *testing.B) {
	all := daily(10_000)
	in := input(all, retention.Rules{Days: 30, Last: 5, Hourly: 24, Daily: 30, Weekly: 8, Monthly: 24, Yearly: 10, Verified: 3})
	for b.Loop() {
		retention.Decide(in)
	}
}
