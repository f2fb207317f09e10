package screen

import "time"

// Clocks adds UTC, for the moment of a screen that a person may go on to type or to look up in a log of a server.
func (s *Screen) Clocks(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if _, offset := t.In(s.Location()).Zone(); offset == 0 {
		return s.Clock(t)
	}
	return s.Clock(t) + "  (" + t.UTC().Format(time.RFC3339) + ")"
}

// Moment shows a moment that was planned, as it is to be typed.
func (s *Screen) Moment(t time.Time) string {
	if t.Nanosecond() == 0 {
		return s.Clock(t)
	}
	return t.In(s.Location()).Format("2006-01-02 15:04:05.000000 -07:00")
}

// Echo shows a moment of UTC in the zone of the screen too: a mistaken zone is seen before it costs three hours.
func (s *Screen) Echo(t time.Time) string {
	if _, offset := t.In(s.Location()).Zone(); t.IsZero() || offset == 0 {
		return ""
	}
	return " = " + s.Clock(t)
}
