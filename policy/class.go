package policy

import (
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/schedule"
)

// class is what is asked of a class of systems. The figures are those of the Brazilian Ministry of Defence, Instrução Normativa SEORI 1/2024 (DOU of 12 January 2024): for
// its classes 0, 1 and 2 how much may be lost, how long backups are kept at hand, and how often a restore is tested; a copy is off the seat in each.
type class struct {
	rpo    time.Duration
	kept   time.Duration
	tested time.Duration
}

const day = 24 * time.Hour

var classes = map[string]class{
	config.ClassCritical:  {rpo: time.Hour, kept: 365 * day, tested: 31 * day},
	config.ClassImportant: {rpo: 12 * time.Hour, kept: 90 * day, tested: 92 * day},
	config.ClassOrdinary:  {rpo: day, kept: 30 * day, tested: 184 * day},
}

// Preset are the keys of a configuration that fulfil a class, as text for its file; empty if there is no such class. A source that is not there is left out by whoever copies them.
func Preset(name string) string {
	switch name {
	case config.ClassCritical:
		return `policy: {class: critical, responsible: "…"}
objectives: {rpo: 1h, rto: 4h}
database: {schedule: "0 2 * * *", keep: {daily: 30, weekly: 12, monthly: 12}}
cluster: {schedule: "0 3 * * 0", wal: archive, keep: {days: 31, monthly: 12}}
storage: {schedule: "@hourly", keep: {hourly: 48, daily: 30, monthly: 12}}
config: {schedule: "@hourly", keep: {daily: 90, monthly: 12}}
serve: {drill: "0 4 1 * *"}
`
	case config.ClassImportant:
		return `policy: {class: important, responsible: "…"}
objectives: {rpo: 12h, rto: 12h}
database: {schedule: "0 2,14 * * *", keep: {daily: 14, weekly: 13}}
cluster: {schedule: "0 3 * * 0", wal: archive, keep: {days: 14, weekly: 13}}
storage: {schedule: "0 3,15 * * *", keep: {daily: 14, weekly: 13}}
config: {schedule: "0 4,16 * * *", keep: {days: 90}}
serve: {drill: "0 4 1 */3 *"}
`
	case config.ClassOrdinary:
		return `policy: {class: ordinary, responsible: "…"}
objectives: {rpo: 1d, rto: 2d}
database: {schedule: "0 2 * * *", keep: {days: 30}}
storage: {schedule: "0 3 * * *", keep: {days: 30}}
config: {schedule: "0 4 * * *", keep: {days: 90}}
serve: {drill: "0 4 1 1,7 *"}
`
	}
	return ""
}

// Shortfalls are where terms do not reach what their class asks; none without a class. now is from when schedules are looked at.
func (t Terms) Shortfalls(now time.Time) []cofre.Message {
	c, ok := classes[t.Class]
	if !ok {
		return nil
	}
	var all []cofre.Message
	add := func(m cofre.Message) { all = append(all, m) }
	if rpo, ok := config.ParseDuration(t.Objectives.RPO); !ok || rpo > c.rpo {
		add(cofre.Say("policy.short_rpo", "objectives.rpo is to be {{.asked}} at most", "asked", span(c.rpo)))
	}
	continuous := false
	for _, s := range t.Sources {
		continuous = continuous || s.WAL != ""
	}
	for _, s := range t.Sources {
		if asked := s.apart(c, continuous); asked > 0 {
			if apart, ok := longest(s.Schedule, now); !ok || apart > asked {
				add(cofre.Say("policy.short_schedule", "{{.section}}.schedule is to have a backup every {{.asked}} at least", "section", s.Kind, "asked", span(asked)))
			}
		}
		if s.Kind == cofre.KindCluster && s.WAL == "" {
			add(cofre.Say("policy.short_wal", "cluster.wal is to be set: without WAL nothing is kept of what happens between two base backups"))
		}
		if s.reach() < c.kept {
			add(cofre.Say("policy.short_keep", "{{.section}}.keep is to reach back {{.asked}}", "section", s.Kind, "asked", span(c.kept)))
		}
	}
	if apart, ok := longest(t.Drills.Schedule, now); !ok || apart > c.tested {
		add(cofre.Say("policy.short_drill", "serve.drill is to restore as a test every {{.asked}} at least", "asked", span(c.tested)))
	}
	if t.Elsewhere == "" { // copies are of WAL alone
		add(cofre.Say("policy.short_copy", "policy.elsewhere is to say how every backup comes to a second place, away from the first: this version brings WAL alone to copies"))
	}
	if t.Responsible == "" {
		add(cofre.Say("policy.short_responsible", "policy.responsible is to say who answers for it"))
	}
	return all
}

// apart is how far apart two backups of a source may be; 0 if the class does not say. What WAL keeps of a database and its cluster needs no dumps to be recent.
func (s Source) apart(c class, continuous bool) time.Duration {
	switch {
	case s.Kind == cofre.KindCluster && s.WAL != "":
		return 0
	case s.Kind == cofre.KindDatabase && continuous:
		return day
	}
	return c.rpo
}

// reach is how far back the oldest backup is that the rules keep, if there is one as often as they say.
func (s Source) reach() time.Duration {
	if s.Keep["everything"] > 0 {
		return 1 << 62
	}
	units := map[string]time.Duration{"days": day, "hourly": time.Hour, "daily": day, "weekly": 7 * day, "monthly": 365 * day / 12, "yearly": 365 * day}
	var longest time.Duration
	for rule, n := range s.Keep {
		longest = max(longest, time.Duration(min(n, 10000))*units[rule])
	}
	return longest
}

// longest is the longest time between two moments of a schedule, in a year from now on, without changes of the clock.
func longest(text string, now time.Time) (apart time.Duration, ok bool) {
	s, err := schedule.Parse(text)
	if err != nil {
		return 0, false
	}
	at := s.Next(now.UTC())
	for end := at.AddDate(1, 1, 0); !at.IsZero() && at.Before(end); {
		next := s.Next(at)
		if next.IsZero() {
			return 0, false
		}
		apart, at = max(apart, next.Sub(at)), next
	}
	return apart, !at.IsZero()
}

func span(d time.Duration) string { return said(config.Duration{Duration: d}) }
