package config

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/trustlayer/cofre"
)

// Schedule says when something is due: five fields as in crontab(5), or @hourly, @daily, @weekly, @monthly.
// The zero Schedule is never due.
type Schedule struct {
	text string
	cron cron.Schedule
}

// ParseSchedule reads a schedule.
//
// Errors: one that says which part is wrong.
func ParseSchedule(text string) (Schedule, error) {
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
	s := Schedule{text, parsed}
	// Next gives up after five years: 31 February.
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
	if s.cron == nil {
		return time.Time{}
	}
	return s.cron.Next(t)
}
