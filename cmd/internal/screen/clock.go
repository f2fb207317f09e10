package screen

import "time"

// Clock shows a moment in the zone of this screen: the one that the person typed or configured, or else the machine's. One
// screen has one zone.
func (s *Screen) Clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(s.location()).Format("2006-01-02 15:04:05 -07:00")
}

// Clocks adds UTC, for the moment of a screen that a person may go on to type or to look up in a log of a server.
func (s *Screen) Clocks(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if _, offset := t.In(s.location()).Zone(); offset == 0 {
		return s.Clock(t)
	}
	return s.Clock(t) + "  (" + t.UTC().Format(time.RFC3339) + ")"
}

func (s *Screen) location() *time.Location {
	if s.Zone != nil {
		return s.Zone
	}
	return time.Local
}

// Moment shows a moment that was planned, as it is to be typed.
func (s *Screen) Moment(t time.Time) string {
	if t.Nanosecond() == 0 {
		return s.Clock(t)
	}
	return t.In(s.location()).Format("2006-01-02 15:04:05.000000 -07:00")
}

// Echo shows a moment of UTC in the zone of the screen too: a mistaken zone is seen before it costs three hours.
func (s *Screen) Echo(t time.Time) string {
	if _, offset := t.In(s.location()).Zone(); t.IsZero() || offset == 0 {
		return ""
	}
	return " = " + s.Clock(t)
}
