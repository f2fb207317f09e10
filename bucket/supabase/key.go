package supabase

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// expiryWarning is how long before a key expires a person is told.
const expiryWarning = 60 * 24 * time.Hour

// serviceRole is the only role that sees every object: row-level security hides the rest from others without an
// error.
const serviceRole = "service_role"

// examineKey refuses a key that would make an empty answer look like an empty storage, and says what a person
// should know about one that works.
//
// Errors: cofre.ErrDenied with a hint; never with the key in it.
func examineKey(key string, now time.Time) (warnings []cofre.Message, err error) {
	denied := func(why cofre.Message) error {
		return cofre.WithHint(cofre.Fail(cofre.Say("supabase.key_denied", "service role key: {{.why}}", "why", why), cofre.ErrDenied),
			cofre.Say("supabase.service_role", "use the service_role key (SERVICE_ROLE_KEY in the .env of a self-hosted Supabase, or a secret key sb_secret_…)"))
	}
	switch {
	case key == "":
		return nil, denied(cofre.Say("supabase.key_none", "there is none"))
	case strings.HasPrefix(key, "sb_secret_"):
		return nil, nil // opaque: the gateway knows what it stands for
	case strings.HasPrefix(key, "sb_publishable_"):
		return nil, denied(cofre.Say("supabase.key_publishable", "it is a publishable key, which sees only what is public"))
	}
	parts := strings.Split(key, ".")
	if len(parts) != 3 {
		return nil, denied(cofre.Say("supabase.key_kind", "it is neither a JSON web token nor a secret key"))
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, denied(cofre.Say("supabase.key_token", "it is not a readable JSON web token"))
	}
	var claims struct {
		Role string      `json:"role"`
		Exp  json.Number `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, denied(cofre.Say("supabase.key_token", "it is not a readable JSON web token"))
	}
	if claims.Role != serviceRole {
		return nil, denied(cofre.Say("supabase.key_role", "its role is \"{{.role}}\", which does not see every object", "role", claims.Role))
	}
	seconds, err := claims.Exp.Float64()
	if err != nil {
		return nil, nil // it never expires
	}
	expires := time.Unix(int64(seconds), 0).UTC()
	switch left := expires.Sub(now); {
	case left <= 0:
		return nil, denied(cofre.Say("supabase.key_expired", "it expired at {{.at}}", "at", expires))
	case left < expiryWarning:
		return []cofre.Message{cofre.SayN("supabase.key_expires", int(left.Hours()/24), "the service role key of the storage expires at {{.at}}, in 1 day", "the service role key of the storage expires at {{.at}}, in {{.n}} days", "at", expires)}, nil
	}
	return nil, nil
}
