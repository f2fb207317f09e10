package schedule_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/trustlayer/cofre/schedule"
	"pgregory.net/rapid"
)

func TestSchedules(t *testing.T) {
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"0 2 * * *":    "2026-11-25T02:00:00Z",
		"*/30 * * * *": "2026-11-24T12:30:00Z",
		"0 3 * * 0":    "2026-11-29T03:00:00Z",
		"0 3 13 * 5":   "2026-11-27T03:00:00Z", // a Friday or a 13th
		"0 3 29 2 *":   "2028-02-29T03:00:00Z",
		"@monthly":     "2026-12-01T00:00:00Z",
		"@every 90m":   "2026-11-24T13:30:00Z",
		"":             "error", "0 2 * *": "error", "0 2 * * * *": "error", "TZ=": "error", "CRON_TZ=UTC 0 2 * * *": "error", "0 0 30 2 *": "error",
	} {
		got := "error"
		if s, err := schedule.Parse(text); err == nil {
			got = s.Next(start).Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q is next due at %s, want %s", text, got, want)
		}
	}
	if s := (schedule.Schedule{}); !s.IsZero() || !s.Next(start).IsZero() || !s.Last(start).IsZero() {
		t.Error("the zero schedule is due")
	}
}

// Days on which clocks change, as people there lived them.
func TestDaysOnWhichClocksChange(t *testing.T) {
	for _, c := range []struct {
		zone, text, from, to string
		want                 []string
	}{
		// There was no 00:00 on 4 November 2018.
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z", []string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"America/Sao_Paulo", "0,15,30 0 * * *", "2018-11-03T12:00:00Z", "2018-11-04T12:00:00Z", []string{"2018-11-04T01:00:00-02:00"}},
		{"America/Sao_Paulo", "30 * * * *", "2018-11-04T02:00:00Z", "2018-11-04T05:00:00Z", []string{"2018-11-03T23:30:00-03:00", "2018-11-04T01:30:00-02:00", "2018-11-04T02:30:00-02:00"}},
		// There were two 23:00 on 16 February 2019.
		{"America/Sao_Paulo", "0 23 * * *", "2019-02-16T12:00:00Z", "2019-02-18T12:00:00Z", []string{"2019-02-16T23:00:00-02:00", "2019-02-17T23:00:00-03:00"}},
		{"America/Sao_Paulo", "0 * * * *", "2019-02-17T00:30:00Z", "2019-02-17T03:30:00Z", []string{"2019-02-16T23:00:00-02:00", "2019-02-16T23:00:00-03:00", "2019-02-17T00:00:00-03:00"}},
		{"America/Sao_Paulo", "0 0 * * *", "2019-02-16T12:00:00Z", "2019-02-18T12:00:00Z", []string{"2019-02-17T00:00:00-03:00", "2019-02-18T00:00:00-03:00"}},
		{"Europe/Lisbon", "30 1 * * *", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", []string{"2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"}},
		{"Europe/Lisbon", "30 1 * * *", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z", []string{"2026-10-25T01:30:00+01:00", "2026-10-26T01:30:00Z"}},
		// Samoa had no 30 December 2011.
		{"Pacific/Apia", "0 2 * * *", "2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z", []string{"2011-12-29T02:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T02:00:00+14:00"}},
	} {
		s, from, to := parse(t, c.text), moment(t, c.from, c.zone), moment(t, c.to, c.zone)
		var got []string
		for at := s.Next(from); at.Before(to); at = s.Next(at) {
			got = append(got, at.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s in %s: %s, want %s", c.text, c.zone, got, c.want)
		}
	}
}

// Whoever watches the clock on the wall, minute by minute, and remembers the latest time that it has shown, sees the same.
func TestNextAndLastAreWhatTheClockShows(t *testing.T) {
	zones := []string{"America/Sao_Paulo", "Europe/Lisbon", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu", "UTC", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneOf(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		minutes, minute := field(t, "minute", 0, 59)
		hours, hour := field(t, "hour", 0, 23)
		days, date := field(t, "day", 1, 31)
		week, weekday := field(t, "weekday", 0, 6)
		text := minutes + " " + hours + " " + days + " * " + week
		shows := func(at time.Time) bool {
			on := date(at.Day()) && weekday(int(at.Weekday()))
			if days != "*" && week != "*" {
				on = date(at.Day()) || weekday(int(at.Weekday()))
			}
			return on && hour(at.Hour()) && minute(at.Minute())
		}
		s := parse(t, text)
		from := time.Date(rapid.IntRange(2005, 2030).Draw(t, "year"), time.January, rapid.IntRange(1, 365).Draw(t, "day of the year"), 12, 0, 0, 0, zone)
		if _, change := from.ZoneBounds(); !change.IsZero() && change.Before(from.AddDate(1, 0, 0)) {
			from = change.Add(-time.Duration(rapid.IntRange(1, 48).Draw(t, "hours before")) * time.Hour).In(zone)
		}
		to := from.Add(72 * time.Hour)
		var want []time.Time
		shown := wall(from)
		for at := from.Add(time.Minute); !at.After(to); at = at.Add(time.Minute) {
			now, due := wall(at), false
			if hours == "*" {
				shown = now.Add(-time.Minute)
			}
			for shown.Before(now) {
				shown = shown.Add(time.Minute)
				due = due || shows(shown)
			}
			if due {
				want = append(want, at)
			}
		}
		var got []time.Time
		for at := s.Next(from); !at.IsZero() && !at.After(to); at = s.Next(at) {
			got = append(got, at)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%q in %s from %s:\ngot  %s\nwant %s", text, zone, from, got, want)
		}
		for i, at := range want {
			until := to
			if i+1 < len(want) {
				until = want[i+1]
			}
			for _, moment := range []time.Time{at, at.Add(until.Sub(at) / 2), until.Add(-time.Nanosecond)} {
				if last := s.Last(moment); !moment.Before(at) && moment.Before(until) && !last.Equal(at) {
					t.Fatalf("%q in %s: at %s it was last due at %s, want %s", text, zone, moment, last, at)
				}
			}
		}
	})
}

// field draws a field of a schedule, with what it means.
func field(t *rapid.T, name string, low, high int) (string, func(int) bool) {
	a, b := rapid.IntRange(low, high).Draw(t, name), rapid.IntRange(low, high).Draw(t, "other "+name)
	first, last := min(a, b), max(a, b)
	switch rapid.IntRange(0, 3).Draw(t, "kind of "+name) {
	case 0:
		return strconv.Itoa(first), func(n int) bool { return n == first }
	case 1:
		return strconv.Itoa(first) + "," + strconv.Itoa(last), func(n int) bool { return n == first || n == last }
	case 2:
		// All hours, written out, are another thing than a star to nobody.
		if first == low && last == high {
			last--
		}
		return fmt.Sprintf("%d-%d", first, last), func(n int) bool { return first <= n && n <= last }
	}
	return "*", func(int) bool { return true }
}

// wall is what the clock on the wall shows, as if it showed UTC.
func wall(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.Add(time.Duration(offset) * time.Second).UTC()
}

// FuzzSchedule: whatever can be parsed is due at some moment, and again after it.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{"0 2 * * *", "*/7 1-5/2 1,31 2-12 mon-fri", "@weekly", "@every 1s", "? ? ? ? ?", "0 0 31 2 *", "TZ=x"} {
		f.Add(text, int64(1_800_000_000))
	}
	zone := zoneOf(f, "America/Sao_Paulo")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := schedule.Parse(text)
		if err != nil {
			return
		}
		from := time.Unix(unix%(1<<34), 0).In(zone)
		next := s.Next(from)
		if !next.After(from) || !s.Next(next).After(next) || s.Last(next).Before(next.Truncate(time.Second)) {
			t.Errorf("%q from %s: %s, then %s, last %s", text, from, next, s.Next(next), s.Last(next))
		}
	})
}

// A year of a hundred sources.
func BenchmarkYear(b *testing.B) {
	zone := zoneOf(b, "America/Sao_Paulo")
	s := parse(b, "0 2 * * *")
	from := time.Date(2018, 1, 1, 0, 0, 0, 0, zone)
	for b.Loop() {
		for range 100 {
			for at := s.Next(from); at.Year() == 2018; at = s.Next(at) {
			}
		}
	}
}

// fataler is what testing.TB and rapid.T have in common, as far as it is needed.
type fataler interface {
	Helper()
	Fatal(...any)
}

func parse(t fataler, text string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func zoneOf(t fataler, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func moment(t fataler, text, zone string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.In(zoneOf(t, zone))
}
