package schedule

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/trustlayer/cofre"
)

// Schedule says when something is due: five fields as in crontab(5), or @hourly, @daily, @weekly, @monthly, @yearly, or @every with a
// duration, which counts from 1970. The zero Schedule is never due.
type Schedule struct {
	text  string
	every time.Duration      // of @every
	days  *cron.SpecSchedule // the fields, as sets of bits
	times []int64            // the times of day at which it is due, in seconds, ascending
}

// anything is the bit that the parser sets in a field that is a star.
const anything = 1 << 63

// Parse reads a schedule.
//
// Errors: one that says which part is wrong.
func Parse(text string) (Schedule, error) {
	// The parser takes TZ= and CRON_TZ= prefixes (and panics on some of them); the time zone is configured in
	// one place, for every schedule.
	if strings.Contains(text, "TZ=") {
		return Schedule{}, cofre.Fail(cofre.Say("config.schedule_zone", "a schedule holds no time zone: set timezone, which applies to all"))
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	parsed, err := parser.Parse(text)
	if err != nil {
		return Schedule{}, wrongPart(text)
	}
	s := Schedule{text: text}
	switch parsed := parsed.(type) {
	case cron.ConstantDelaySchedule:
		s.every = parsed.Delay
	case *cron.SpecSchedule:
		s.days = parsed
		for minute := range 24 * 60 {
			if parsed.Hour>>(minute/60)&1 == 1 && parsed.Minute>>(minute%60)&1 == 1 {
				s.times = append(s.times, int64(minute)*60)
			}
		}
	}
	if s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, cofre.Fail(cofre.Say("config.schedule_never", "this day never comes"))
	}
	return s, nil
}

// wrongPart names the field of a schedule that cannot be read. The parser says it in its own words, and in English only.
func wrongPart(text string) error {
	fields := strings.Fields(text)
	switch {
	case strings.HasPrefix(text, "@"):
		return cofre.Fail(cofre.Say("config.schedule_word", "{{.word}} is not one of @hourly, @daily, @weekly, @monthly and @yearly", "word", text))
	case len(fields) != 5:
		return cofre.Fail(cofre.SayN("config.schedule_fields", len(fields), "it has 1 field, not 5", "it has {{.n}} fields, not 5"))
	}
	for i, parse := range []struct {
		one  cron.ParseOption
		what cofre.Message
	}{
		{cron.Minute, cofre.Say("config.schedule_minute", "a minute, from 0 to 59")},
		{cron.Hour, cofre.Say("config.schedule_hour", "an hour, from 0 to 23")},
		{cron.Dom, cofre.Say("config.schedule_day", "a day of the month, from 1 to 31")},
		{cron.Month, cofre.Say("config.schedule_month", "a month, from 1 to 12")},
		{cron.Dow, cofre.Say("config.schedule_weekday", "a day of the week, from 0, which is Sunday, to 6")},
	} {
		if _, err := cron.NewParser(parse.one).Parse(fields[i]); err != nil {
			return cofre.Fail(cofre.Say("config.schedule_field", "\"{{.field}}\" is not {{.what}}", "field", fields[i], "what", parse.what))
		}
	}
	return cofre.Fail(cofre.Say("config.schedule_unread", "it cannot be read"))
}

// String is the schedule as it was written.
func (s Schedule) String() string { return s.text }

// MarshalText writes the schedule as it was written.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// IsZero reports whether there is no schedule.
func (s Schedule) IsZero() bool { return s.text == "" }

// Next is the first moment after t at which the schedule is due, in t's time zone; the zero time for never.
func (s Schedule) Next(t time.Time) time.Time {
	if s.every > 0 {
		// Truncate counts from year 1, and 1970 is what @every counts from.
		since := t.Sub(time.Unix(0, 0))
		return time.Unix(0, 0).Add(since - since%s.every + s.every).In(t.Location())
	}
	if s.days == nil {
		return time.Time{}
	}
	limit := t.Unix() + horizon
	for at := t.Unix() + 1; at < limit; {
		p := periodOf(time.Unix(at, 0).In(t.Location()))
		if p.start == at && p.before < p.offset && !s.hourly() && s.local(at+p.before, at+p.offset) >= 0 {
			return time.Unix(at, 0).In(t.Location())
		}
		from := at + p.offset
		if p.before > p.offset && !s.hourly() {
			from = max(from, p.start+p.before) // what the clock showed before it went back is over
		}
		if found := s.local(from, min(p.end, limit)+p.offset); found >= 0 {
			return time.Unix(found-p.offset, 0).In(t.Location())
		}
		at = p.end
	}
	return time.Time{}
}

// Last is the newest moment, not after t, at which the schedule was due, in t's time zone; the zero time if there was none in the last
// years.
func (s Schedule) Last(t time.Time) time.Time {
	if s.every > 0 {
		return s.Next(t).Add(-s.every)
	}
	if s.days == nil {
		return time.Time{}
	}
	var last time.Time
	for _, span := range []time.Duration{2 * time.Minute, 2 * time.Hour, 26 * time.Hour, 32 * day, 367 * day, horizon * time.Second} {
		for next := s.Next(t.Add(-span)); !next.IsZero() && !next.After(t); next = s.Next(next) {
			last = next
		}
		if !last.IsZero() {
			return last
		}
	}
	return last
}

const day = 24 * time.Hour

// horizon is how far ahead a day is looked for, in seconds: a 29 February may be eight years away.
const horizon = 9 * 366 * 24 * 60 * 60

// hourly reports whether the schedule is due in every hour, and goes by the time that passes.
func (s Schedule) hourly() bool { return s.days.Hour&(1<<24-1) == 1<<24-1 }

// A period is a stretch of time in which a zone's offset from UTC stays the same. All is in seconds.
type period struct {
	start, end     int64 // Unix time; the end does not belong to it
	offset, before int64 // of it, and of the one before it
}

func periodOf(t time.Time) period {
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	p := period{start: -1 << 62, end: 1 << 62, offset: int64(offset), before: int64(offset)}
	if !start.IsZero() {
		p.start = start.Unix()
		_, before := start.Add(-1).Zone()
		p.before = int64(before)
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	return p
}

// local is the first time of the clock on the wall, from one and before another, at which the schedule is due; -1 if there is none.
// Such times are in seconds, as if the clock showed UTC.
func (s Schedule) local(from, before int64) int64 {
	const length = 24 * 60 * 60
	for midnight := from - (from%length+length)%length; midnight < before; midnight += length {
		if !s.on(time.Unix(midnight, 0).UTC()) {
			continue
		}
		for _, of := range s.times {
			if at := midnight + of; at >= before {
				return -1
			} else if at >= from {
				return at
			}
		}
	}
	return -1
}

// on reports whether the schedule is due on a day. If both the day of the month and the day of the week are given, either will do, as
// crontab(5) says.
func (s Schedule) on(date time.Time) bool {
	_, month, dom := date.Date()
	if s.days.Month>>month&1 == 0 {
		return false
	}
	inMonth, inWeek := s.days.Dom>>dom&1 == 1, s.days.Dow>>date.Weekday()&1 == 1
	if s.days.Dom&anything != 0 || s.days.Dow&anything != 0 {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}
