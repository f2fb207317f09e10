package due_test

import (
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre/agent/due"
	"github.com/trustlayer/cofre/schedule"
	"pgregory.net/rapid"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

func parse(text string) schedule.Schedule {
	s, err := schedule.Parse(text)
	if err != nil {
		panic(err)
	}
	return s
}

func nightly() due.Job {
	return due.Job{Name: "t/backup-database", Schedule: parse("0 2 * * *"), Window: 2 * time.Hour}
}

func did(outcome due.Outcome, began, ended string) due.Attempt {
	a := due.Attempt{Outcome: outcome, BeganAt: at(began)}
	if ended != "" {
		a.EndedAt = at(ended)
	}
	return a
}

func TestDecide(t *testing.T) {
	yesterday := did(due.Done, "2026-11-26T02:00:00Z", "2026-11-26T02:40:00Z")
	for _, c := range []struct {
		name     string
		now      string
		attempts []due.Attempt
		want     due.Decision
		caughtUp bool
	}{
		{"nothing ever ran", "2026-11-27T15:00:00Z", nil, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, true},
		{"it is not yet time", "2026-11-27T01:59:59Z", []due.Attempt{yesterday}, due.Decision{State: due.Waiting, Until: at("2026-11-27T02:00:00Z"), For: at("2026-11-26T02:00:00Z")}, false},
		{"it is time", "2026-11-27T02:00:00Z", []due.Attempt{yesterday}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"it has run", "2026-11-27T02:50:00Z", []due.Attempt{did(due.Done, "2026-11-27T02:00:00Z", "2026-11-27T02:40:00Z")}, due.Decision{State: due.Waiting, Until: at("2026-11-28T02:00:00Z"), For: at("2026-11-27T02:00:00Z")}, false},
		{"a run by hand before it is not it", "2026-11-27T02:00:00Z", []due.Attempt{did(due.Done, "2026-11-27T01:59:00Z", "2026-11-27T02:10:00Z")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"a stop of five days is one run", "2026-12-01T11:00:00Z", []due.Attempt{yesterday}, due.Decision{State: due.Due, For: at("2026-12-01T02:00:00Z"), Ends: at("2026-12-01T04:00:00Z"), Missed: 4}, true},
		{"it runs", "2026-11-27T03:00:00Z", []due.Attempt{yesterday, did(due.Running, "2026-11-27T02:00:01Z", "")}, due.Decision{State: due.Busy, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Until: at("2026-11-27T04:00:00Z")}, false},
		{"it overruns", "2026-11-27T04:00:01Z", []due.Attempt{yesterday, did(due.Running, "2026-11-27T02:00:01Z", "")}, due.Decision{State: due.Busy, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Overrun: true}, false},
		{"what is caught up by day has no window", "2026-11-27T16:00:01Z", []due.Attempt{yesterday, did(due.Running, "2026-11-27T12:00:01Z", "")}, due.Decision{State: due.Busy, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"it failed once", "2026-11-27T02:00:30Z", []due.Attempt{yesterday, did(due.Failed, "2026-11-27T02:00:00Z", "2026-11-27T02:00:10Z")}, due.Decision{State: due.Retrying, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Until: at("2026-11-27T02:01:10Z"), Failures: 1}, false},
		{"it is tried again", "2026-11-27T02:01:10Z", []due.Attempt{yesterday, did(due.Failed, "2026-11-27T02:00:00Z", "2026-11-27T02:00:10Z")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Failures: 1}, false},
		{"failures of yesterday are past", "2026-11-27T02:00:00Z", []due.Attempt{yesterday, did(due.Failed, "2026-11-27T01:59:30Z", "2026-11-27T01:59:59Z")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"what was killed goes on when the machine is back", "2026-11-27T02:00:01Z", []due.Attempt{yesterday, did(due.Killed, "2026-11-27T02:00:00Z", "")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Failures: 1}, false},
		{"what was killed twice waits", "2026-11-27T02:00:09Z", []due.Attempt{yesterday, did(due.Killed, "2026-11-27T02:00:00Z", ""), did(due.Killed, "2026-11-27T02:00:05Z", "")}, due.Decision{State: due.Retrying, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z"), Until: at("2026-11-27T02:01:05Z"), Failures: 2}, false},
		{"what was called off begins again", "2026-11-27T02:00:05Z", []due.Attempt{yesterday, did(due.Stopped, "2026-11-27T02:00:00Z", "2026-11-27T02:00:04Z")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"a run of next year is not believed", "2026-11-27T02:00:00Z", []due.Attempt{yesterday, did(due.Done, "2027-11-27T02:00:00Z", "2027-11-27T02:10:00Z")}, due.Decision{State: due.Due, For: at("2026-11-27T02:00:00Z"), Ends: at("2026-11-27T04:00:00Z")}, false},
		{"another machine's clock is a minute ahead", "2026-11-27T02:00:00Z", []due.Attempt{did(due.Done, "2026-11-27T02:00:50Z", "2026-11-27T02:00:59Z")}, due.Decision{State: due.Waiting, For: at("2026-11-27T02:00:00Z"), Until: at("2026-11-28T02:00:00Z")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := at(c.now)
			got := due.Decide(nightly(), c.attempts, now)
			if c.want.State == due.Due {
				c.want.Until = now
			}
			c.want.Next = nightly().Next(now)
			if got != c.want || got.State == due.Due && got.CaughtUp(now) != c.caughtUp {
				t.Errorf("\ngot  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestWhatNeverRan(t *testing.T) {
	j, now := nightly(), at("2026-11-27T15:00:00Z")
	j.From = now.Add(-time.Hour)
	if d := due.Decide(j, nil, now); d.State != due.Waiting || !d.Until.Equal(at("2026-11-28T02:00:00Z")) {
		t.Errorf("a moment before it counts: %+v", d)
	}
	if d := due.Decide(due.Job{}, nil, now); d.State != due.Never {
		t.Errorf("without a schedule: %+v", d)
	}
}

func TestPauses(t *testing.T) {
	var got []time.Duration
	for n := 1; n <= 9; n++ {
		got = append(got, due.Pause(n)/time.Minute)
	}
	if !slices.Equal(got, []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}) {
		t.Error(got)
	}
}

func TestJitterIsTheSameEverywhereAndSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for _, name := range []string{"a/backup-database", "b/backup-database", "c/backup-database", "d/backup-database", "a/backup-storage"} {
		j := due.Job{Name: name, Schedule: parse("0 2 * * *"), Jitter: time.Hour}
		offset := j.Offset()
		if offset < 0 || offset > j.Jitter || offset%time.Second != 0 {
			t.Errorf("%s begins %s later", name, offset)
		}
		seen[offset] = true
		if next := j.Next(at("2026-11-27T00:00:00Z")); !next.Equal(at("2026-11-27T02:00:00Z").Add(offset)) {
			t.Errorf("%s is due at %s", name, next)
		}
	}
	if len(seen) < 4 {
		t.Errorf("five jobs begin at %d times", len(seen))
	}
	// It follows from the name alone: were this another, every installation would move when cofre is upgraded.
	if got := (due.Job{Name: "trustlayer/backup-database", Jitter: time.Hour}).Offset(); got != 52*time.Minute+57*time.Second {
		t.Errorf("trustlayer/backup-database begins %s later", got)
	}
}

// world is an agent that is up, down, killed and started again, whose jobs take no time.
type world struct {
	job      due.Job
	now      time.Time
	attempts []due.Attempt
}

// up lets the agent run until a moment, as its loop does: it looks, does what is due, and looks again when the decision says.
func (w *world) up(until time.Time, outcome func() due.Outcome) {
	for {
		d := due.Decide(w.job, w.attempts, w.now)
		if d.State == due.Due {
			w.attempts = append(w.attempts, due.Attempt{BeganAt: w.now, EndedAt: w.now, Outcome: outcome()})
			continue
		}
		if d.Until.IsZero() || d.Until.After(until) {
			w.now = until
			return
		}
		w.now = d.Until
	}
}

func always(o due.Outcome) func() due.Outcome { return func() due.Outcome { return o } }

func (w *world) began() (all []time.Time) {
	for _, a := range w.attempts {
		all = append(all, a.BeganAt)
	}
	return all
}

// An agent that is never stopped runs each job exactly when its schedule says, also on the days on which clocks change.
func TestDaysOnWhichClocksChange(t *testing.T) {
	for _, c := range []struct{ zone, text, from, to string }{
		{"America/Sao_Paulo", "0 0 * * *", "2018-10-20T12:00:00Z", "2018-11-20T12:00:00Z"},
		{"America/Sao_Paulo", "30 23 * * *", "2019-02-01T12:00:00Z", "2019-03-01T12:00:00Z"},
		{"America/Sao_Paulo", "0 * * * *", "2019-02-16T12:00:00Z", "2019-02-17T12:00:00Z"},
		{"Europe/Lisbon", "30 1 * * *", "2026-03-20T12:00:00Z", "2026-04-05T12:00:00Z"},
		{"Europe/Lisbon", "30 1 * * *", "2026-10-20T12:00:00Z", "2026-10-30T12:00:00Z"},
		{"Europe/Lisbon", "*/30 * * * *", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"},
	} {
		z, s := zone(c.zone), parse(c.text)
		var want []time.Time
		for at, to := s.Next(at(c.from).In(z)), at(c.to); !at.After(to); at = s.Next(at) {
			want = append(want, at)
		}
		w := world{job: due.Job{Schedule: s, Zone: z, From: at(c.from).Add(time.Second)}, now: at(c.from)}
		w.up(at(c.to), always(due.Done))
		if got := w.began(); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Errorf("%s in %s ran at\n%s, want\n%s", c.text, c.zone, got, want)
		}
	}
}

// Months with stops of days: each moment is honoured by one run, those of a stop by one together, at once when it ends.
func TestMonthsWithStops(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		z := zone(rapid.SampledFrom([]string{"America/Sao_Paulo", "Europe/Lisbon", "UTC"}).Draw(t, "zone"))
		s := parse(rapid.SampledFrom([]string{"0 2 * * *", "0 0 * * *", "0 23 * * *", "0 */6 * * *", "0 3 * * 0", "@every 7h", "15 1 * * 1-5"}).Draw(t, "schedule"))
		job := due.Job{Name: rapid.StringN(1, 5, -1).Draw(t, "name"), Schedule: s, Zone: z, Jitter: time.Duration(rapid.IntRange(0, 5400).Draw(t, "jitter")) * time.Second}
		start := time.Date(rapid.IntRange(2018, 2019).Draw(t, "year"), time.January, rapid.IntRange(1, 365).Draw(t, "day"), 12, 0, 0, 0, z)
		w := world{job: job, now: start}
		var ups [][2]time.Time
		for range rapid.IntRange(1, 12).Draw(t, "stretches") {
			end := w.now.Add(time.Duration(rapid.IntRange(1, 20*24*60).Draw(t, "minutes up")) * time.Minute)
			ups = append(ups, [2]time.Time{w.now, end})
			w.up(end, always(due.Done))
			w.now = end.Add(time.Duration(rapid.IntRange(0, 6*24*60).Draw(t, "minutes down")) * time.Minute)
		}
		var want []time.Time
		last := time.Time{} // the newest moment that was honoured
		for _, up := range ups {
			if newest := job.Next(up[0].Add(-400 * 24 * time.Hour)); !newest.IsZero() {
				for next := newest; !next.After(up[0]); next = job.Next(next) {
					newest = next
				}
				if newest.After(last) && !newest.After(up[0]) {
					want, last = append(want, up[0]), newest
				}
			}
			for at := job.Next(up[0]); !at.After(up[1]); at = job.Next(at) {
				want, last = append(want, at), at
			}
		}
		if got := w.began(); !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s (%s later) in %s, up %v:\nran  %v\nwant %v", s, job.Offset(), z, ups, got, want)
		}
	})
}

// Whatever fails: a job is done once for each moment, is tried again within an hour, and never more often than its pauses let it.
func TestMonthsWithFailures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{job: due.Job{Schedule: parse("0 */6 * * *")}, now: at("2026-01-01T00:00:00Z")}
		outcome := rapid.SampledFrom([]due.Outcome{due.Done, due.Failed, due.Failed})
		w.up(w.now.Add(30*24*time.Hour), func() due.Outcome { return outcome.Draw(t, "outcome") })
		done := map[time.Time]int{}
		for i, a := range w.attempts {
			moment := a.BeganAt.Truncate(6 * time.Hour)
			if a.Outcome == due.Done {
				done[moment]++
			}
			if done[moment] > 1 || done[moment] == 1 && a.Outcome != due.Done {
				t.Fatalf("it ran again at %s, and was done", a.BeganAt)
			}
			if i == 0 || moment != w.attempts[i-1].BeganAt.Truncate(6*time.Hour) {
				continue
			}
			if pause := a.BeganAt.Sub(w.attempts[i-1].BeganAt); pause < time.Minute || pause > time.Hour {
				t.Fatalf("tried again after %s", pause)
			}
		}
	})
}

// Clocks that are set forward and back: nothing is run more than once for a moment and for each time that the clock was set back over it, and the job never
// waits longer than until the next moment of the clock that is right now.
func TestClocksThatAreSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{job: due.Job{Schedule: parse("0 2 * * *")}, now: at("2026-06-01T12:00:00Z")}
		back := 0
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			w.up(w.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "hours up"))*time.Hour), always(due.Done))
			hours := rapid.IntRange(-24*400, 24*400).Draw(t, "hours set by")
			if hours < 0 {
				back++
			}
			w.now = w.now.Add(time.Duration(hours) * time.Hour)
		}
		w.up(w.now.Add(49*time.Hour), always(due.Done)) // two moments
		runs := map[time.Time]int{}
		for _, a := range w.attempts {
			moment := a.BeganAt.Add(-2 * time.Hour).Truncate(24 * time.Hour)
			if runs[moment]++; runs[moment] > 1+back {
				t.Fatalf("%d runs for the moment of %s, and the clock was set back %d times", runs[moment], moment, back)
			}
		}
		d := due.Decide(w.job, w.attempts, w.now)
		if d.State != due.Waiting || d.Until.Sub(w.now) > 24*time.Hour {
			t.Fatalf("at %s: %+v", w.now, d)
		}
	})
}

// A year of a hundred jobs, planned from nothing.
func BenchmarkYear(b *testing.B) {
	z := zone("America/Sao_Paulo")
	job := due.Job{Name: "x", Schedule: parse("0 2 * * *"), Zone: z, Jitter: time.Hour}
	from := time.Date(2018, 1, 1, 0, 0, 0, 0, z)
	for b.Loop() {
		for range 100 {
			for at := job.Next(from); at.Year() == 2018; at = job.Next(at) {
			}
		}
	}
}

// One look at a job with the runs of ten thousand nights.
func BenchmarkDecide(b *testing.B) {
	job, now := nightly(), at("2026-11-27T15:00:00Z")
	var attempts []due.Attempt
	for i := range 10_000 {
		began := now.Add(-time.Duration(10_000-i) * 24 * time.Hour)
		attempts = append(attempts, due.Attempt{BeganAt: began, EndedAt: began.Add(time.Hour), Outcome: due.Done})
	}
	for b.Loop() {
		due.Decide(job, attempts, now)
	}
}
