package retention

import (
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
)

// period is a way of cutting the calendar, of which a rule keeps the newest of each piece.
type period struct {
	of     func(Rules) int
	name   func(time.Time) string
	reason func(name string) cofre.Message
}

var periods = []period{
	// The offset tells the two hours apart that have one name when clocks go back.
	{func(r Rules) int { return r.Hourly }, func(t time.Time) string { return t.Format("2006-01-02 15h -0700") }, func(n string) cofre.Message {
		return cofre.Say("retention.hourly", "the newest of the hour {{.name}}", "name", n)
	}},
	{func(r Rules) int { return r.Daily }, func(t time.Time) string { return t.Format(time.DateOnly) }, func(n string) cofre.Message {
		return cofre.Say("retention.daily", "the newest of the day {{.name}}", "name", n)
	}},
	{func(r Rules) int { return r.Weekly }, week, func(n string) cofre.Message {
		return cofre.Say("retention.weekly", "the newest of the week {{.name}}", "name", n)
	}},
	{func(r Rules) int { return r.Monthly }, func(t time.Time) string { return t.Format("2006-01") }, func(n string) cofre.Message {
		return cofre.Say("retention.monthly", "the newest of the month {{.name}}", "name", n)
	}},
	{func(r Rules) int { return r.Yearly }, func(t time.Time) string { return t.Format("2006") }, func(n string) cofre.Message {
		return cofre.Say("retention.yearly", "the newest of the year {{.name}}", "name", n)
	}},
}

// week is the name of a week in ISO 8601, 2026-W48.
func week(t time.Time) string {
	y, w := t.ISOWeek()
	return fmt.Sprintf("%d-W%02d", y, w)
}
