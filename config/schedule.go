package config

import (
	"errors"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
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
		return Schedule{}, errors.New("a schedule holds no time zone: set timezone, which applies to all")
	}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	parsed, err := parser.Parse(text)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{text, parsed}
	// Next gives up after five years: 31 February.
	if s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, errors.New("this day never comes")
	}
	return s, nil
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
