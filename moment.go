package cofre

import "time"

// withOffset are the ways to write a time with its offset: RFC 3339, as the screens here do, and as PostgreSQL does.
var withOffset = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07"}

// withoutOffset are the ways to write a time of a zone that is said besides.
var withoutOffset = []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"}

// ParseMoment reads a time that a person typed: RFC 3339 or as PostgreSQL writes it, with an offset; or the digits alone, of the time
// zone that is named (as America/Sao_Paulo). What it returns has the zone in which it was typed.
//
// Errors: ones for a person, with a hint. Without an offset and without a zone a time is refused: the same digits are another moment on
// another machine. So is one that comes twice in its zone, or never, because clocks were set back or forward.
func ParseMoment(text, zone string) (time.Time, error) {
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if zone == "" {
		return time.Time{}, WithHint(Fail(Say("target.no_offset", "time \"{{.time}}\" has no offset", "time", text)), Say("target.offset", "write it as 2026-11-24T14:05:00-03:00, or add --tz America/Sao_Paulo"))
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, WithHint(Fail(Say("target.unknown_zone", "time zone \"{{.zone}}\" is not known", "zone", zone)), Say("target.zone", "use a name such as America/Sao_Paulo, or UTC"))
	}
	for _, layout := range withoutOffset {
		if digits, err := time.Parse(layout, text); err == nil {
			return momentOf(digits, loc, text)
		}
	}
	return time.Time{}, WithHint(Fail(Say("target.unread", "time \"{{.time}}\" cannot be read", "time", text)), Say("target.form", "write it as 2026-11-24 14:05:00"))
}

// momentOf is the moment at which clocks of a zone showed these digits, which are given as if they were UTC. What time.Date makes of
// digits that came twice or never is not said by its documentation; so every offset that was in use around them is tried.
func momentOf(digits time.Time, loc *time.Location, text string) (time.Time, error) {
	var found []time.Time
	seen := map[int]bool{}
	for _, around := range []time.Duration{-26 * time.Hour, 0, 26 * time.Hour} {
		_, offset := digits.Add(around).In(loc).Zone()
		if seen[offset] {
			continue
		}
		seen[offset] = true
		t := digits.Add(-time.Duration(offset) * time.Second).In(loc)
		if _, there := t.Zone(); there == offset {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return time.Time{}, WithHint(Fail(Say("target.never_came", "time \"{{.time}}\" never came in {{.zone}}: clocks were set forward over it", "time", text, "zone", loc)), Say("target.form_offset", "write it with its offset, as 2026-11-24T14:05:00-03:00"))
	case 1:
		return found[0], nil
	}
	first, second := found[0], found[1]
	if second.Before(first) {
		first, second = second, first
	}
	return time.Time{}, WithHint(Fail(Say("target.comes_twice", "time \"{{.time}}\" comes twice in {{.zone}}", "time", text, "zone", loc)), Say("target.twice", "write it with its offset: {{.first}} or {{.second}}", "first", first.Format(time.RFC3339), "second", second.Format(time.RFC3339)))
}
