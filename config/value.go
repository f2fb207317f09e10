package config

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/schedule"
)

// secretHint says what a secret is written as, to people who wrote the secret itself.
func secretHint() cofre.Message {
	return cofre.Say("config.secret_form", "write env:NAME or file:PATH here, and keep the secret in that variable or file")
}

var variableName = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (s *Secret) decodeText(d *decoding, text string) (what, hint cofre.Message) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch {
	case scheme == "env" && variableName().MatchString(rest), scheme == "file" && rest != "":
		*s = Secret{text, d.getenv}
		return what, hint
	case scheme == "env":
		return cofre.Say("config.no_variable", "does not name a variable after env:"), secretHint()
	}
	return cofre.Say("config.secret_in_clear", "is a secret written in clear"), secretHint()
}

// Schedule says when something is due.
type Schedule struct{ schedule.Schedule }

func (s *Schedule) decodeText(_ *decoding, text string) (what, hint cofre.Message) {
	parsed, err := schedule.Parse(text)
	if err != nil {
		return cofre.Say("config.not_a_schedule", "is not a schedule: {{.error}}", "error", err), cofre.Say("config.schedule_form", `five fields as in crontab: minute hour day month weekday; "0 2 * * *" is every day at 02:00`)
	}
	s.Schedule = parsed
	return what, hint
}

func (r *Routine) decodeText(d *decoding, text string) (what, hint cofre.Message) {
	if text == "never" {
		r.Never = true
		return what, hint
	}
	if what, hint = r.Schedule.decodeText(d, text); !what.IsZero() {
		hint = cofre.Say("config.routine_form", "{{.schedule}}; never switches it off", "schedule", hint)
	}
	return what, hint
}

// The schedules of what is done if nobody says when: after the window in which the guide has its backups.
const (
	UsualExpire = "30 4 * * *"
	UsualPrune  = "0 5 * * *"
	UsualVerify = "0 6 * * *"
)

// Or is the schedule: the default, if nobody says when; the zero Schedule if it is never.
func (r Routine) Or(usual string) schedule.Schedule {
	if r.Never || !r.IsZero() {
		return r.Schedule.Schedule
	}
	return mustSchedule(usual).Schedule
}

// MarshalText writes the routine as it was written.
func (r Routine) MarshalText() ([]byte, error) {
	if r.Never {
		return []byte("never"), nil
	}
	return r.Schedule.MarshalText()
}

func (v *Duration) decodeText(_ *decoding, text string) (what, hint cofre.Message) {
	hint = cofre.Say("config.duration_form", "a number with a unit: 30s, 90m, 1h30m, 7d, 2w")
	parsed, ok := ParseDuration(text)
	switch {
	case !ok:
		return cofre.Say("config.not_a_duration", "is not a duration"), hint
	case parsed <= 0:
		return cofre.Say("config.not_positive", "must be greater than zero"), hint
	}
	v.Duration = parsed
	return what, hint
}

// String writes whole days as days, and everything else as time.Duration does.
func (v Duration) String() string {
	const day = 24 * time.Hour
	if v.Duration >= day && v.Duration%day == 0 {
		return strconv.FormatInt(int64(v.Duration/day), 10) + "d"
	}
	return v.Duration.String()
}

// MarshalText writes what String does.
func (v Duration) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// ParseDuration adds days and weeks to what time.ParseDuration reads: as the only unit, in whole numbers.
func ParseDuration(text string) (time.Duration, bool) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			return time.Duration(n) * unit, err == nil
		}
	}
	parsed, err := time.ParseDuration(text)
	return parsed, err == nil
}

// openServices are the notification services whose URL says where to, and not by which right.
var openServices = []string{"smtp", "smtps", "http", "https", "ntfy"}

func (n *Address) decodeText(d *decoding, text string) (what, hint cofre.Message) {
	if strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") {
		return n.Secret.decodeText(d, text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return cofre.Say("config.not_a_url", "is not a URL"), cofre.Say("config.as_in", "as in {{.example}}", "example", "smtp://mail.example.com:587/?from=…&to=…")
	}
	if _, has := u.User.Password(); has {
		return cofre.Say("config.password_in_clear", "holds a password in clear"), secretHint()
	}
	for _, s := range openServices {
		if u.Scheme == s {
			n.URL = text
			return what, hint
		}
	}
	return cofre.Say("config.token_in_clear", "is a secret written in clear: a {{.scheme}}:// URL holds the token that opens the service", "scheme", u.Scheme), secretHint()
}

// String is the URL, or the reference to it.
func (n Address) String() string {
	if n.URL != "" {
		return n.URL
	}
	return n.Secret.String()
}

// MarshalText writes what String does.
func (n Address) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// absolute makes a path that stands in the file relative to the file's folder.
func absolute(base, path string) string {
	if path == "" || filepath.IsAbs(path) || base == "" {
		return path
	}
	return filepath.Join(base, path)
}
