package config

import (
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre/internal/pattern"
)

// What a secret is written as, for people who wrote the secret itself.
const secretHint = "write env:NAME or file:PATH here, and keep the secret in that variable or file"

var variableName = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (s *Secret) decodeText(d *decoding, text string) (string, string) {
	scheme, rest, _ := strings.Cut(text, ":")
	switch {
	case scheme == "env" && variableName().MatchString(rest), scheme == "file" && rest != "":
		*s = Secret{text, d.getenv}
		return "", ""
	case scheme == "env":
		return "does not name a variable after env:", secretHint
	}
	return "is a secret written in clear", secretHint
}

func (s *Schedule) decodeText(_ *decoding, text string) (string, string) {
	parsed, err := ParseSchedule(text)
	if err != nil {
		return "is not a schedule: " + err.Error(), `five fields as in crontab: minute hour day month weekday; "0 2 * * *" is every day at 02:00`
	}
	*s = parsed
	return "", ""
}

func (v *Duration) decodeText(_ *decoding, text string) (string, string) {
	const hint = "a number with a unit: 30s, 90m, 1h30m, 7d, 2w"
	parsed, ok := parseDuration(text)
	switch {
	case !ok:
		return "is not a duration", hint
	case parsed <= 0:
		return "must be greater than zero", hint
	}
	v.Duration = parsed
	return "", ""
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

// parseDuration adds days and weeks to what time.ParseDuration reads: as the only unit, in whole numbers.
func parseDuration(text string) (time.Duration, bool) {
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

func (n *Notify) decodeText(d *decoding, text string) (string, string) {
	if strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") {
		return n.Secret.decodeText(d, text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return "is not a URL", "as in smtp://mail.example.com:587/?from=…&to=…"
	}
	if _, has := u.User.Password(); has {
		return "holds a password in clear", secretHint
	}
	for _, s := range openServices {
		if u.Scheme == s {
			n.URL = text
			return "", ""
		}
	}
	return "is a secret written in clear: a " + u.Scheme + ":// URL holds the token that opens the service", secretHint
}

// String is the URL, or the reference to it.
func (n Notify) String() string {
	if n.URL != "" {
		return n.URL
	}
	return n.Secret.String()
}

// MarshalText writes what String does.
func (n Notify) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// absolute makes a path that stands in the file relative to the file's folder.
func absolute(base, path string) string {
	if path == "" || filepath.IsAbs(path) || base == "" {
		return path
	}
	return filepath.Join(base, path)
}
