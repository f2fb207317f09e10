package status

import (
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// Span says how long something is, as exactly as a person wants it in a sentence.
func Span(d time.Duration) cofre.Message {
	if d >= 2*time.Hour && d < 10*time.Hour && d/time.Minute%60 > 0 {
		return cofre.Say("status.hours_minutes", "{{.hours}} h {{.minutes}} min", "hours", int(d/time.Hour), "minutes", int(d/time.Minute%60))
	}
	return Rough(d)
}

// Rough is Span in one unit, for a table.
func Rough(d time.Duration) cofre.Message {
	switch {
	case d < time.Minute:
		return cofre.SayN("status.seconds", int(d/time.Second), "{{.n}} s", "{{.n}} s")
	case d < 2*time.Hour:
		return cofre.SayN("status.minutes", int(d/time.Minute), "{{.n}} min", "{{.n}} min")
	case d < 48*time.Hour:
		return cofre.SayN("status.hours", int(d/time.Hour), "{{.n}} h", "{{.n}} h")
	}
	return cofre.SayN("status.days", int(d/(24*time.Hour)), "1 day", "{{.n}} days")
}

// Bytes is a size.
func Bytes(n int64) cofre.Message { return cofre.Verbatim(words.Size(n)) }
