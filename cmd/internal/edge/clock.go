package edge

import (
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// Clock shows a moment in the zone of this call: the one that the person typed or configured, or else the machine's. One
// screen has one zone.
func (a *App) Clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(a.Location()).Format("2006-01-02 15:04:05 -07:00")
}

// Location is the zone of this call.
func (a *App) Location() *time.Location {
	if a.Zone != nil {
		return a.Zone
	}
	return time.Local
}

// clocked is the text of messages with the moments in them as the screen shows every other: in the messages, which programs read,
// they are in UTC.
func (a *App) clocked(text string, messages ...cofre.Message) string {
	for _, m := range messages {
		for _, v := range m.Args {
			switch v := v.(type) {
			case time.Time:
				text = strings.ReplaceAll(text, cofre.ArgText(v), a.Clock(v))
			case cofre.Message:
				text = a.clocked(text, v)
			case error:
				text = a.clocked(text, cofre.MessagesOf(v)...)
			}
		}
	}
	return text
}
