package retention_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/retention"
)

// at makes a whole component for each of some days, of 100 bytes each.
func at(days ...int) (all []retention.Component) {
	for i, d := range days {
		all = append(all, retention.Component{
			Point: cofre.PointID(fmt.Sprint(d)), Source: answer, At: noon.Add(time.Duration(d) * day), Order: int64(i + 1), Whole: true, Bytes: 100,
		})
	}
	return all
}

// A silence counts as twice what lies between two captures usually, and as two days at least.
func TestASilenceCountsAsTwiceTheUsualDistance(t *testing.T) {
	for _, c := range []struct {
		what  string
		days  []int
		every time.Duration
		want  string // days by the calendar and counted, the oldest first
	}{
		{"nothing is left out", []int{-4, -3, -2, -1, 0}, 0, "4/4 3/3 2/2 1/1 0/0"},
		{"every four days, and then 40 of silence", []int{-48, -44, -40, 0}, 0, "48/16 44/12 40/8 0/0"},
		{"the same, with a schedule of each day", []int{-48, -44, -40, 0}, day, "48/6 44/4 40/2 0/0"},
		{"the same, with a schedule of each week", []int{-48, -44, -40, 0}, 7 * day, "48/22 44/18 40/14 0/0"},
		{"a single distance is not usual", []int{-30, 0}, 0, "30/2 0/0"},
		{"of three distances the middle one", []int{-39, -38, -35, -30, 0}, 0, "39/15 38/14 35/11 30/6 0/0"},
		{"of two distances the shorter", []int{-33, -30, 0}, 0, "33/9 30/6 0/0"},
		{"of two distances the shorter, which came last", []int{-33, -3, 0}, 0, "33/9 3/3 0/0"},
	} {
		in := input(at(c.days...), retention.Rules{Days: 1000})
		if c.every > 0 {
			in.Attempts = []retention.Attempt{{Source: answer, Every: c.every}, {Source: cofre.SourceID{Name: "other"}, Every: 90 * day}}
		}
		var got []string
		for _, d := range retention.Decide(in).Decisions {
			got = append(got, fmt.Sprintf("%d/%d", d.Age.Calendar/day, d.Age.Counted/day))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.what, s, c.want)
		}
	}
}

// What a plan says of a source is the sum of what it decides.
func TestASourceIsSummedUp(t *testing.T) {
	in := input(at(-9, -8, -7, -3, -2, -1, 0), retention.Rules{Days: 4})
	in.Components[0].Whole = false
	in.Components[1].Bytes = 23
	got := retention.Decide(in).Sources[0]
	want := retention.Source{
		ID: answer, Rules: got.Rules, Kept: 4, Expired: 3, Oldest: noon.Add(-8 * day), Moves: noon.Add(-3 * day), Since: in.Now.Add(-4 * day), Frees: 223,
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	// Days on which nothing was captured do not count: the time of which every moment is promised begins with the oldest that is young enough.
	silent := input(at(-43, -42, -41, -1, 0), retention.Rules{Days: 4})
	if got := retention.Decide(silent).Sources[0]; !got.Since.Equal(noon.Add(-41*day)) || got.Expired != 2 {
		t.Errorf("after a silence: since %v, %d expired", got.Since, got.Expired)
	}
}

// A clock that was wrong when a source was captured for the first time shows by what was published of other sources beside it.
func TestTheTimeOfAFirstCaptureIsHeldAgainstOtherSources(t *testing.T) {
	other := cofre.SourceID{Kind: cofre.KindDatabase, Name: "other"}
	components := at(-20, -19, -18, -17, -16, -15, -14, -13, -12, -11, -10)
	for i, d := range []int{-1000, -10} {
		components = append(components, retention.Component{
			Point: cofre.PointID(fmt.Sprint("other", d)), Source: other, At: noon.Add(time.Duration(d) * day), Order: []int64{6, 11}[i], Whole: true,
		})
	}
	in := input(components, retention.Rules{Days: 1000})
	for _, d := range retention.Decide(in).Decisions {
		if d.Point == "other-1000" && d.Age.Calendar != 5*day {
			t.Errorf("it was published beside what is %d days older than the newest, and is called %d days old", 5, d.Age.Calendar/day)
		}
	}
}

// A need that is not there keeps nothing else; one that is there stays, and what it needs.
func TestOnlyWhatIsNeededStays(t *testing.T) {
	in := input(at(-20, -19, -18, -1, 0), retention.Rules{Days: 4})
	in.Components[4].Needs = []cofre.PointID{"gone before", "-18"}
	in.Components[2].Needs = []cofre.PointID{"-19"}
	for _, d := range retention.Decide(in).Decisions {
		if d.Keep == (d.Point == "-20") {
			t.Errorf("%s: kept %t", d.Point, d.Keep)
		}
	}
}
